"""The networks whose filters are valued: small ones that are trained here, and given ones."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.models import checkpoints
from pipeline.models.pictures import repeatable
from pipeline.models.training import fit
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.params import TrainingParams

KEYS = ("channels", "n_outputs", "widths", "dropout")

MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's colours, as torchvision's networks expect them."""

TRANSFORMING = ("inception_v3", "googlenet")

AT_ONCE = 512
"""Images that are evaluated at once."""


class SmallNetwork(nn.Module):
    """Convolutions of 3 × 3, each with a ReLU, their mean over the image, and one linear layer.

    Args:
        channels: of the images.
        n_outputs: number of classes.
        widths: filters of each convolution; after the second one the maps are halved.
        dropout: share of the filters that are left out in training.
    """

    def __init__(
        self, channels: int, n_outputs: int, widths: Sequence[int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.sizes = (channels, n_outputs, list(widths), dropout)
        body: list[nn.Module] = []
        for number, (before, width) in enumerate(zip([channels, *widths], widths, strict=False)):
            body += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            if dropout:
                body.append(nn.Dropout2d(dropout))
            if number == 1:
                body.append(nn.MaxPool2d(2))
        self.body = nn.Sequential(*body)
        self.last = nn.Linear(widths[-1], n_outputs)
        # Convolutions of few channels take two thirds of the time with the channels last in memory.
        self.to(memory_format=torch.channels_last)

    def description(self) -> dict[str, Any]:
        """What a checkpoint needs to build the network."""
        return {"kind": "small", **dict(zip(KEYS, self.sizes, strict=True))}

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, height, width) → (batch, class) logits."""
        scores: Tensor = self.last(self.body(images).mean(dim=(2, 3)))
        return scores


def trained(
    images: Images, params: TrainingParams, channels: Sequence[int], dropout: float
) -> SmallNetwork:
    """Train a small network by cross-entropy, with one thread: the result is always the same."""
    pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)

    def batches(epoch: int) -> tuple[Tensor, ...]:
        order = np.random.default_rng([params.seed, epoch]).permutation(len(labels))
        return torch.from_numpy(order).split(params.batch)

    with repeatable(params.seed):
        network = SmallNetwork(pixels.shape[1], len(images.classes), channels, dropout)

        def loss(rows: Tensor) -> Tensor:
            return nn.functional.cross_entropy(network(pixels[rows]), labels[rows])

        fit(
            network,
            loss,
            batches,
            epochs=params.epochs,
            batches_per_epoch=-(-len(labels) // params.batch),
            learning_rate=params.learning_rate,
            description="network",
            schedule="one_cycle",
        )
    return network


def read_network(path: Path) -> nn.Module:
    """The network of a checkpoint, in evaluation mode.

    Raises InputError for anything else.
    """
    description, state = checkpoints.load(path)
    kind = description.get("kind")
    if kind == "small":
        network: nn.Module = checkpoints.build(path, SmallNetwork, KEYS)
    elif kind == "given":
        network = built(str(description["architecture"]), int(description["n_outputs"]))
        checkpoints.fill(network, state, path)
    else:
        raise InputError(f"{path}: is no network of this study; make it again")
    return network.eval()


def given(architecture: str, weights: str | None, n_outputs: int) -> nn.Module:
    """A network by the name of its architecture, with given weights.

    Args:
        architecture: ``torchvision:<name>`` or ``<module>:<function>``.
        weights: a checkpoint, or a name of torchvision's, such as ``IMAGENET1K_V1``; None: random.
        n_outputs: number of classes.

    Raises:
        InputError: an unknown architecture, or unknown or unfit weights.
    """
    network = built(architecture, n_outputs)
    inner = network.network if isinstance(network, Normalised) else network
    if weights is not None and Path(weights).suffix:
        checkpoints.fill(inner, checkpoints.load(Path(weights))[1], Path(weights))
    elif weights is not None:
        checkpoints.fill(inner, _torchvision_state(architecture, weights), Path(weights))
    return network.eval()


class Normalised(nn.Module):
    """A torchvision network that first normalises images as in its training."""

    mean: Tensor
    sd: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(SD).reshape(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) in 0…1 → (batch, class)."""
        scores: Tensor = self.network((images - self.mean) / self.sd)
        return scores


def built(architecture: str, n_outputs: int) -> nn.Module:
    """A network by the name of its architecture; its weights are random."""
    module, _, name = architecture.partition(":")
    try:
        if module == "torchvision":
            from torchvision import models  # noqa: PLC0415  takes a second to load

            # torchvision sets these networks' transformation of inputs only along with weights.
            own = {"transform_input": True, "init_weights": False} if name in TRANSFORMING else {}
            network = Normalised(models.get_model(name, weights=None, num_classes=n_outputs, **own))
        else:
            network = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"neurons.networks.plain.architecture: {architecture!r} cannot be built: {error}; give "
            "small, torchvision:<name> or <module>:<function>"
        ) from None
    if not isinstance(network, nn.Module):
        raise InputError(
            f"neurons.networks.plain.architecture: {architecture!r} is no torch network"
        )
    return network


def _torchvision_state(architecture: str, weights: str) -> dict[str, Any]:
    from torchvision import models  # noqa: PLC0415  takes a second to load

    name = architecture.partition(":")[2]
    try:
        known = models.get_weight(f"{models.get_model_weights(name).__name__}.{weights}")
        return dict(known.get_state_dict(progress=False))
    except (KeyError, ValueError, OSError) as error:
        raise InputError(
            f"neurons.networks.plain.weights: {weights} of {architecture} cannot be loaded: "
            f"{error}; give the path of a checkpoint instead"
        ) from None


@torch.inference_mode()
def scores_of(network: nn.Module, pixels: NDArray[np.float32]) -> Tensor:
    """Scores of images, in batches: (image, class)."""
    device = next(network.parameters()).device
    parts = torch.from_numpy(pixels).split(AT_ONCE)
    return torch.cat([network(part.to(device)) for part in parts])


def accuracy(network: nn.Module, images: Images) -> float:
    """Share of images whose highest score is that of their class."""
    right = scores_of(network, images.pixels).argmax(dim=1).cpu().numpy() == images.labels
    return float(right.mean())
