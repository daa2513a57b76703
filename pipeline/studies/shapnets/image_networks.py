"""Networks for images: Shapley explanation networks, regularised or not, and a similar CNN."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.errors import InputError
from pipeline.models import checkpoints
from pipeline.models.arguments import check_kind, tensor, weight_of
from pipeline.models.image_shapnets import SLOPE, ImageShapNet, Window, from_state, windows_of
from pipeline.models.pictures import repeatable
from pipeline.models.training import fit
from pipeline.studies.shapnets.image_data import Images
from pipeline.studies.shapnets.image_paths import IMAGE_MODELS
from pipeline.studies.shapnets.params import ImageNetworksParams

COMPARED = ("plain", "cnn")
"""Networks that are trained several times to compare their accuracies."""

KEYS = ("channels", "widths", "dilations", "windows")

AT_ONCE = 32
"""Images that are evaluated at once."""

TRAINED_AT_ONCE = 4
"""Images whose gradients are computed at once, on a CPU."""


class ConvolutionalNetwork(nn.Module):
    """Dilated convolutions with the windows of a ShapNet's stages, then a sum over pixels.

    It has the same parameters as the ShapNet with the same arguments. No leaky ReLU follows the
    last convolution.

    Args:
        channels: channels of the images.
        widths: output channels of each convolution; the last are the network's outputs.
        dilations: dilation of each convolution.
        windows: window of each convolution.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        dilations: Sequence[int],
        windows: Sequence[Window],
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Conv2d(before, width, (window[0], window[1]), dilation=dilation)
            for before, width, dilation, window in zip(
                [channels, *widths[:-1]], widths, dilations, windows, strict=True
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """(image, channel, height, width) → (image, output)."""
        for number, stage in enumerate(self.stages):
            assert isinstance(stage, nn.Conv2d)
            reach = [
                (size - 1) * apart
                for size, apart in zip(stage.kernel_size, stage.dilation, strict=True)
            ]
            top, left = reach[0] // 2, reach[1] // 2
            padded = functional.pad(images, (left, reach[1] - left, top, reach[0] - top))
            images = stage(padded)
            if number < len(self.stages) - 1:
                images = functional.leaky_relu(images, SLOPE)
        return images.sum(dim=(2, 3))


def structure_of(images: Images, params: ImageNetworksParams) -> dict[str, Any]:
    """Arguments of the networks.

    Raises:
        InputError: parameters that do not fit together, or do not fit the images.
    """
    widths = [*params.channels, len(images.classes)]
    windows = [(height, width) for height, width in params.windows]
    if len(windows) == 1:
        windows = windows_of(windows[0], len(widths))
    if not len(widths) == len(params.dilations) == len(windows):
        raise InputError(
            f"shapnets.image_networks: {len(params.dilations)} dilations and {len(windows)} "
            f"windows for {len(params.channels)} channels; there is one stage more than channels "
            "(the last one outputs the classes), so give a dilation for each stage, and a window "
            "for each or one for all"
        )
    sides = [side + 2 * images.preparation.margin for side in images.test.pixels.shape[2:]]
    for window, dilation in zip(windows, params.dilations, strict=True):
        if any((w - 1) * dilation >= side for w, side in zip(window, sides, strict=True)):
            raise InputError(
                f"shapnets.image_networks: a window of {window[0]} × {window[1]} with dilation "
                f"{dilation} does not fit into images of {sides[0]} × {sides[1]} pixels; give "
                "smaller dilations, or take larger images (shapnets.images.source)"
            )
    return {
        "channels": images.train.pixels.shape[1],
        "widths": widths,
        "dilations": list(params.dilations),
        "windows": windows,
    }


def built(kind: str, structure: dict[str, Any]) -> nn.Module:
    """A network with random weights."""
    if kind == "cnn":
        return ConvolutionalNetwork(**structure)
    return ImageShapNet(*(structure[key] for key in KEYS))


def trained(
    kind: str,
    images: Images,
    params: ImageNetworksParams,
    seed: int,
    device: torch.device,
    *,
    threads: int = 1,
    after_epoch: Callable[[int, nn.Module], None] | None = None,
) -> nn.Module:
    """Train a network by name. On a CPU the result is always the same for one number of threads.

    Args:
        kind: name of the network.
        images: images to train on.
        params: sizes of the network, and how it is trained.
        seed: seed of initial weights and batches.
        device: where it is trained.
        threads: number of threads on a CPU.
        after_epoch: called after each epoch with its number and the network.
    """
    structure = structure_of(images, params)
    labels = torch.from_numpy(images.train.labels).to(device)
    term = _terms(params).get(kind)

    def batches(epoch: int) -> Any:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(images.train.labels))
        for start in range(0, len(order), params.batch):
            rows = order[start : start + params.batch]
            yield images.trained_on(rows, rng).to(device), labels[torch.from_numpy(rows)]
        if after_epoch is not None:
            after_epoch(epoch, network)

    with repeatable(seed, threads):
        network = built(kind, structure).to(device)

        def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
            pixels, targets = batch
            if term is None:
                return functional.cross_entropy(network(pixels), targets)
            assert isinstance(network, ImageShapNet)
            explained = network.explain(pixels)
            entropy = functional.cross_entropy(explained.scores, targets)
            return entropy + term(explained.stages)

        fit(
            network,
            loss,
            batches,
            epochs=params.epochs,
            batches_per_epoch=-(-len(labels) // params.batch),
            learning_rate=params.learning_rate,
            description=f"image network {kind}",
            schedule=params.schedule,
            at_once=TRAINED_AT_ONCE if device.type == "cpu" else None,
        )
    return network


def _terms(params: ImageNetworksParams) -> dict[str, Callable[[Sequence[Tensor]], Tensor]]:
    """What is added to the loss of each regularised network, given its stages' representations."""
    return {
        "l1": lambda stages: params.l1 * l1(stages[-1]),
        "l1_all": lambda stages: params.l1 * torch.stack([l1(each) for each in stages]).sum(),
        "l_infinity": lambda stages: params.l_infinity * l_infinity(stages[-1]),
    }


def l1(values: Tensor) -> Tensor:
    """The mean over images and channels of the sum over pixels of absolute values.

    Args:
        values: (image, channel, height, width)
    """
    return values.abs().sum(dim=(2, 3)).mean()


def l_infinity(values: Tensor) -> Tensor:
    """The mean over images and channels of the largest absolute value of a pixel."""
    return values.abs().amax(dim=(2, 3)).mean()


@torch.no_grad()
def scores_of(network: nn.Module, images: Tensor) -> Tensor:
    """Scores of images, in batches: (image, class), on the CPU."""
    check_kind("network", network, nn.Module)
    images, device = tensor("images", images, weight_of(network)), next(network.parameters()).device
    return torch.cat([network(part.to(device)).cpu() for part in images.split(AT_ONCE)])


def accuracy(network: nn.Module, images: Images) -> float:
    """Share of test images whose highest score is that of their class."""
    found = scores_of(network, images.tested()).argmax(dim=1).numpy()
    return float((found == images.test.labels).mean())


def save(path: Path, network: nn.Module, kind: str, structure: dict[str, Any]) -> None:
    """Write a network as a checkpoint."""
    described = {**structure, "windows": [list(window) for window in structure["windows"]]}
    checkpoints.save(path, network, {"image_model": kind, **described})


def load(path: Path) -> tuple[str, nn.Module]:
    """Name and network, in evaluation mode, of a checkpoint that :func:`save` wrote.

    Raises:
        InputError: any other checkpoint.
    """
    description, state = checkpoints.load(path)
    kind = description.get("image_model")
    if kind not in IMAGE_MODELS:
        raise InputError(f"{path}: is no checkpoint of an image network; make it again")
    if kind == "cnn":
        network: nn.Module = checkpoints.build(path, ConvolutionalNetwork, KEYS)
    else:
        network = from_state(state)
    return str(kind), network.eval()
