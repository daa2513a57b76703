"""Means over random orders of the players: the loop of the methods that draw orders.

A replicate is an order, or a few made of each other: some coalitions that they name, and each
player's contribution made of their values, whose expectation is the Shapley value. The estimate is
the replicates' mean, and its standard error theirs.

How many replicates a budget affords is counted in distinct coalitions, which depends on how the
orders overlap but neither on who the players are nor on any value. Whatever permutes the players
permutes the orders drawn and leaves their number as it was, so an order picked at random from those
drawn is still uniform, and the mean over a number of replicates so chosen is still unbiased.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.estimate import (
    Estimate,
    Limits,
    Moments,
    Seed,
    child,
    ends,
    exact,
    is_precise,
    start,
)
from pipeline.shapley.games import CountedGame, Game, masks_of

Draws = NDArray[np.intp]
"""Random permutations of 0 … n − 1: (replicate, permutation, n)."""

BLOCK_BYTES = 1 << 24
"""Memory for the coalitions and for the values of a block of replicates."""

MAX_LOOKUPS = 4
"""Values looked up for each one evaluated, at most: small games would be walked through forever
in search of the last coalition that was not seen."""

MIN_REPLICATES = 8
"""Replicates below which their spread is not relied upon to stop."""


@dataclass(frozen=True)
class Scheme:
    """What a method makes of random permutations."""

    method: str
    first_round: int
    """Replicates in it; each later round has a quarter of all before it, or as many."""
    n_permutations: int
    """Permutations that make a replicate."""
    n_coalitions: int
    """Coalitions that a replicate names, neither empty nor full."""
    coalitions: Callable[[Draws], NDArray[np.bool_]]
    """(replicate, coalition, player) membership"""
    contributions: Callable[
        [Draws, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        NDArray[np.float64],
    ]
    """From values (replicate, coalition, output), v(∅) and v(N): (replicate, player, output)"""
    samples_per_replicate: int


def mean_over_orders(
    game: Game,
    scheme: Scheme,
    *,
    budget: int | None,
    tolerance: float | None,
    seed: Seed,
    advance: Callable[[int], None] | None,
) -> Estimate:
    """Estimate by the mean over random orders; the arguments are those of every estimator."""
    wrapped, limits = start(
        game,
        method=scheme.method,
        smallest=2 + scheme.n_coalitions,
        budget=budget,
        tolerance=tolerance,
        advance=advance,
    )
    n = wrapped.n_players
    # A single replicate of so few players names them all.
    if limits.covers_all and (tolerance is None or 2**n <= 2 + scheme.n_coalitions):
        return exact(wrapped, scheme.method, tolerance)
    empty, full = ends(wrapped)
    moments = Moments()
    most_replicates = MAX_LOOKUPS * limits.most // scheme.n_coalitions
    index, ended, converged = 0, False, False
    while not ended and not converged:
        size = max(scheme.first_round, moments.count // 4)
        draws = child(seed, index).random((size, scheme.n_permutations, n)).argsort(axis=2)
        ended = _play_round(
            wrapped, scheme, limits, draws[: most_replicates - moments.count], moments, empty, full
        )
        ended |= moments.count >= most_replicates
        if tolerance is not None and moments.count >= MIN_REPLICATES:
            converged = is_precise(moments.mean, moments.standard_errors(), tolerance)
        index += 1
    if limits.covers_all and not converged:
        return exact(wrapped, scheme.method, tolerance)
    return Estimate(
        values=moments.mean,
        standard_errors=moments.standard_errors(),
        evaluations=wrapped.evaluations,
        unbiased=True,
        method=scheme.method,
        samples=moments.count * scheme.samples_per_replicate,
        converged=None if tolerance is None else converged,
    )


def _play_round(
    game: CountedGame,
    scheme: Scheme,
    limits: Limits,
    draws: Draws,
    moments: Moments,
    empty: NDArray[np.float64],
    full: NDArray[np.float64],
) -> bool:
    """Add the replicates that can be afforded; return whether some could not."""
    replicate_bytes = scheme.n_coalitions * max(game.n_players, 8 * len(game.outputs))
    at_once = max(1, BLOCK_BYTES // replicate_bytes)
    for first in range(0, len(draws), at_once):
        block = draws[first : first + at_once]
        masks = masks_of(scheme.coalitions(block).reshape(-1, game.n_players))
        spent = game.evaluations + np.cumsum(game.costs(masks, len(block)))
        afforded = int(np.searchsorted(spent, limits.most, side="right"))
        if not afforded:
            return True
        values = game(masks[: afforded * scheme.n_coalitions]).astype(np.float64)
        values = values.reshape(afforded, scheme.n_coalitions, -1)
        moments.add(scheme.contributions(block[:afforded], values, empty, full))
        if afforded < len(block):
            return True
    return False
