"""Means over random orders of the players: the loop of the methods that draw orders.

A replicate is one order, or a few derived from each other. It names some coalitions, and computes
each player's contribution from their values; the expectation of a contribution is the Shapley
value. The estimate is the mean of the replicates, and its standard error comes from their spread.

A budget pays for distinct coalitions, so the number of replicates depends on how the orders
overlap. It does not depend on the players' identities or on any value. A permutation of the players
permutes the orders drawn and leaves their number unchanged. An order picked at random from those
drawn is therefore still uniform, and the mean over the replicates is still unbiased.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.estimate import MIN_REPLICATES, Budget, Known, Method, Moments, child, ends
from pipeline.shapley.games import masks_of

Draws = NDArray[np.intp]
"""Random permutations of 0 … n − 1: (replicate, permutation, n)."""

BLOCK_BYTES = 1 << 24
"""Memory for the coalitions, and for the values, of a block of replicates."""

MAX_LOOKUPS = 4
"""Most values looked up per evaluation. Without a limit, small games would be sampled forever in
search of the last unseen coalition."""


@dataclass(frozen=True)
class Scheme:
    """How a method uses random permutations."""

    first_round: int
    """Replicates of the first round; each later one has a quarter of all before, at least these."""
    n_permutations: int
    """Permutations per replicate."""
    n_orders: Callable[[int], int]
    """Orders per replicate, for so many players. Each order names n − 1 coalitions, its beginnings,
    none of them empty or full."""
    coalitions: Callable[[Draws], NDArray[np.bool_]]
    """(replicate, coalition, player) membership"""
    contributions: Callable[
        [Draws, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        NDArray[np.float64],
    ]
    """From values (replicate, coalition, output), v(∅) and v(N): (replicate, player, output)"""

    def n_coalitions(self, n_players: int) -> int:
        """Coalitions named by a replicate; 1 for a single player, which has none."""
        return max(1, self.n_orders(n_players) * (n_players - 1))


def mean_over_orders(name: str, description: str, scheme: Scheme) -> Method:
    """The method that takes the mean over random orders; its samples are orders."""
    return Method(
        name=name,
        description=description,
        unbiased=True,
        needs=lambda n: 2 + scheme.n_coalitions(n),
        draw=lambda budget: _rounds(scheme, budget),
    )


@dataclass
class _Replicates(Moments):
    """The replicates so far."""

    n_orders: int = 1

    @property
    def size(self) -> int:
        return self.count * self.n_orders

    @property
    def is_enough(self) -> bool:
        return self.count >= MIN_REPLICATES

    def estimate(self) -> Known:
        return Known(self.mean, self.standard_errors(), self.degrees_of_freedom())


def _rounds(scheme: Scheme, budget: Budget) -> Iterator[_Replicates]:
    n = budget.game.n_players
    from_nobody_to_all = ends(budget.game)
    found = _Replicates(n_orders=scheme.n_orders(n))
    most = MAX_LOOKUPS * budget.most // scheme.n_coalitions(n)
    for index in itertools.count():
        size = max(scheme.first_round, found.count // 4)
        draws = child(budget.seed, index).random((size, scheme.n_permutations, n)).argsort(axis=2)
        ended = _play_round(scheme, budget, draws[: most - found.count], found, from_nobody_to_all)
        yield found
        if ended or found.count >= most:
            return


def _play_round(
    scheme: Scheme,
    budget: Budget,
    draws: Draws,
    found: Moments,
    from_nobody_to_all: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> bool:
    """Add the replicates that the budget affords; return whether any had to be left out."""
    game, n_coalitions = budget.game, scheme.n_coalitions(budget.game.n_players)
    replicate_bytes = n_coalitions * max(game.n_players, 8 * len(game.outputs))
    at_once = max(1, BLOCK_BYTES // replicate_bytes)
    for first in range(0, len(draws), at_once):
        block = draws[first : first + at_once]
        masks = masks_of(scheme.coalitions(block).reshape(-1, game.n_players))
        cost = np.cumsum(game.costs(masks, len(block)))
        afforded = int(np.searchsorted(cost, budget.left, side="right"))
        if not afforded:
            return True
        values = game(masks[: afforded * n_coalitions]).astype(np.float64)
        values = values.reshape(afforded, n_coalitions, -1)
        found.add(scheme.contributions(block[:afforded], values, *from_nobody_to_all))
        if afforded < len(block):
            return True
    return False
