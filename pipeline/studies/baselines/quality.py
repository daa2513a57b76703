"""How good an attribution of a picture to its areas is.

Values are compared with exact Shapley values of the same areas, with the model's scores as areas
are shown or hidden in the order of their values, with the position of the ink, and with their own
repeats. The paper (Effective Coalitions of Shapley Value for Integrated Gradients) compares ratios
of values, so magnitudes are normalised by the sum of absolute values: Shapley values of both signs
may sum to anything. It also considers positive and negative values separately (section 5):
:func:`parts`.
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
    """Agreement of each vector of values, all (...,)."""

    pearson: Floats
    """over players; NaN if either side is constant, or has one player"""
    kendall: Floats
    """Kendall's τ-b over players; NaN as above"""
    ratio_distance: Floats
    """L1 distance of the normalised values: 0 (same ratios) to 2; NaN if either is all zero"""


def ratio_agreement(estimated: NDArray[np.floating], exact: NDArray[np.floating]) -> RatioAgreement:
    """Compare the values of players with exact ones, whatever their scales.

    Args:
        estimated: (..., player) floats.
        exact: floats that broadcast against ``estimated``.

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
    """Values divided by the sum of their absolute values over players: the paper's ratios.

    Args:
        values: (..., player, ...) floats.
        axis: axis of the players.
        empty: result for values that are all 0, which have no ratios. NaN marks everything
            computed from them as undefined; 0 fits where ratios are shown or added up.

    Returns:
        float64 of the same shape; absolute values sum to 1 over players. One NaN among the players
        makes all of them NaN.

    Raises:
        InputError: values that are no numbers, an axis that does not exist.
    """
    given = array("values", values).astype(np.float64, copy=False)
    axis = whole("axis", axis, -given.ndim, given.ndim - 1)
    total = np.abs(given).sum(axis=axis, keepdims=True)
    return np.divide(given, total, out=np.full_like(given, real("empty", empty)), where=total != 0)


def parts(values: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The positive part of values and the negative one, both as numbers ≥ 0.

    The first minus the second are the values. Raises InputError for values that are no numbers.
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
        InputError: a wrong number of values, NaN or Inf, an object that is no game.
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
    """Share of an attribution that lies on some features, all (...,); NaN if it is all zero."""

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
        repeats: (repeat, ..., player) floats, at least two repeats.

    Returns:
        (...,) the mean over repeats of the L1 distance between a repeat's normalised values and
        their mean over repeats: 0 if all agree; NaN if a repeat is all zero.

    Raises:
        InputError: less than two repeats, NaN or Inf.
    """
    given = _checked("repeats", repeats)
    if given.ndim < 2 or len(given) < 2:
        raise InputError(
            f"repeats of shape {given.shape}: (repeat, ..., player), at least two, are needed"
        )
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
