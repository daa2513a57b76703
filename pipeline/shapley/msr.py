"""Maximum sample reuse: every sampled coalition contributes to the estimate of every player.

Gathered by coalition, a player's Shapley value is a weighted sum of the values of the coalitions
that hold it minus one of those that do not. A random sample of coalitions therefore estimates it
for all players at once, each coalition weighted by its inverse probability of being drawn (MSR;
Witter, Liu and Musco, "Regression-adjusted Monte Carlo Estimators for Shapley Values and
Probabilistic Values", arXiv 2506.11849). Here the sample is that of :mod:`pipeline.shapley.draws`,
the empty and the full coalition are always in it, and the estimate is the sum of the strata's means
as given by :func:`pipeline.shapley.pairs.mean_weights`.

The estimate is unbiased and serves as a reference: its error depends on the values themselves, and
not on their distance from an additive game. Standard errors are those of a stratified sample
without replacement, from the spread within each stratum. They are NaN where a stratum with more
than one pair has only one in the sample. A budget is at least n + 1, or n + 2 if n is even, for one
pair of each size.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.draws import pairs_for
from pipeline.shapley.estimate import Known, Values, errors_of
from pipeline.shapley.pairs import Pairs, mean_weights, populations, sampled_pairs

LEAST_PAIRS = 2
"""Fewest pairs of a stratum from which a spread can be estimated."""


def means_of_strata(pairs: Pairs) -> Known:
    """The weighted sum of the strata's means, and its standard errors."""
    differences = pairs.values - pairs.complements
    counts = np.maximum(pairs.counts(), 1)
    weights = (mean_weights(pairs.n_players) / counts)[pairs.sizes]
    values = (pairs.centred * weights[:, None]).T @ differences
    values += (pairs.full - pairs.empty) / pairs.n_players
    return Known(values, *stratified_errors(pairs, differences))


def stratified_errors(pairs: Pairs, differences: NDArray[np.float64]) -> tuple[Values, Values]:
    """Standard errors of the weighted sum of the strata's means.

    Args:
        pairs: their strata and membership are used.
        differences: (pair, output) value of S minus that of its complement, or what remains of it
            after an adjustment.

    Returns:
        Standard errors and their degrees of freedom (Satterthwaite's), (player, output) each; NaN
        where the spread within a stratum is unknown.
    """
    centred, counts = pairs.centred, pairs.counts()
    parts = []
    weights, all_pairs = mean_weights(pairs.n_players), populations(pairs.n_players)
    for k, count in enumerate(counts):
        if count == all_pairs[k]:
            continue
        if count < LEAST_PAIRS:
            unknown = np.full((pairs.n_players, differences.shape[1]), np.nan)
            return unknown, unknown
        rows = pairs.sizes == k
        squares = (centred[rows] ** 2).T @ differences[rows] ** 2
        squares -= (centred[rows].T @ differences[rows]) ** 2 / count
        of_mean = np.maximum(squares, 0) / (count * (count - 1)) * (1 - count / all_pairs[k])
        parts.append((weights[k] ** 2 * of_mean, count - 1))
    return errors_of(parts, (pairs.n_players, differences.shape[1]))


METHOD = sampled_pairs(
    "msr",
    "maximum sample reuse without adjustment: a point of reference",
    means_of_strata,
    needs=lambda n: 2 + 2 * pairs_for(n, 1),
    unbiased=True,
)
