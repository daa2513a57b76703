"""torchvision's residual networks of pictures in 0…1, with one channel or three.

They are classifiers or, without their last layer, embeddings.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.models import checkpoints

ARCHITECTURES = ("resnet18", "resnet50")
KIND = "Resnet"
EMBEDDING = "ResnetEmbedding"
IMAGENET = "imagenet"
"""Name of torchvision's own weights."""

# ImageNet's statistics in RGB, with which torchvision's weights were trained.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class Resnet(nn.Module):
    """A residual network preceded by the normalisation of its training.

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


class ResnetEmbedding(Resnet):
    """The input of a residual network's last layer, scaled to Euclidean length 1.

    Args:
        architecture: ``resnet18`` (512 features) or ``resnet50`` (2048).
    """

    def __init__(self, architecture: str) -> None:
        super().__init__(architecture, 1)
        self.n_outputs = int(self.trunk.fc.in_features)
        self.trunk.fc = nn.Identity()

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, 1 or 3, height, width) in 0…1 → (batch, feature); grey is repeated."""
        return nn.functional.normalize(super().forward(pictures), dim=1)


def given(architecture: str, weights: str) -> Resnet:
    """A network with torchvision's ImageNet weights, or those of a file, in evaluation mode.

    Args:
        architecture: ``resnet18`` or ``resnet50``.
        weights: ``imagenet``, or a checkpoint: one that :func:`save` wrote, or the state dict of
            torchvision's network.

    Raises:
        InputError: weights that cannot be found, downloaded or read, or that do not fit.
    """
    return _filled(architecture, *_state(architecture, weights, "classifier", {KIND}))


def given_embedding(architecture: str, weights: str) -> ResnetEmbedding:
    """As :func:`given`, for an embedding; the last layer of a file is ignored.

    Args:
        architecture: ``resnet18`` or ``resnet50``.
        weights: as for :func:`given`, or a checkpoint that :func:`save_embedding` wrote.

    Raises:
        InputError: as :func:`given`.
    """
    return _headless(architecture, *_state(architecture, weights, "embedding", {KIND, EMBEDDING}))


def _state(
    architecture: str, weights: str, stage: str, kinds: set[str]
) -> tuple[Mapping[str, Tensor], Path]:
    """torchvision's own weights or those of a file, and their source."""
    if weights == IMAGENET:
        return _imagenet(architecture, stage), Path(IMAGENET)
    path = Path(weights)
    description, state = checkpoints.load(path)
    if description and description.get("network") not in kinds:
        raise InputError(
            f"{path}: is the checkpoint of a {description.get('network') or 'network'}, not of a "
            f"{architecture}"
        )
    return state, path


def save(path: Path, network: Resnet) -> None:
    """Write a classifier as a checkpoint."""
    _save(path, network, KIND)


def save_embedding(path: Path, network: ResnetEmbedding) -> None:
    """Write an embedding as a checkpoint."""
    _save(path, network, EMBEDDING)


def _save(path: Path, network: Resnet, kind: str) -> None:
    description = {
        "network": kind,
        "architecture": network.architecture,
        "n_outputs": network.n_outputs,
    }
    checkpoints.save(path, network.trunk, description)


def load(path: Path) -> Resnet:
    """Read a file of :func:`save`, in evaluation mode; raises InputError for anything else."""
    return _filled(*_described(path, KIND), path)


def load_embedding(path: Path) -> ResnetEmbedding:
    """Read a file of :func:`save_embedding`, as :func:`load`."""
    return _headless(*_described(path, EMBEDDING), path)


def _described(path: Path, kind: str) -> tuple[str, Mapping[str, Tensor]]:
    """Architecture and state."""
    description, state = checkpoints.load(path)
    if description.get("network") != kind or "architecture" not in description:
        raise InputError(f"{path}: is no checkpoint of a {kind}")
    return str(description["architecture"]), state


def _imagenet(architecture: str, stage: str) -> Mapping[str, Tensor]:
    from torchvision import models  # noqa: PLC0415  takes seconds to load

    weights = models.get_model_weights(architecture).DEFAULT
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # urllib raises an OSError without a connection
        file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
        raise InputError(
            f"baselines.{stage}.weights: imagenet: there is no {file}, and {weights.url} cannot be "
            f"downloaded ({error}); put the file there, or give a checkpoint of your own"
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


def _headless(architecture: str, state: Mapping[str, Tensor], source: Path) -> ResnetEmbedding:
    network = ResnetEmbedding(architecture)
    body = {name: value for name, value in state.items() if not name.startswith("fc.")}
    checkpoints.fill(network.trunk, body, source)
    return network.eval()
