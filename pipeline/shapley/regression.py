"""Leverage SHAP: the Shapley values as a regression's solution, from sampled pairs.

The Shapley values x minimise a weighted sum of squares of v(S) − v(∅) − (sum of x over S), subject
to efficiency (x sums to v(N) − v(∅)). A coalition S of k players has the weight
1 / (C(n, k) k (n − k)) (Lundberg and Lee, 2017). Efficiency is imposed by projection: x is
(v(N) − v(∅)) / n plus a part orthogonal to it, which comes from an unconstrained regression on the
centred membership. A sampled coalition is weighted by its inverse probability of being drawn, which
here is the sampled share of its stratum (:mod:`pipeline.shapley.draws`). S and its complement have
opposite centred membership, so a pair is one row: half the difference of their values (Musco and
Witter, arXiv 2410.01917).

The estimate is consistent but biased; the bias falls faster than the standard error. It is exact
for additive games once the pairs determine them. With too few pairs for that (a budget near the
smallest, 2 n) it is the solution of least norm.

Standard errors are those of the linearised estimate under stratified sampling without replacement.
A pair's influence is its weighted residual, divided by 1 − its leverage (as in the jackknife)
because the fit follows the pair. The variances of the strata's mean influences, with the correction
for finite populations, add up. Standard errors are NaN unless there are more pairs than the n − 1
unknowns and the pairs determine these. With barely more pairs they vary much, and are too large on
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
    """Solution of a weighted least-squares problem over pairs."""

    values: Values
    """(player, output)"""
    shares: NDArray[np.float64]
    """(player, pair) weight of each pair's half difference in each player's value"""
    residuals: NDArray[np.float64]
    """(pair, output)"""
    rank: int
    """n − 1 if the pairs determine the values; otherwise the values are those of least norm."""


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
    # Centred rows sum to 0, so they never determine a constant added to all values.
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
    # A pair of leverage 1 is fitted whatever its value, so it says nothing about the error.
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
    # The fit uses as many degrees of freedom as there are unknowns.
    left = len(pairs.sizes) - solved.rank
    if left < pairs.n_players:
        freedom = np.full_like(freedom, np.nan)
    return Known(solved.values, errors, np.minimum(freedom, left))


def pair_weights(pairs: Pairs) -> NDArray[np.float64]:
    """Weight of each pair in the regression, (pair,): kernel weight / probability of being drawn.

    With these weights the Gram matrix of centred membership has the expectation I − 1/n.
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
