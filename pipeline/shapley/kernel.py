"""Kernel regression: the Shapley values of a Gaussian process through sampled pairs.

The estimate is the mean of the process (:mod:`pipeline.shapley.gaussian_process`). It passes
through all values that were evaluated, and interactions that they show count in it, where the
regression's fit is additive. So it errs less than the regression. It is biased, and exact for
additive games once the pairs determine them. Pairs in excess of what the process takes correct it
as in :mod:`pipeline.shapley.adjusted`, without further bias.

Standard errors are those of a stratified sample without replacement, from the spread within each
stratum of what is left of a pair after a fit to other folds of the sample. They are too large where
a smooth game is nearly complete. A budget is at least 2 n. Every output has a process of its own,
so time grows with the number of outputs, and it grows with the cube of the number of pairs.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.adjusted import Fitted, fitted_by, folds_of, weights_of_fold
from pipeline.shapley.estimate import Known
from pipeline.shapley.gaussian_process import LEARNED_FROM, MOST_PAIRS, posterior_means
from pipeline.shapley.msr import means_of_strata, stratified_errors
from pipeline.shapley.pairs import Pairs, populations, sampled_pairs

FOLDS, FOLDS_OF_MANY = 10, 4
"""Most folds for standard errors; of a sample so large that the time of a fit counts."""


def _interpolated(pairs: Pairs) -> Known:
    if len(pairs.sizes) == populations(pairs.n_players).sum():
        return means_of_strata(pairs)  # exact, without the process's rounding
    means = posterior_means(pairs)
    fitted = fitted_by(means, pairs)
    taken = np.arange(len(pairs.sizes)) < MOST_PAIRS
    values, left = fitted.values, np.zeros_like(pairs.values)
    if not taken.all():
        left[~taken] = _remaining(fitted, pairs.some(~taken))
        weights = weights_of_fold(pairs, ~taken)[:, None]
        values = values + (pairs.centred * weights).T @ left
    # A large sample determines the kernel so well that each fold would learn the same.
    are_many = len(pairs.sizes) > LEARNED_FROM
    known = means if are_many else None
    folds, n_folds = folds_of(pairs, FOLDS_OF_MANY if are_many else FOLDS)
    for fold in range(n_folds):
        own = taken & (folds == fold)
        others = pairs.some(taken & ~own)
        left[own] = _remaining(fitted_by(posterior_means(others, known), others), pairs.some(own))
    errors, freedom = stratified_errors(pairs, left)
    spare = len(pairs.sizes) - (pairs.n_players - 1)
    if spare < pairs.n_players:
        freedom = np.full_like(freedom, np.nan)
    return Known(values, errors, np.minimum(freedom, spare))


def _remaining(fitted: Fitted, pairs: Pairs) -> NDArray[np.float64]:
    """Differences v(S) − v(N∖S) less those of a fitted game: (pair, output)."""
    found = pairs.values - fitted.predict(pairs.membership)
    return found - (pairs.complements - fitted.predict(~pairs.membership))


METHOD = sampled_pairs(
    "kernel",
    "Shapley values of a Gaussian process through the samples",
    _interpolated,
    needs=lambda n: 2 * n,
    unbiased=False,
)
