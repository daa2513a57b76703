"""Permutation sampling with antithetic pairs.

The Shapley value of a player is the mean, over all orders in which the players may enter, of what
it adds to those before it. Each order drawn is used together with its reverse: in many games a
player's early and late contributions err in opposite directions, so their mean errs less (Mitchell,
Cooper, Frank and Holmes, "Sampling Permutations for Shapley Value Estimation", JMLR 2022,
Section 3.2).

The estimate is unbiased, and exact for additive games and for games with pairwise interactions
only. Standard errors come from the spread of the pairs of orders. A budget is at least 2 n. Samples
are orders, two per pair.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.orders import Draws, Scheme, mean_over_orders


def _coalitions(draws: Draws) -> NDArray[np.bool_]:
    """The first 1 … n − 1 players of each order, then the last n − 1 … 1.

    A permutation drawn gives the players' places in the order.
    """
    places, n = draws[:, 0], draws.shape[2]
    begins = places[:, None, :] < np.arange(1, n)[:, None]
    return np.concatenate([begins, ~begins], axis=1)


def _contributions(
    draws: Draws,
    values: NDArray[np.float64],
    empty: NDArray[np.float64],
    full: NDArray[np.float64],
) -> NDArray[np.float64]:
    places = draws[:, 0]
    n_orders, n = places.shape
    # Row s of `first` is the value of the first s players; of `last`, that of all the others.
    first = np.empty((n_orders, n + 1, values.shape[2]))
    last = np.empty_like(first)
    first[:, 0], first[:, n] = empty, full
    last[:, 0], last[:, n] = full, empty
    first[:, 1:n], last[:, 1:n] = values[:, : n - 1], values[:, n - 1 :]
    by_place = (np.diff(first, axis=1) - np.diff(last, axis=1)) / 2
    return np.take_along_axis(by_place, places[:, :, None], axis=1)


METHOD = mean_over_orders(
    "permutation",
    "permutation sampling, each order together with its reverse",
    Scheme(
        first_round=16,
        n_permutations=1,
        n_orders=lambda _: 2,
        coalitions=_coalitions,
        contributions=_contributions,
    ),
)

permutation_values = METHOD.estimate
