"""Coalitions as bit masks.

Player ``i`` is present iff bit ``1 << i`` is set. A complete table of a game of ``n`` players has
``2**n`` rows, and row ``r`` is the coalition with mask ``r``: row 0 is the empty coalition, row
``2**n - 1`` the grand coalition.
"""

from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError

Masks = NDArray[np.uint64]
"""Coalitions, one mask each, of at most 64 players: (coalition,)."""

MAX_ENUMERABLE = 26
"""Players beyond which listing all coalitions is refused."""


def check_enumerable(n_players: int) -> None:
    """Raise InputError unless all coalitions of ``n_players`` can be listed."""
    if not 1 <= n_players <= MAX_ENUMERABLE:
        raise InputError(
            f"{n_players} players: every coalition can be enumerated for 1 to {MAX_ENUMERABLE} "
            f"players (there are 2**n coalitions); use fewer players or a sampling estimator"
        )


def sizes(n_players: int) -> NDArray[np.uint8]:
    """Size of every coalition of ``n_players``, in mask order: (2**n,) uint8."""
    check_enumerable(n_players)
    return np.bitwise_count(np.arange(2**n_players, dtype=np.uint32))


@lru_cache(maxsize=4)
def _by_size(n_players: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    order = np.argsort(sizes(n_players), kind="stable").astype(np.uint32)
    counts = [comb(n_players, k) for k in range(n_players + 1)]
    return order, np.concatenate([[0], np.cumsum(counts)])


def of_size(n_players: int, size: int) -> NDArray[np.uint32]:
    """Masks of the coalitions of one size, ascending: (comb(n, size),) uint32."""
    order, starts = _by_size(n_players)
    return order[starts[size] : starts[size + 1]]


def ranks(n_players: int) -> NDArray[np.uint32]:
    """Rank of every coalition among those of its size, in mask order: (2**n,) uint32.

    ``of_size(n, k)[ranks(n)[mask]] == mask`` for every mask of ``k`` players.
    """
    order, starts = _by_size(n_players)
    result = np.empty(2**n_players, dtype=np.uint32)
    for size in range(n_players + 1):
        result[order[starts[size] : starts[size + 1]]] = np.arange(
            starts[size + 1] - starts[size], dtype=np.uint32
        )
    return result


def membership_of_ranks(
    n_players: int, size: int | NDArray[np.integer], ranks: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Coalitions from their size and their rank among those of that size, in mask order.

    Each coalition follows from these two numbers alone (the combinatorial number system). This
    allows drawing coalitions by number even where there are too many of their size to list, or too
    many players for a mask.

    Args:
        n_players: any number.
        size: members of each coalition; one number, or (rank,) integers.
        ranks: (rank,) int64, each from 0 to ``comb(n_players, size)`` − 1, in any order.

    Returns:
        (rank, n_players) bool.

    Raises:
        InputError: a rank that no coalition of this size has.
    """
    rest = ranks.astype(np.int64)
    each = np.broadcast_to(np.asarray(size, dtype=np.int64), rest.shape)
    membership = np.zeros((len(rest), n_players), dtype=np.bool_)
    if not len(rest):
        return membership
    totals = _totals(n_players)[each]
    if (rest < 0).any() or (rest >= totals).any():
        wrong = int(np.argmax((rest < 0) | (rest >= totals)))
        total = comb(n_players, int(each[wrong]))
        raise InputError(
            f"rank {rest[wrong]}: the {total} coalitions of {each[wrong]} of {n_players} players "
            f"have ranks 0 to {total - 1}"
        )
    for position in range(int(each.max()), 0, -1):
        rows = np.flatnonzero(each >= position)
        counts = _counts_below(n_players, position)
        player = np.searchsorted(counts, rest[rows], side="right") - 1
        membership[rows, player] = True
        rest[rows] -= counts[player]
    return membership


@lru_cache(maxsize=64)
def _totals(n_players: int) -> NDArray[np.int64]:
    """How many coalitions of each size there are: (n_players + 1,)."""
    largest = np.iinfo(np.int64).max
    totals = [min(comb(n_players, size), largest) for size in range(n_players + 1)]
    found = np.array(totals, dtype=np.int64)
    found.setflags(write=False)
    return found


@lru_cache(maxsize=1024)
def _counts_below(n_players: int, size: int) -> NDArray[np.int64]:
    """Number of coalitions of ``size`` among the players below each player: (n_players,)."""
    # Numbers too large for 64 bits exceed every rank; so does the largest that fits.
    largest = np.iinfo(np.int64).max
    counts = np.array([min(comb(p, size), largest) for p in range(n_players)], dtype=np.int64)
    counts.setflags(write=False)
    return counts


def members(masks: NDArray[np.unsignedinteger], size: int) -> NDArray[np.uint8]:
    """Players of coalitions that all have ``size`` members, ascending: (coalition, size) uint8."""
    rest = masks.copy()
    result = np.empty((len(masks), size), dtype=np.uint8)
    one = masks.dtype.type(1)
    for position in range(size):
        below_lowest = (rest & (~rest + one)) - one
        result[:, position] = np.bitwise_count(below_lowest)
        rest &= rest - one
    return result


def to_bool(masks: NDArray[np.unsignedinteger], n_players: int) -> NDArray[np.bool_]:
    """Membership of each player: (coalition, n_players) bool."""
    players = np.arange(n_players, dtype=masks.dtype)
    return (masks[:, None] >> players) & masks.dtype.type(1) != 0


def from_bool(membership: NDArray[np.bool_]) -> Masks:
    """Masks of coalitions given as membership (coalition, n_players), at most 64 players."""
    n_players = membership.shape[1]
    if n_players > 64:
        raise InputError(f"{n_players} players do not fit a 64-bit mask; use packed bits")
    bits = np.left_shift(np.uint64(1), np.arange(n_players, dtype=np.uint64))
    return (membership * bits).sum(axis=1, dtype=np.uint64)


def shapley_weights(n_players: int) -> NDArray[np.float64]:
    """Weight of every coalition in every player's Shapley value: (n_players, 2**n) float64.

    ``shapley_weights(n) @ values`` is the Shapley value of a table in mask order: the marginal
    contributions' weights |S|! (n - |S| - 1)! / n! gathered by coalition, positive where the
    player is present and negative where it is absent.
    """
    size = sizes(n_players).astype(np.int64)
    present = to_bool(np.arange(2**n_players, dtype=np.uint32), n_players).T
    weight = [1 / (n_players * comb(n_players - 1, s)) for s in range(n_players)]
    with_player, without = np.array([0.0, *weight]), np.array([*weight, 0.0])
    return np.where(present, with_player[size], -without[size])
