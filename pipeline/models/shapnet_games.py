"""Values of all coalitions of features of a ShapNet, each part evaluated once.

What a layer gives a player depends on the features that have met in it, and on no others. So the
tables grow with the layers: 2 rows for a feature, 4 where two have met, and 2ᵈ rows only where all
have. A network of 16 features in pairs evaluates its last layer on 65,536 rows, and all layers
before on 340.

This is for complete tables; of few coalitions call the network.
"""

import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.models.arguments import check_kind, finite, tensor
from pipeline.models.shapnets import ShapleyLayer, ShapleyModules, ShapNet

AT_ONCE = 1 << 20
"""Numbers that are held of a layer's units at once."""

Fields = list[tuple[int, ...]]
"""Of each player the features that it depends on, ascending"""


@torch.inference_mode()
def coalition_values(network: ShapNet, features: Tensor) -> Tensor:
    """Scores of a sample of which some features are present: (2**feature, output).

    Args:
        network: any ShapNet; what is computed has the dtype of its weights.
        features: (feature,). Absent ones have the network's references.

    Returns:
        Scores in mask order: feature i is present where bit i of the row's number is set.

    Raises:
        InputError: another network, features of another shape, NaN or Inf in them or in weights.
    """
    check_kind("network", network, ShapNet)
    features = finite("features", tensor("features", features))
    if features.shape != network.references.shape:
        raise InputError(
            f"features of shape {tuple(features.shape)}: ({len(network.references)},) are needed"
        )
    n = len(network.references)
    tables = list(torch.stack([network.references, features.to(network.references)]).T[:, :, None])
    fields: Fields = [(player,) for player in range(n)]
    references: Tensor | None = network.references[:, None, None]
    *before, last = (layer for layer in network.layers if isinstance(layer, ShapleyLayer))
    for layer in before:
        tables, fields = _next(layer, tables, fields, references)
        references = None
    found = network.with_bias(_total(last, tables, fields, references))
    return finite("the network's scores", found)


def _next(
    layer: ShapleyLayer, tables: list[Tensor], fields: Fields, references: Tensor | None
) -> tuple[list[Tensor], Fields]:
    """What a layer gives each player: a table (2**field, channel) each, and the fields."""
    found: list[list[tuple[tuple[int, ...], Tensor]]] = [[] for _ in tables]
    for modules, unions in _alike(layer, fields):
        own = _products(modules, tables, fields, unions, slice(None))
        other = None if references is None else modules.products(references)
        for players, union, values in zip(
            modules.sets.tolist(), unions, modules.values(own, other), strict=True
        ):
            for player, value in zip(players, values, strict=True):
                found[player].append((union, value))
    new, new_fields = [], []
    for player, parts in enumerate(found):
        field = _union(union for union, _ in parts) if parts else fields[player]
        table = tables[player].new_zeros(2 ** len(field), layer.n_outputs)
        for union, value in parts:
            table += value[_rows(field, union)]
        new.append(table)
        new_fields.append(field)
    return new, new_fields


def _total(
    layer: ShapleyLayer, tables: list[Tensor], fields: Fields, references: Tensor | None
) -> Tensor:
    """The sum of the last layer's values: (2**feature, output)."""
    n = len(tables)
    found = tables[0].new_zeros(2**n, layer.n_outputs)
    for modules, unions in _alike(layer, fields):
        other = None if references is None else modules.products(references)
        rows, units = 2 ** len(unions[0]), len(unions) * modules.biases[0].shape[2]
        step = max(1, AT_ONCE // units)
        parts = [
            modules.total_of(
                _products(modules, tables, fields, unions, slice(start, start + step)).sum(1), other
            )
            for start in range(0, rows, step)
        ]
        for union, total in zip(unions, torch.cat(parts, dim=1), strict=True):
            found += total[_rows(tuple(range(n)), union)]
    return found


def _alike(
    layer: ShapleyLayer, fields: Fields
) -> list[tuple[ShapleyModules, list[tuple[int, ...]]]]:
    """A layer's modules, those together that have as many players and depend on as many features.

    With each its features.
    """
    found = []
    for group in layer.groups:
        assert isinstance(group, ShapleyModules)
        by_size: dict[int, list[int]] = {}
        unions = [_union(fields[player] for player in players) for players in group.sets.tolist()]
        for place, union in enumerate(unions):
            by_size.setdefault(len(union), []).append(place)
        found += [(group.some(places), [unions[p] for p in places]) for places in by_size.values()]
    return found


def _products(
    modules: ShapleyModules,
    tables: list[Tensor],
    fields: Fields,
    unions: Sequence[tuple[int, ...]],
    rows: slice,
) -> Tensor:
    """Products of each module's players at some rows of its table: (module, k, row, hidden)."""
    found = []
    for place, (players, union) in enumerate(zip(modules.sets.tolist(), unions, strict=True)):
        of_players = [
            (tables[player] @ modules.first[place, number])[_rows(union, fields[player])[rows]]
            for number, player in enumerate(players)
        ]
        found.append(torch.stack(of_players))
    return torch.stack(found)


@lru_cache(maxsize=160)
def _rows(larger: tuple[int, ...], smaller: tuple[int, ...]) -> Tensor:
    """For each coalition of a field the row of its part in a smaller one: (2**larger,)."""
    numbers = torch.arange(2 ** len(larger))
    found = torch.zeros_like(numbers)
    for place, feature in enumerate(smaller):
        found |= (numbers >> larger.index(feature) & 1) << place
    return found


def _union(fields: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted(set(itertools.chain(*fields))))
