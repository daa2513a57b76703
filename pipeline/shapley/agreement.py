"""How well estimated values agree with exact ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arguments import array, whole
from pipeline.core.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of each vector of values; every field is (...,)."""

    pearson: Floats
    """Pearson's r over players; NaN where either side is constant, or for a single player"""
    kendall: Floats
    """Kendall's τ-b over players: 1 where the order is the same, −1 where it is reversed"""
    mean_absolute_error: Floats
    """in the unit of the values"""


def agreement(
    estimated: NDArray[np.floating], exact: NDArray[np.floating], axis: int = -1
) -> Agreement:
    """Compare each vector of estimates over players with the corresponding exact values.

    Args:
        estimated: (..., player, ...) floats.
        exact: an array that broadcasts against ``estimated``.
        axis: the axis of the players.

    Raises:
        InputError: an input is not numeric, the axis does not exist, or the shapes do not match.
    """
    first, second = (
        _players_last(name, values, axis)
        for name, values in (("estimated", estimated), ("exact", exact))
    )
    try:
        first, second = np.broadcast_arrays(first, second)
    except ValueError:
        raise InputError(
            f"estimated and exact with players last are of shape {first.shape} and {second.shape}: "
            "they cannot be broadcast"
        ) from None
    return Agreement(
        pearson=pearson(first, second),
        kendall=_correlation(_signs(first), _signs(second)),
        mean_absolute_error=np.abs(first - second).mean(axis=-1),
    )


def _players_last(name: str, values: NDArray[np.floating], axis: int) -> Floats:
    given = array(name, values).astype(np.float64, copy=False)
    return np.moveaxis(given, whole("axis", axis, -given.ndim, given.ndim - 1), -1)


def pearson(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Pearson's r over the last axis, in float64; NaN where either side is constant.

    Args:
        first: (..., value) floats.
        second: of the same shape.
    """
    own, other = (
        values - values.mean(axis=-1, keepdims=True)
        for values in (np.asarray(first, np.float64), np.asarray(second, np.float64))
    )
    return _correlation(own, other)


def _signs(values: Floats) -> Floats:
    """Sign of the difference of every two players' values: (..., pair), −1, 0 or 1."""
    i, j = np.triu_indices(values.shape[-1], k=1)
    return np.sign(values[..., i] - values[..., j])


def _correlation(first: Floats, second: Floats) -> Floats:
    """Correlation of vectors that need no centring; NaN where one is zero."""
    product = (first * second).sum(axis=-1)
    lengths = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return np.divide(product, lengths, out=np.full_like(product, np.nan), where=lengths > 0)
