"""Values of all coalitions of a ShapNet's features, with each part evaluated only once.

A layer's output for a player depends only on the features that have met in the player so far. So
the tables grow with the layers: 2 rows for one feature, 4 where two have met, and 2ᵈ rows only
where all have met. A network of 16 features in pairs evaluates its last layer on 65,536 rows, and
all layers before on 340.

Use this for complete tables; for few coalitions call the network.
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
"""Numbers of a layer's units in memory at once."""

Fields = list[tuple[int, ...]]
"""For each player, the features that it depends on, ascending"""


@torch.inference_mode()
def coalition_values(network: ShapNet, features: Tensor) -> Tensor:
    """Scores of one sample for all coalitions of its features: (2**feature, output).

    Args:
        network: any ShapNet; results have the dtype of its weights.
        features: (feature,). Absent ones are replaced by the network's references.

    Returns:
        Scores in mask order: feature i is present where bit i of the row's number is set.

    Raises:
        InputError: the network is of another type, features have another shape, or features or
            scores are NaN or Inf.
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
    """A layer's output: a table (2**field, channel) for each player, and the players' fields."""
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
    """A layer's modules, grouped by number of players and number of features they depend on.

    Each group comes with the features of each of its modules.
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
    """For each coalition of a field, its row in the table of a smaller field: (2**larger,)."""
    numbers = torch.arange(2 ** len(larger))
    found = torch.zeros_like(numbers)
    for place, feature in enumerate(smaller):
        found |= (numbers >> larger.index(feature) & 1) << place
    return found


def _union(fields: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted(set(itertools.chain(*fields))))
