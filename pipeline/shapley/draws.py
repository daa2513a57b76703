"""Draws of pairs of complementary coalitions by leverage scores, without replacement.

In the regression whose solution is the Shapley value (KernelSHAP), the leverage score of coalition
S is 1 / C(n, |S|): every size has the same total (Musco and Witter, "Provably Accurate Shapley
Value Estimation via Leverage Score Sampling", arXiv 2410.01917). So every size from 1 to n − 1 is
sampled equally often, and a coalition is always drawn together with its complement. The paper
leaves the number at each size to chance. Here it is fixed, and differs by at most two coalitions
between sizes that have any left: the sample is stratified, and each stratum is a simple random
sample without replacement.

A stratum k = 1 … n // 2 holds the pairs of k players and the n − k others. Each turn draws one pair
from each stratum. With n / 2 players both coalitions have the same size, so a pair is drawn only
every second turn.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.coalitions import membership_of_ranks
from pipeline.shapley.estimate import Seed, child
from pipeline.shapley.games import keys_of, masks_of, no_keys

Membership = NDArray[np.bool_]
"""(pair, player) of the smaller coalition S; for two of n / 2 players, the one with player 0"""

MAX_LISTED = 1 << 18
"""Largest stratum, in pairs, whose order is shuffled beforehand. In larger strata pairs are drawn
at random, and drawn again if they were drawn before."""

FIRST_TURNS = 8
"""Turns of the first round; each later round has a quarter of all before it, but at least these."""


def strata(n_players: int) -> range:
    """Names of the strata: how many players the smaller coalition has."""
    return range(1, n_players // 2 + 1)


def population(n_players: int, k: int) -> int:
    """Number of pairs of k players and the others."""
    return comb(n_players, k) // (2 if 2 * k == n_players else 1)


def draw(n_players: int, seed: Seed) -> Iterator[tuple[Membership, NDArray[np.intp]]]:
    """Draw rounds of distinct pairs, until none are left.

    Yields:
        (pair, player) membership and (pair,) stratum, in the order drawn.
    """
    state: dict[str, int] = child(seed, 0).bit_generator.state["state"]
    orders = _shuffled(n_players, state["state"], state["inc"])
    large = {k: _Remembered(n_players, k) for k in strata(n_players) if k not in orders}
    left = {k: population(n_players, k) for k in strata(n_players)}
    turn, index = 0, 1
    while any(left.values()):
        generator = child(seed, index)
        n_turns = max(FIRST_TURNS, turn // 4)
        drawn = _strata_of_turns(n_players, turn, n_turns, generator)
        membership = np.zeros((len(drawn), n_players), dtype=np.bool_)
        ranks = np.full(len(drawn), -1, dtype=np.int64)
        for k in strata(n_players):
            rows = np.flatnonzero(drawn == k)[: left[k]]
            if k in large:
                membership[rows] = large[k].next(len(rows), generator)
            else:
                first = len(orders[k]) - left[k]
                ranks[rows] = orders[k][first : first + len(rows)]
            left[k] -= len(rows)
        listed = ranks >= 0
        membership[listed] = _of_ranks(n_players, drawn[listed], ranks[listed])
        is_there = membership.any(axis=1)
        yield membership[is_there], drawn[is_there]
        turn, index = turn + n_turns, index + 1


def pairs_for(n_players: int, each: int) -> int:
    """Number of pairs drawn until every stratum has at least ``each``, or all that it holds."""
    total = 0
    turns = 2 * each - 1 if n_players % 2 == 0 else each
    for k in strata(n_players):
        share = each if 2 * k == n_players else turns
        total += min(share, population(n_players, k))
    return total


def _strata_of_turns(
    n_players: int, first: int, n_turns: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Strata of the pairs of some turns: (pair,), in a random order within each turn."""
    names = np.array(strata(n_players), dtype=np.intp)
    order = names[generator.random((n_turns, len(names))).argsort(axis=1)]
    is_odd = (np.arange(first, first + n_turns) % 2 == 1)[:, None]
    return order[~(is_odd & (2 * order == n_players))]


@lru_cache(maxsize=1)
def _shuffled(n_players: int, state: int, increment: int) -> dict[int, NDArray[np.int64]]:
    """Ranks of the pairs in a random order, for each stratum that is small enough to list.

    They are kept for the next method or budget with the same seed, which is known by the state of
    its generator: seeds themselves may be lists or arrays.
    """
    bits = np.random.PCG64()
    bits.state = {**bits.state, "state": {"state": state, "inc": increment}}
    shuffling = np.random.Generator(bits)
    orders = {}
    for k in strata(n_players):
        if population(n_players, k) <= MAX_LISTED:
            orders[k] = shuffling.permutation(population(n_players, k))
            orders[k].setflags(write=False)
    return orders


def _of_ranks(n_players: int, sizes: NDArray[np.intp], ranks: NDArray[np.int64]) -> Membership:
    """Smaller coalitions of pairs from their strata and their ranks within them."""
    is_half = 2 * sizes == n_players
    membership = np.zeros((len(ranks), n_players), dtype=np.bool_)
    membership[~is_half] = membership_of_ranks(n_players, sizes[~is_half], ranks[~is_half])
    if is_half.any():
        membership[is_half, 0] = True
        others = membership_of_ranks(n_players - 1, n_players // 2 - 1, ranks[is_half])
        membership[is_half, 1:] = others
    return membership


class _Remembered:
    """A stratum with too many pairs to list; it remembers the pairs already drawn."""

    def __init__(self, n_players: int, k: int) -> None:
        self.n_players, self.k = n_players, k
        self.seen = no_keys(n_players)

    def next(self, count: int, generator: np.random.Generator) -> Membership:
        parts = [np.zeros((0, self.n_players), dtype=np.bool_)]
        missing = count
        while missing:
            drawn = _random(self.n_players, self.k, missing, generator)
            keys = keys_of(masks_of(drawn))
            _, first = np.unique(keys, return_index=True)
            first = np.sort(first[~np.isin(keys[first], self.seen)])
            self.seen = np.concatenate([self.seen, keys[first]])
            parts.append(drawn[first])
            missing -= len(first)
        return np.concatenate(parts)


def _random(n_players: int, size: int, count: int, generator: np.random.Generator) -> Membership:
    """Uniform coalitions of one size; for size n / 2, the one of each pair that holds player 0."""
    scores = generator.random((count, n_players))
    if 2 * size == n_players:
        scores[:, 0] = -1
    members = np.argpartition(scores, size - 1, axis=1)[:, :size]
    membership = np.zeros((count, n_players), dtype=np.bool_)
    np.put_along_axis(membership, members, values=True, axis=1)
    return membership
