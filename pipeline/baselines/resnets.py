"""torchvision's residual networks as classifiers of pictures in 0…1, with one channel or three."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.networks import checkpoints

ARCHITECTURES = ("resnet18", "resnet50")
KIND = "Resnet"
IMAGENET = "imagenet"
"""What stands for torchvision's own weights."""

# Of ImageNet, in RGB: what torchvision's weights were trained with.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class Resnet(nn.Module):
    """A residual network behind the normalisation that it was trained with.

    Args:
        architecture: ``resnet18`` or ``resnet50``.
        n_outputs: number of classes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: str, n_outputs: int) -> None:
        super().__init__()
        from torchvision import models  # noqa: PLC0415  takes seconds to load

        if architecture not in ARCHITECTURES:
            raise InputError(
                f"architecture {architecture!r}: must be one of {', '.join(ARCHITECTURES)}"
            )
        self.architecture = architecture
        self.n_outputs = n_outputs
        self.trunk = models.get_model(architecture, weights=None, num_classes=n_outputs)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, 1 or 3, height, width) in 0…1 → (batch, class) logits; grey is repeated."""
        return self.trunk((pictures.expand(-1, 3, -1, -1) - self.mean) / self.std)


def given(architecture: str, weights: str) -> Resnet:
    """A network with torchvision's ImageNet weights, or those of a file, in evaluation mode.

    Args:
        architecture: ``resnet18`` or ``resnet50``.
        weights: ``imagenet``, or a checkpoint: one that :func:`save` wrote, or the state dict of
            torchvision's network.

    Raises:
        InputError: weights that cannot be found, downloaded or read, or do not fit.
    """
    if weights == IMAGENET:
        return _filled(architecture, _imagenet(architecture), Path(IMAGENET))
    path = Path(weights)
    description, state = checkpoints.load(path)
    if description and description.get("network") != KIND:
        raise InputError(
            f"{path}: is the checkpoint of a {description.get('network') or 'network'} of another "
            f"kind; a {architecture} is needed"
        )
    return _filled(architecture, state, path)


def save(path: Path, network: Resnet) -> None:
    """Write a network as a checkpoint."""
    description = {
        "network": KIND,
        "architecture": network.architecture,
        "n_outputs": network.n_outputs,
    }
    checkpoints.save(path, network.trunk, description)


def load(path: Path) -> Resnet:
    """Read what :func:`save` wrote, in evaluation mode; raises InputError for anything else."""
    description, state = checkpoints.load(path)
    if description.get("network") != KIND or "architecture" not in description:
        raise InputError(f"{path}: is no checkpoint of a {KIND}")
    return _filled(str(description["architecture"]), state, path)


def _imagenet(architecture: str) -> Mapping[str, Tensor]:
    from torchvision import models  # noqa: PLC0415  takes seconds to load

    weights = models.get_model_weights(architecture).DEFAULT
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # what urllib raises without a connection is one
        file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
        raise InputError(
            f"baselines.classifier.weights: imagenet: there is no {file}, and {weights.url} cannot "
            f"be downloaded ({error}); put the file there, or give a checkpoint of your own"
        ) from None
    return state


def _filled(architecture: str, state: Mapping[str, Tensor], source: Path) -> Resnet:
    last = state.get("fc.weight")
    if last is None or last.dim() != 2:
        raise InputError(
            f"{source}: has no fc.weight (class, feature); the state dict of torchvision's "
            f"{architecture} is needed"
        )
    network = Resnet(architecture, len(last))
    checkpoints.fill(network.trunk, state, source)
    return network.eval()
