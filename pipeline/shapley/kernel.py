"""Kernel regression: the Shapley values of a Gaussian process through sampled pairs.

The estimate is the mean of the process (:mod:`pipeline.shapley.gaussian_process`). Interactions
that the evaluated values show count in it, smooth ones of many players as well as a few strong
ones, where the regression's fit is additive. So it errs less than the regression. Where it differs
from the unbiased estimate of :mod:`pipeline.shapley.adjusted` by more than sampling explains, it
moves towards that one. It is biased. It is exact for additive games once the pairs determine them,
and for games of few interactions once there are enough pairs to find these. Pairs in excess of what
the process takes correct it by the share that their precision deserves, so it approaches the exact
values however many there are.

Standard errors are those of a stratified sample without replacement, from the spread within each
stratum of what is left of a pair after a fit to other folds of the sample. They are too large where
a smooth game is nearly complete. A budget is at least 2 n. Every output has a process of its own,
so time grows with the number of outputs, and it grows with the cube of the number of pairs: up to
5000 evaluations, it is about a millisecond for each evaluation and output.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.adjusted import Fitted, fitted_by, folds_of, weights_of_fold
from pipeline.shapley.estimate import Known, Values
from pipeline.shapley.gaussian_process import (
    LEARNED_FROM,
    MOST_PAIRS,
    Posterior,
    posterior_means,
)
from pipeline.shapley.msr import means_of_strata, stratified_errors
from pipeline.shapley.pairs import Pairs, populations, sampled_pairs
from pipeline.shapley.strong_terms import TINY

FOLDS, FOLDS_OF_MANY = 10, 4
"""Most folds for standard errors; of a sample so large that the time of a fit counts."""

ENOUGH = 4
"""Fewest pairs, in multiples of the players, of which standard errors tell a bias from chance."""


def _interpolated(pairs: Pairs) -> Known:
    if len(pairs.sizes) == populations(pairs.n_players).sum():
        return means_of_strata(pairs)  # exact, without the process's rounding
    taken = np.arange(len(pairs.sizes)) < MOST_PAIRS
    fitted_to, others = pairs.some(taken), pairs.some(~taken)
    means = posterior_means(fitted_to)
    fitted = fitted_by(means, fitted_to)
    known = _with_errors(fitted_to, means, fitted.values)
    return known if taken.all() else _corrected(pairs, taken, others, fitted, known)


def _with_errors(pairs: Pairs, means: Sequence[Posterior], values: Values) -> Known:
    """The values of means through pairs, with standard errors from fits to folds."""
    # A large sample determines l and t so well that each fold would learn the same. Variances of
    # strong interactions are always learned without the fold: they would adapt to its values.
    are_many = len(pairs.sizes) > LEARNED_FROM
    folds, n_folds = folds_of(pairs, FOLDS_OF_MANY if are_many else FOLDS)
    left, adjusted = np.zeros_like(pairs.values), np.zeros_like(values)
    for fold in range(n_folds):
        own, others = folds == fold, pairs.some(folds != fold)
        fitted = fitted_by(posterior_means(others, means if are_many else None), others)
        left[own] = _remaining(fitted, pairs.some(own))
        weighted = pairs.centred[own] * weights_of_fold(pairs, own)[own, None]
        adjusted += (fitted.values + weighted.T @ left[own]) / n_folds
    errors, freedom = stratified_errors(pairs, left)
    spare = len(pairs.sizes) - (pairs.n_players - 1)
    if spare < pairs.n_players:
        freedom = np.full_like(freedom, np.nan)
    if len(pairs.sizes) >= ENOUGH * pairs.n_players:
        values = _unless_biased(values, adjusted, errors)
    return Known(values, errors, np.minimum(freedom, spare))


def _unless_biased(values: Values, adjusted: Values, errors: Values) -> Values:
    """Values, moved to the adjusted ones if their distance exceeds what sampling explains.

    The share is that of James and Stein's positive-part estimator, for each output.
    """
    n = len(values)
    distance = ((adjusted - values) ** 2).sum(axis=0)
    by_chance = (errors**2).sum(axis=0) * max(n - 2, 0) / n
    share = np.clip(1 - by_chance / np.maximum(distance, TINY), 0, 1)
    return values + np.nan_to_num(share) * (adjusted - values)


def _corrected(
    pairs: Pairs, taken: NDArray[np.bool_], others: Pairs, fitted: Fitted, known: Known
) -> Known:
    """Known values, corrected by pairs that were not fitted in so far as these are more precise."""
    weighted = others.centred * weights_of_fold(pairs, ~taken)[~taken, None]
    left = _remaining(fitted, others)
    variance = (weighted**2).T @ left**2
    of_fit = (known.standard_errors**2).mean(axis=0)
    share = np.nan_to_num(of_fit / np.maximum(of_fit + variance.mean(axis=0), TINY))
    return Known(
        known.values + share * (weighted.T @ left),
        np.hypot(share * np.sqrt(variance), (1 - share) * known.standard_errors),
        known.degrees_of_freedom,
    )


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
