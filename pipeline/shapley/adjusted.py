"""Regression-adjusted sampling: a fitted game's exact values, and an unbiased correction.

One part of the sample fits an approximation to the game whose Shapley values are known exactly.
The other part estimates the values of the remainder (game minus approximation) without bias by
maximum sample reuse (RegressionMSR; Witter, Liu and Musco, arXiv 2506.11849). By linearity the sum
of both is an unbiased estimate, whatever the fit. The better the fit, the smaller the sampling
error. The parts change roles: each fold of the sample corrects the fit to all other folds, and the
estimate is the mean over folds.

The folds together are drawn without replacement. Given the other folds, a fold is therefore a
random sample of the coalitions that they do not contain. In every stratum the estimate of a fold is
the known sum over the others' pairs, plus the mean over its own pairs times the number of remaining
pairs. This is unbiased given the others, and exact once all coalitions are drawn.

The number of folds is the number of pairs of the size sampled least, from 2 to 10. A game that the
fit reproduces exactly (by default, an additive one) has exact values once all folds but one have
1.5 n pairs. Standard errors are those of a stratified sample without replacement, from the spread
within each stratum of the remainder of the fit to the other folds. They leave out the error that
folds share because they are fitted to each other; it is small unless the sample is small. A budget
is at least 2 n, or 3 n if n is even, for two pairs of each size. The pairs drawn are the same as
those of the regression with the same seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley import gaussian_process
from pipeline.shapley.draws import Membership, pairs_for
from pipeline.shapley.estimate import Known, Method, Values
from pipeline.shapley.gaussian_process import Posterior
from pipeline.shapley.msr import stratified_errors
from pipeline.shapley.pairs import Pairs, mean_weights, populations, sampled_pairs
from pipeline.shapley.regression import solution

MAX_FOLDS = 10

SMALL_RIDGE = 0.1
"""Ridge of the linear fit to as many pairs as there are unknowns."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A game that approximates another, and its Shapley values."""

    values: Values
    """(player, output), exact"""
    predict: Callable[[Membership], NDArray[np.float64]]
    """its values of coalitions, (coalition, output), from membership (coalition, player)"""


Fit = Callable[[Pairs], Fitted]
"""Fits an approximation to evaluated pairs. Every stratum has pairs, but there may be few."""


def fit_linear(pairs: Pairs) -> Fitted:
    """The additive game of the regression's solution (:mod:`pipeline.shapley.regression`).

    With fewer than 1.5 pairs per unknown, the solution is shrunk a little, because it is erratic
    for so small a sample. This biases the fit but leaves the estimate unbiased.
    """
    n_unknown, n_pairs = pairs.n_players - 1, len(pairs.sizes)
    ridge = SMALL_RIDGE * n_unknown / n_pairs if n_pairs < 1.5 * n_unknown else 0.0
    values = solution(pairs, ridge).values
    return Fitted(values, lambda membership: pairs.empty + membership @ values)


def fit_kernel(pairs: Pairs) -> Fitted:
    """The mean of a Gaussian process (:mod:`pipeline.shapley.gaussian_process`).

    Only the odd part of a game has a part in Shapley values, so only this part is fitted.
    """
    return fitted_by(gaussian_process.posterior_means(pairs), pairs)


def fitted_by(means: Sequence[Posterior], pairs: Pairs) -> Fitted:
    """The game of the means of Gaussian processes through pairs, one for each output."""
    held = pairs.membership
    equal = (pairs.full - pairs.empty) / pairs.n_players
    values = [gaussian_process.values_of(mean, held) for mean in means]

    def predict(membership: Membership) -> NDArray[np.float64]:
        odd = [gaussian_process.predicted(mean, held, membership) for mean in means]
        return np.stack(odd, axis=1) + membership.sum(axis=1)[:, None] * equal

    return Fitted(np.stack(values, axis=1) + equal, predict)


def regression_adjusted(fit: Fit = fit_linear) -> Method:
    """The method with an approximation of your own; by default the regression's additive game."""
    return sampled_pairs(
        "regression_adjusted",
        "the regression's values, corrected by maximum sample reuse on other folds",
        lambda pairs: _cross_fitted(pairs, fit),
        needs=lambda n: 2 + 2 * pairs_for(n, 2),
        unbiased=True,
    )


METHOD = regression_adjusted()


def _cross_fitted(pairs: Pairs, fit: Fit) -> Known:
    folds, n_folds = folds_of(pairs)
    values = np.zeros((pairs.n_players, pairs.values.shape[1]))
    left = np.zeros_like(pairs.values)
    for fold in range(n_folds):
        own = folds == fold
        fitted = fit(pairs.some(~own))
        nobody_and_all = np.repeat([[False], [True]], pairs.n_players, axis=1)
        empty, full = np.stack([pairs.empty, pairs.full]) - fitted.predict(nobody_and_all)
        remaining = pairs.values - fitted.predict(pairs.membership)
        remaining -= pairs.complements - fitted.predict(~pairs.membership)
        left[own] = remaining[own]
        values += fitted.values + (full - empty) / pairs.n_players
        weights = weights_of_fold(pairs, own)
        values += (pairs.centred * weights[:, None]).T @ remaining
    return Known(values / n_folds, *stratified_errors(pairs, left))


def weights_of_fold(pairs: Pairs, own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weight of each pair when the pairs of one fold represent all that the others do not hold."""
    length = len(pairs.counts())
    all_pairs = np.maximum(populations(pairs.n_players), 1)
    n_others = np.bincount(pairs.sizes[~own], minlength=length)
    n_own = np.bincount(pairs.sizes[own], minlength=length)
    stands_for = (all_pairs - n_others) / np.maximum(n_own, 1)
    per_pair = mean_weights(pairs.n_players) / all_pairs
    return per_pair[pairs.sizes] * np.where(own, stands_for[pairs.sizes], 1.0)


def folds_of(pairs: Pairs, most: int = MAX_FOLDS) -> tuple[NDArray[np.intp], int]:
    """Fold of each pair (in turn within each stratum, in the order drawn), and number of folds."""
    counts, all_pairs = pairs.counts(), populations(pairs.n_players)
    incomplete = counts[counts < all_pairs]
    n_folds = int(np.clip(incomplete.min(), 2, most)) if len(incomplete) else 2
    order = np.argsort(pairs.sizes, kind="stable")
    firsts = np.cumsum(counts) - counts
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order)) - firsts[pairs.sizes[order]]
    return rank % n_folds, n_folds
