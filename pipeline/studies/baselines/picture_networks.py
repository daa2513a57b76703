"""Networks of pictures: read from the stages' checkpoints, and evaluated in batches."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.data.pictures import Pictures
from pipeline.models import checkpoints, devices
from pipeline.models import pictures as networks
from pipeline.models.pictures import PictureClassifier, PictureEmbedding
from pipeline.studies.baselines import resnets

CACHED_BYTES = 1 << 24
"""Activations of a batch on the CPU; more would not fit its cache."""


def read_classifier(path: Path, pictures: Pictures) -> nn.Module:
    """Read a classifier from a checkpoint of the stage ``classifier``, in evaluation mode.

    Raises InputError if it takes pictures with another number of channels.
    """
    if checkpoints.load(path)[0].get("network") == resnets.KIND:
        return resnets.load(path)
    network = networks.load(path, PictureClassifier)
    fit_channels(network, pictures, path)
    return network


def read_embedding(path: Path, pictures: Pictures) -> nn.Module:
    """Read an embedding from a checkpoint of the stage ``embedding``, in evaluation mode.

    Raises InputError if it takes pictures with another number of channels.
    """
    if checkpoints.load(path)[0].get("network") == resnets.EMBEDDING:
        return resnets.load_embedding(path)
    network = networks.load(path, PictureEmbedding)
    fit_channels(network, pictures, path)
    return network


def fit_channels(network: networks.Convolutional, pictures: Pictures, source: Path) -> None:
    """Raise InputError unless the network takes pictures with this number of channels."""
    wanted, found = network.description()["channels"], pictures.pixels.shape[1]
    if wanted != found:
        raise InputError(
            f"{source}: takes pictures of {wanted} channels; these have {found}. Give the "
            "checkpoint that was made for them"
        )


def outputs_of(network: nn.Module, pictures: Tensor) -> Tensor:
    """Outputs of a network for pictures on its device, in batches and without gradients."""
    at_once = batch_size(network, pictures[0])
    with torch.no_grad():
        return torch.cat([network(part) for part in pictures.split(at_once)])


def batch_size(network: nn.Module, picture: Tensor, *, gradients: bool = False) -> int:
    """The best number of pictures for one call of a network: a power of two.

    On the CPU the activations must fit its cache, elsewhere the device's working memory. The number
    depends on nothing else, so results are repeatable.

    Args:
        network: on the picture's device.
        picture: (*shape), one of them.
        gradients: whether gradients are computed, which keeps activations.
    """
    counts = [picture.numel()]

    def count(_module: nn.Module, _inputs: Any, output: Any) -> None:
        counts.append(output.numel())

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.no_grad():
            network(picture[None])
    finally:
        for hook in hooks:
            hook.remove()
    each = sum(counts) * picture.element_size() * (4 if gradients else 1)
    device = picture.device
    room = CACHED_BYTES if device.type == "cpu" else devices.working_memory(device)
    most = 1 << 14
    return int(min(most, 1 << max(0, (room // each).bit_length() - 1)))


def described(network: nn.Module) -> dict[str, Any]:
    """A network's description besides its weights."""
    kind = {"kind": type(network).__name__}
    if isinstance(network, resnets.Resnet):
        return {**kind, "architecture": network.architecture}
    assert isinstance(network, networks.Convolutional)
    return {**kind, **network.description()}
