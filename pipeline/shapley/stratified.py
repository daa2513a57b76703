"""Sampling stratified by the size of the coalition that a player joins.

The Shapley value is the mean over sizes s = 0 … n − 1 of a player's expected marginal contribution
to coalitions of s others (Play Fair, supplement, Eq. 22: the conditional-expectation form). Here
every player gets equally many marginal contributions at every size. Orders are drawn n at a time
and form a random Latin square: every player has each place in exactly one of them. Two random
permutations, the players' seats in a circle and τ, give player i in order r the place
τ((seat_i − r) mod n). Each order by itself is uniform. As in permutation sampling, a coalition
serves both the player that completes it and the one that joins it. Permutation sampling leaves to
chance which player meets which size; here this is balanced.

The number of marginal contributions of a player at a size is fixed, so their mean is unbiased for
each size and overall. It is exact for additive games. Standard errors come from the spread of the
squares. A budget is at least n (n − 1) + 2, and twice that for standard errors. Budget that does
not suffice for a whole square is left unspent. Samples are orders, n per square.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.orders import Draws, Scheme, mean_over_orders


def _places(draws: Draws) -> NDArray[np.intp]:
    """The place of each player in each order of the squares: (square, order, player)."""
    seats, tau = draws[:, 0], draws[:, 1]
    n_squares, n = seats.shape
    shifted = (seats[:, None, :] - np.arange(n)[:, None]) % n
    return np.take_along_axis(tau, shifted.reshape(n_squares, -1), axis=1).reshape(shifted.shape)


def _coalitions(draws: Draws) -> NDArray[np.bool_]:
    """The first 1 … n − 1 players of each order of the squares."""
    n = draws.shape[2]
    begins = _places(draws)[:, :, None, :] < np.arange(1, n)[:, None]
    return begins.reshape(len(draws), n * (n - 1), n)


def _contributions(
    draws: Draws,
    values: NDArray[np.float64],
    empty: NDArray[np.float64],
    full: NDArray[np.float64],
) -> NDArray[np.float64]:
    n_squares, _, n = draws.shape
    # first[:, r, s] is the value of the first s players of order r.
    first = np.empty((n_squares, n, n + 1, values.shape[2]))
    first[:, :, 0], first[:, :, n] = empty, full
    first[:, :, 1:n] = values.reshape(n_squares, n, n - 1, -1)
    by_place = np.diff(first, axis=2)
    return np.take_along_axis(by_place, _places(draws)[..., None], axis=2).mean(axis=1)


METHOD = mean_over_orders(
    "stratified",
    "every player in every place equally often: random Latin squares of orders",
    Scheme(
        first_round=8,
        n_permutations=2,
        n_orders=lambda n: n,
        coalitions=_coalitions,
        contributions=_contributions,
    ),
)

stratified_values = METHOD.estimate
