"""Leverage SHAP: the Shapley values as a regression's solution, from sampled pairs.

The Shapley values are the x that minimise, subject to efficiency (x sums to v(N) − v(∅)), the
squares of v(S) − v(∅) − sum of x over S, a coalition S of k players weighing
1 / (C(n, k) k (n − k)) (Lundberg and Lee, 2017). Efficiency is had by projection: x is
(v(N) − v(∅)) / n plus a part orthogonal to it, onto which the centred membership is regressed
without constraint. A sampled coalition is weighted by the inverse of its chance to be drawn, here
the part of its stratum that was (:mod:`pipeline.shapley.draws`). As S and its complement have
opposite centred membership, a pair is one row, the half difference of their values
(Musco and Witter, arXiv 2410.01917).

The estimate is consistent but biased, the bias falling faster than the standard error. It is exact
for additive games once the pairs determine them; with too few pairs for that (a budget near the
smallest, 2 n) the solution of least norm is taken.

Standard errors are those of the linearised estimate under stratified sampling without replacement:
a pair's influence is its weighted residual, enlarged for the fit's having followed it (divided by
1 − its leverage, as in the jackknife), and the variances of the strata's mean influences, with the
correction for finite populations, add up. They are NaN unless there are more pairs than the n − 1
unknowns and these are determined; where there are hardly more they vary much, and are too large on
average.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.estimate import Known, Values, errors_of
from pipeline.shapley.pairs import Pairs, mean_weights, populations, sampled_pairs

_SINGULAR = 1e-10


@dataclass(frozen=True, eq=False)
class Solution:
    """Weighted least squares of some pairs."""

    values: Values
    """(player, output)"""
    shares: NDArray[np.float64]
    """(player, pair) how much each pair's half difference counts in each player's value"""
    residuals: NDArray[np.float64]
    """(pair, output)"""
    rank: int
    """n − 1 if the pairs determine the values; if not, they are those of least norm."""


def solution(pairs: Pairs, ridge: float = 0.0) -> Solution:
    """Solve the regression, subject to efficiency.

    ``ridge`` is added to the Gram matrix, whose expectation is I − 1/n, and shrinks the values
    towards equal ones.
    """
    n, total = pairs.n_players, pairs.full - pairs.empty
    centred = pairs.centred
    weighted = centred * pair_weights(pairs)[:, None]
    expected = (pairs.sizes / n - 0.5)[:, None] * total
    half_differences = (pairs.values - pairs.complements) / 2 - expected
    # Centred rows sum to 0: equal values of all players are never determined by them.
    squares, vectors = np.linalg.eigh(centred.T @ weighted)
    is_determined = squares > _SINGULAR * squares[-1]
    vectors = vectors[:, is_determined]
    shares = (vectors / (squares[is_determined] + ridge)) @ vectors.T @ weighted.T
    deviations = shares @ half_differences
    return Solution(
        values=total / n + deviations,
        shares=shares,
        residuals=half_differences - centred @ deviations,
        rank=int(is_determined.sum()),
    )


def regress(pairs: Pairs) -> Known:
    """The regression's values and their standard errors."""
    solved = solution(pairs)
    if solved.rank < pairs.n_players - 1 or len(pairs.sizes) < pairs.n_players:
        return Known.without_errors(solved.values)
    leverages = np.einsum("pi,ip->p", pairs.centred, solved.shares)
    # A pair of leverage 1 is fitted whatever its value: it tells nothing of the error.
    enlarged = solved.residuals / np.maximum(1 - leverages, _SINGULAR)[:, None]
    parts = []
    all_pairs = populations(pairs.n_players)
    for k, count in enumerate(pairs.counts()):
        if not 0 < count < all_pairs[k]:
            continue
        rows = pairs.sizes == k
        squares = solved.shares[:, rows] ** 2 @ enlarged[rows] ** 2
        if count > 1:
            squares -= (solved.shares[:, rows] @ enlarged[rows]) ** 2 / count
            squares *= count / (count - 1)
        parts.append((np.maximum(squares, 0) * (1 - count / all_pairs[k]), count - 1))
    errors, freedom = errors_of(parts, solved.values.shape)
    # The fit has taken as many degrees of freedom as there are unknowns.
    left = len(pairs.sizes) - solved.rank
    if left < pairs.n_players:
        freedom = np.full_like(freedom, np.nan)
    return Known(solved.values, errors, np.minimum(freedom, left))


def pair_weights(pairs: Pairs) -> NDArray[np.float64]:
    """Weight of each pair in the regression: kernel weight by inverse chance to be drawn, (pair,).

    So weighted, the Gram matrix of centred membership has the expectation I − 1/n.
    """
    per_stratum = mean_weights(pairs.n_players) / np.maximum(pairs.counts(), 1)
    return 2 * per_stratum[pairs.sizes]


METHOD = sampled_pairs(
    "regression",
    "paired KernelSHAP with leverage-score sampling (Leverage SHAP)",
    regress,
    needs=lambda n: 2 * n,
    unbiased=False,
)

regression_values = METHOD.estimate
