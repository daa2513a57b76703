"""How good an attribution of a picture to its areas is.

Values are held against exact Shapley values of the same areas, against what the model does when
areas are shown or hidden in the order of their values, against where the ink is, and against
their own repeats. The paper (Effective Coalitions of Shapley Value for Integrated Gradients)
compares ratios of values, so magnitudes are normalised by the sum of absolute values: Shapley
values of both signs may sum to anything. It also looks at positive and negative values apart
(section 5): :func:`parts`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arguments import array, real, whole
from pipeline.core.errors import InputError
from pipeline.shapley.agreement import agreement
from pipeline.shapley.games import Game, counted, masks_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RatioAgreement:
    """Of each vector of values, all (...,)."""

    pearson: Floats
    """over players; NaN where either side is constant, or of one player"""
    kendall: Floats
    """Kendall's τ-b over players; NaN as above"""
    ratio_distance: Floats
    """L1 distance of the normalised values: 0 (same ratios) to 2; NaN where either is all zero"""


def ratio_agreement(estimated: NDArray[np.floating], exact: NDArray[np.floating]) -> RatioAgreement:
    """Compare the values of players with exact ones, whatever their scales.

    Args:
        estimated: (..., player) floats.
        exact: what can be broadcast against ``estimated``.

    Raises:
        InputError: shapes that do not go together, NaN or Inf.
    """
    first, second = _checked("estimated", estimated), _checked("exact", exact)
    try:
        first, second = np.broadcast_arrays(first, second)
    except ValueError:
        raise InputError(
            f"estimated values of shape {first.shape}, exact ones of {second.shape}: they cannot "
            "be broadcast"
        ) from None
    order = agreement(first, second)
    distance = np.abs(normalised(first) - normalised(second)).sum(axis=-1)
    return RatioAgreement(order.pearson, order.kendall, distance)


def normalised(values: NDArray[np.floating], axis: int = -1, *, empty: float = np.nan) -> Floats:
    """Values as parts of the sum of their absolute values over players: the paper's ratios.

    Args:
        values: (..., player, ...) floats.
        axis: which axis the players are.
        empty: what stands for the ratios of values that are all 0, which have none. NaN, so that
            nothing computed from them passes for a measurement; 0 where parts are shown or added
            up, as values that are 0 have no part in anything.

    Returns:
        float64 of the same shape; absolute values sum to 1 over players. Of players of whom one
        has NaN, all have.

    Raises:
        InputError: what holds no numbers, an axis that there is not.
    """
    given = array("values", values).astype(np.float64, copy=False)
    axis = whole("axis", axis, -given.ndim, given.ndim - 1)
    total = np.abs(given).sum(axis=axis, keepdims=True)
    return np.divide(given, total, out=np.full_like(given, real("empty", empty)), where=total != 0)


def parts(values: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The positive part of values and the negative one, both as numbers ≥ 0.

    The first less the second are the values. Raises InputError for what holds no numbers.
    """
    given = array("values", values).astype(np.float64, copy=False)
    return np.maximum(given, 0), np.maximum(-given, 0)


@dataclass(frozen=True, eq=False)
class Curves:
    """Scores while areas are shown, or hidden, one after the other."""

    insertion: Floats
    """(players + 1, output): from the baseline alone to the whole picture, best area first"""
    deletion: Floats
    """(players + 1, output): from the whole picture to the baseline alone, best area first"""
    insertion_area: Floats
    """(output,) mean height of the insertion curve (trapezoids); high is good"""
    deletion_area: Floats
    """(output,) mean height of the deletion curve; low is good"""


def curves(game: Game, values: NDArray[np.floating]) -> Curves:
    """Insertion and deletion curves by the order of values.

    Args:
        game: the game of the areas, e.g. ``areas.picture_game``.
        values: (player,) floats; areas are taken from the highest value to the lowest, equal ones
            in the order of their numbers.

    Raises:
        InputError: not a value for each player, NaN or Inf, what is no game.
    """
    given, played = _checked("values", values), counted(game)
    n = played.n_players
    if given.shape != (n,):
        raise InputError(f"values of shape {given.shape} for a game of {n} players")
    rank = np.empty(n, dtype=np.intp)
    rank[np.argsort(-given, kind="stable")] = np.arange(n)
    among_first = rank < np.arange(n + 1)[:, None]
    shown = masks_of(np.concatenate([among_first, ~among_first]))
    scores = played(shown).astype(np.float64)
    insertion, deletion = scores[: n + 1], scores[n + 1 :]
    return Curves(insertion, deletion, _height(insertion), _height(deletion))


def _height(curve: Floats) -> Floats:
    """The mean height over the first axis, by trapezoids."""
    return np.asarray(((curve[1:] + curve[:-1]) / 2).mean(axis=0))


@dataclass(frozen=True, eq=False)
class Shares:
    """Which share of an attribution lies on some features, all (...,); NaN where there is none."""

    absolute: Floats
    positive: Floats
    negative: Floats


def shares_on(values: NDArray[np.floating], chosen: NDArray[np.bool_]) -> Shares:
    """The share of attributions that lies on chosen features, such as a digit's ink.

    Args:
        values: (..., *shape) floats.
        chosen: (*shape) bool, e.g. ``picture > 0.5``.

    Raises:
        InputError: shapes that do not go together, NaN or Inf.
    """
    given, where = _checked("values", values), array("chosen features", chosen)
    lead = given.ndim - where.ndim
    if where.dtype != np.bool_ or lead < 0 or given.shape[lead:] != where.shape:
        raise InputError(
            f"chosen features of shape {where.shape}, {where.dtype} for values of shape "
            f"{given.shape}: bool of the values' last axes is needed"
        )
    flat, on = given.reshape(*given.shape[:lead], -1), where.ravel()

    def share(part: Floats) -> Floats:
        total = part.sum(axis=-1)
        found = part[..., on].sum(axis=-1)
        return np.divide(found, total, out=np.full_like(total, np.nan), where=total > 0)

    positive, negative = parts(flat)
    return Shares(share(positive + negative), share(positive), share(negative))


def spread(repeats: NDArray[np.floating]) -> Floats:
    """How much normalised values differ between repeats with other seeds.

    Args:
        repeats: (repeat, ..., player) floats, two repeats at least.

    Returns:
        (...,) the mean over repeats of the L1 distance between a repeat's normalised values and
        their mean over repeats: 0 where all agree; NaN where a repeat is all zero.

    Raises:
        InputError: less than two repeats, NaN or Inf.
    """
    given = _checked("repeats", repeats)
    if given.ndim < 2 or len(given) < 2:
        raise InputError(f"repeats of shape {given.shape}: (repeat, ..., player), two at least")
    ratios = normalised(given)
    return np.asarray(np.abs(ratios - ratios.mean(axis=0)).sum(axis=-1).mean(axis=0))


def _checked(name: str, values: NDArray[np.floating]) -> Floats:
    given = array(name, values).astype(np.float64, copy=False)
    if given.ndim < 1 or 0 in given.shape or not np.isfinite(given).all():
        raise InputError(
            f"{name} of shape {given.shape}: finite numbers, at least one, are needed"
            + ("" if np.isfinite(given).all() else "; there are NaN or Inf")
        )
    return given
