"""Other measures of a filter's importance, to compare Neuron Shapley values with (Fig. 2)."""

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import LayerConductance
from numpy.typing import NDArray
from torch import Tensor

from pipeline.models.units import CONVOLUTIONS, outputs_of
from pipeline.studies.neurons.filters import Filters
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.metrics import Metric

Floats = NDArray[np.float64]

AT_ONCE = 64
"""Images whose gradients are computed at once."""


def has_weights(filters: Filters) -> bool:
    """Whether players are single filters of convolutions, as weight norms and conductance need."""
    modules = (filters.masked.network.get_submodule(site.name) for site in filters.masked.sites)
    return not filters.grouped and all(isinstance(module, CONVOLUTIONS) for module in modules)


def weight_norms(filters: Filters) -> Floats:
    """The ℓ₂ norm of each filter's weights: (player,)."""
    parts = []
    for site in filters.masked.sites:
        weight = filters.masked.network.get_submodule(site.name).weight
        assert isinstance(weight, Tensor)
        parts.append(weight.detach().flatten(1).norm(dim=1).cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


def response_norms(filters: Filters, images: Images, weights: Floats) -> Floats:
    """The ℓ₂ norm of each filter's response, a weighted mean over images: (player,)."""
    places = np.flatnonzero(weights)
    norms = per_image(filters, images, places, lambda output: _flat(output).norm(dim=2))
    return weights[places] @ norms


def leave_one_out(
    filters: Filters, images: Images, targets: NDArray[np.integer] | None, metric: Metric
) -> Floats:
    """Loss of the metric when only one filter is removed: (player,)."""
    n = len(filters.players)
    there = np.ones((n + 1, n), dtype=bool)
    there[np.arange(n), np.arange(n)] = False
    places = np.flatnonzero(metric.weights)
    said = filters.say(
        images, targets, np.repeat(places, n + 1), np.tile(there, (len(places), 1))
    ).reshape(len(places), n + 1, -1)
    some = None if targets is None else targets[places]
    found = np.tensordot(metric.weights[places], metric.per_image(said, some), axes=1)
    return found[-1] - found[:-1]


def conductance(
    filters: Filters,
    images: Images,
    classes: NDArray[np.integer],
    weights: Floats,
    *,
    steps: int,
) -> Floats:
    """Neuron Conductance of each filter, a weighted mean over images: (player,).

    The path starts at a black image (Dhamdhere et al., 2018). The integral is a Riemann sum, as in
    the paper.

    Args:
        filters: the network with its filters as players.
        images: images to average over.
        classes: (image,) the class whose score is explained.
        weights: (image,)
        steps: number of points of the sum.
    """
    network, found = filters.masked.network, []
    places = np.flatnonzero(weights)
    for site in filters.masked.sites:
        layer, total = LayerConductance(network, network.get_submodule(site.name)), 0.0
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            pixels = torch.from_numpy(images.pixels[some]).to(filters.device)
            attributed = layer.attribute(
                pixels,
                baselines=torch.zeros_like(pixels),
                target=torch.from_numpy(classes[some]).to(filters.device),
                n_steps=steps,
                method="riemann_trapezoid",
                internal_batch_size=AT_ONCE * 16,
            )
            per_unit = attributed.detach().flatten(2).sum(dim=2).double().cpu().numpy()
            total = total + weights[some] @ per_unit
        found.append(total)
    return np.concatenate(found)


def strength(output: Tensor) -> Tensor:
    """How much images activate units: means of outputs, (image, unit, …) → (image, unit)."""
    return _flat(output).mean(dim=2)


def _flat(output: Tensor) -> Tensor:
    return output.reshape(*output.shape[:2], -1)


@torch.inference_mode()
def per_image(
    filters: Filters, images: Images, places: NDArray[np.integer], of: Callable[[Tensor], Tensor]
) -> Floats:
    """Apply a function to each filter's output for some images: (place, player).

    Args:
        filters: the network with its filters as players.
        images: all images of a part.
        places: (place,) indices of the images that are used.
        of: maps outputs (image, unit, …) to (image, unit). If a module runs several times, the mean
            over its runs is taken.
    """
    found = []
    for start in range(0, len(places), AT_ONCE):
        some = torch.from_numpy(images.pixels[places[start : start + AT_ONCE]])
        found.append(per_player(filters, some.to(filters.device), of).double().cpu().numpy())
    return np.concatenate(found)


def per_player(filters: Filters, pixels: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """Like :func:`per_image`, for a batch on the network's device, with gradients: (image, player).

    A player that is a whole module gets the mean over its units.
    """
    sites = filters.masked.sites
    outputs = outputs_of(filters.masked.network, sites, pixels)
    told = [torch.stack([of(t) for t in outputs[site.name]]).mean(dim=0) for site in sites]
    return torch.cat([t.mean(dim=1, keepdim=True) for t in told] if filters.grouped else told, 1)
