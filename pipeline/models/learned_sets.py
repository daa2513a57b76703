"""Shapley explanation networks that learn which features interact (Wang et al., 2021, App. E).

Each layer begins with every single feature and all pairs of features, which is more than needed.
During training, pairs are removed from the last layer to the first. The paper identifies a
redundant module by inputs near 0. Here it is identified by its output beyond that of its single
features,

    f(both) − f(first) − f(second) + f(neither)        in the mean over samples of the ℓ1 norm,

which is then near 0 too, and is also near 0 where features matter without interacting. Modules of
one feature stay, so that no feature is lost.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.core.arguments import real, whole, wholes
from pipeline.core.errors import InputError
from pipeline.models.arguments import check_kind, features_for, finite
from pipeline.models.shapnets import ShapleyLayer, ShapleyModules, ShapNet

Pair = tuple[int, int]


def redundant(
    n_players: int, widths: Sequence[int], hidden: Sequence[Sequence[int]], *, bias: bool = False
) -> ShapNet:
    """A network with all single features and all pairs per layer; arguments as of ``ShapNet``."""
    n_players, widths = whole("n_players", n_players), wholes("widths", widths)
    sets = [(i,) for i in range(n_players)]
    pairs = list(itertools.combinations(range(n_players), 2))
    return ShapNet([[*sets, *pairs]] * len(widths), n_players, widths, hidden, bias=bias)


@torch.no_grad()
def interactions(network: ShapNet, features: Tensor, layer: int) -> dict[tuple[int, ...], float]:
    """Output of each module of a layer beyond that of its single features, by active set.

    Args:
        network: evaluated up to the layer.
        features: (sample, feature)
        layer: index of the layer.

    Raises:
        InputError: the network is of another type, the layer does not exist, or features have
            another shape, hold NaN or Inf, or have no sample.
    """
    _groups(network, layer)
    features = finite("features", features_for(features, network.references))
    if not len(features):
        raise InputError("no features: give at least one sample")
    x: Tensor = features.T[:, :, None]
    references: Tensor | None = network.references[:, None, None]
    for number in range(layer):
        x, references = network.layers[number](x, references), None
    found: dict[tuple[int, ...], float] = {}
    for group in _groups(network, layer):
        own = group.products(x)
        other = None if references is None else group.products(references)
        steps = own if other is None else own - other
        start = own.new_zeros(()) if other is None else other.sum(dim=1)
        rest = group.total_of(steps.sum(dim=1) + start, other)
        for place in range(steps.shape[1]):
            rest = rest - group.total_of(steps[:, place] + start, other)
        sizes = rest.abs().sum(dim=2).mean(dim=1).tolist()
        found |= dict(zip(map(tuple, group.sets.tolist()), sizes, strict=True))
    return found


def strip(network: ShapNet, layer: int, kept: int, sizes: Mapping[Any, float]) -> None:
    """Remove from a layer, in place, all pairs but those of the largest sizes.

    Args:
        network: the remaining modules keep their weights; an optimizer must be created again.
        layer: index of the layer.
        kept: number of pairs that stay.
        sizes: sizes of all pairs of the layer, by active set.

    Raises:
        InputError: kept is negative, the network is of another type, the layer does not exist, or a
            pair has no size.
    """
    if whole("pairs to be kept", kept, None) < 0:
        raise InputError(f"{kept} pairs to be kept: must be at least 0")
    pairs = [some for group in _groups(network, layer) for some in map(tuple, group.sets.tolist())
             if len(some) > 1]  # fmt: skip
    if not isinstance(sizes, Mapping) or not set(pairs) <= set(sizes):
        raise InputError("sizes: some pairs of the layer have none; interactions returns all")
    for pair in pairs:
        real(f"the size of {pair}", sizes[pair], least=0)
    stay = set(sorted(pairs, key=lambda some: -sizes[some])[:kept])
    groups = []
    for group in _groups(network, layer):
        sets = [tuple(some) for some in group.sets.tolist()]
        chosen = [i for i, some in enumerate(sets) if len(some) == 1 or some in stay]
        if chosen:
            groups.append(group.some(chosen))
    network.layers[layer].groups = nn.ModuleList(groups)


def pairs_of(network: ShapNet, layer: int) -> list[Pair]:
    """Pairs of features that meet in a layer."""
    groups = (group for group in _groups(network, layer) if group.sets.shape[1] == 2)
    return [(first, second) for group in groups for first, second in group.sets.tolist()]


def _groups(network: ShapNet, layer: int) -> list[ShapleyModules]:
    check_kind("network", network, ShapNet)
    found = network.layers[whole("layer", layer, 0, len(network.layers) - 1)]
    assert isinstance(found, ShapleyLayer)
    return [group for group in found.groups if isinstance(group, ShapleyModules)]
