"""A Gaussian process through sampled pairs, and the Shapley values of its mean.

Shapley values depend on a game only through h(S) = (v(S) − v(N∖S)) / 2, which is odd: it changes
its sign if S is replaced by its complement. h is modelled as a sum of three parts: an additive
one, a function of |S|, and g with the covariance

    σ² A(S) A(T) [κ(S, T) − κ(S, N∖T)].

κ(S, T) = exp(−(sum of l_i over the players in which S and T differ)), so a large l_i means that
player i interacts with many others. A(S) = (t^|S| + t^(n−|S|)) / (1 + t^n) with t ≤ 1 lets values
vary less for coalitions of medium size, as those of a video's frames do. The additive part and the
function of |S| are free (universal kriging); the latter has no part in Shapley values. l, t and σ²
maximise the restricted likelihood times a weak prior, for each output alone.

The posterior mean of g is a sum over the sampled coalitions of products over players. The Shapley
value of a product over players f(S) = ∏ u_i(present) · ∏ u_i(absent) is an integral of polynomials
of degree n − 1 (Owen's multilinear extension),

    φ_i = (u_i(present) − u_i(absent)) · ∫₀¹ ∏_{j≠i} (p u_j(present) + (1 − p) u_j(absent)) dp,

which Gauss and Legendre's rule with n / 2 nodes gives exactly. Kernels of products over players are
those of ShaplEIG (Rundel et al., 2026), which selects coalitions one by one; here pairs are drawn
in advance, so the sample stays random and a correction can make the estimate unbiased.

Once pairs determine what is free, strong interactions get variances of their own
(:mod:`pipeline.shapley.strong_terms`), beside g.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, solve_triangular
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from pipeline.shapley import strong_terms
from pipeline.shapley.estimate import Values
from pipeline.shapley.pairs import Pairs
from pipeline.shapley.strong_terms import Variances, factor

Floats = NDArray[np.float64]

LEARNED_FROM = 250
"""Most pairs from which l and t are learned: the first ones drawn."""

TERMS_NEED = 4
"""Fewest pairs, in multiples of the players, that tell strong interactions."""

TERMS_FROM = 1000
"""Most pairs from which variances of strong interactions are learned: the first ones drawn."""

MOST_PAIRS = 4096
"""Most pairs that are fitted: the first ones drawn. Time grows with their cube."""

LOG_DECAY, LOG_DECAY_SPREAD, PLAYER_SPREAD, TILT_SPREAD = np.log(0.3), 0.5, 1.0, 0.3
"""Prior: log l_i is normal around a common value, which is normal itself; log t is half normal."""

NUGGET = 1e-8
"""Variance of rounding errors, relative to that of g."""

FREE = 30.0
"""Variance of the additive part, relative to that of g, where too few pairs determine it."""

STEEPEST = -8.0
"""Smallest n · log t."""

STEPS = 40
"""Most steps of the search for l and t."""


@dataclass(frozen=True, eq=False)
class Observed:
    """Coalitions S of pairs, first the empty one, and h less its additive mean."""

    membership: NDArray[np.bool_]
    """(coalition, player)"""
    centred: Floats
    """(coalition, player) membership less its mean over players"""
    free: Floats
    """(coalition, column) of the parts that are not penalised"""
    values: Floats
    """(coalition,)"""
    is_determined: bool
    """whether the additive part is among the free columns"""


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior mean of one output."""

    decay: Floats
    """(player,) l"""
    tilt: float
    """log t"""
    variances: Variances
    weights: Floats
    """(coalition,) of A(S) [κ(·, S) − κ(·, N∖S)]"""
    of_terms: Floats
    """(term,) coefficients of strong interactions"""
    additive: Floats
    """(player,) sums to 0"""
    of_size: Floats
    """(n // 2 + 1,) the function of |S| for |S| < n / 2"""


def posterior_means(pairs: Pairs, known: Sequence[Posterior] | None = None) -> list[Posterior]:
    """Fit every output alone; l and t are those of ``known`` means, or learned from the pairs."""
    total = pairs.full - pairs.empty
    halves = (pairs.values - pairs.complements) / 2
    halves -= (pairs.sizes / pairs.n_players - 0.5)[:, None] * total
    held = pairs.membership[:MOST_PAIRS]
    each = itertools.repeat(None) if known is None else known
    return [_fitted(held, h, like) for h, like in zip(halves[:MOST_PAIRS].T, each, strict=False)]


def values_of(posterior: Posterior, membership: NDArray[np.bool_]) -> Floats:
    """Shapley values (player,) of the posterior mean, fitted to ∅ and coalitions of pairs."""
    held = _with_nobody(membership[:MOST_PAIRS])
    decay, tilt = posterior.decay, posterior.tilt
    of_terms = strong_terms.values_of_terms(posterior.variances.members)
    result = posterior.additive + posterior.of_terms @ of_terms
    scale = 1 / (1 + np.exp(tilt * len(decay)))
    for present, absent in ((np.exp(tilt), 1.0), (1.0, np.exp(tilt))):
        of_pair = _of_products(held, decay, present, absent)
        of_pair -= _of_products(~held, decay, present, absent)
        result += scale * posterior.weights @ of_pair
    return result


def predicted(
    posterior: Posterior, membership: NDArray[np.bool_], asked: NDArray[np.bool_]
) -> Floats:
    """The posterior mean (coalition,) at other coalitions (coalition, player)."""
    n = asked.shape[1]
    held = _with_nobody(membership[:MOST_PAIRS])
    kernel = _kernel(asked, held, posterior.decay, posterior.tilt)[0]
    terms = strong_terms.columns(asked, posterior.variances.members)
    size = asked.sum(axis=1)
    sign = np.sign(n - 2 * size)
    centred = asked - size[:, None] / n
    return (
        kernel @ (posterior.weights / _amplitude(held.sum(axis=1), n, posterior.tilt)[0])
        + terms @ posterior.of_terms
        + centred @ posterior.additive
        + sign * posterior.of_size[np.minimum(size, n - size)]
    )


def _fitted(
    membership: NDArray[np.bool_], halves: Floats, like: Posterior | None = None
) -> Posterior:
    n = membership.shape[1]
    scale = float(np.abs(halves).max(initial=0.0)) or 1.0
    observed = _observed(membership, halves / scale)
    if like is None:
        first = slice(LEARNED_FROM)
        decay, tilt = _learned(_observed(membership[first], halves[first] / scale))
    else:
        decay, tilt = like.decay, like.tilt
    first = slice(TERMS_FROM)
    variances = _variances(_observed(membership[first], halves[first] / scale), decay, tilt)
    kernel, _, _ = _kernel(observed.membership, observed.membership, decay, tilt)
    terms = strong_terms.columns(observed.membership, variances.members)
    total = variances.smooth * kernel + (terms * variances.of_terms) @ terms.T
    lower = factor(_with_additive(total, observed))
    columns = solve_triangular(
        lower, np.column_stack([observed.free, observed.values]), lower=True, check_finite=False
    )
    free = np.linalg.lstsq(columns[:, :-1], columns[:, -1], rcond=None)[0]
    left = columns[:, -1] - columns[:, :-1] @ free
    weights = solve_triangular(lower, left, lower=True, trans=1, check_finite=False)
    of_size = np.zeros(n // 2 + 1)
    if observed.is_determined:
        additive = _basis(n) @ free[: n - 1]
        of_size[1 : 1 + len(free) - (n - 1)] = free[n - 1 :]
    else:
        additive = FREE * weights @ observed.centred
    of_terms = variances.of_terms * (weights @ terms)
    weights *= variances.smooth * _amplitude(observed.membership.sum(axis=1), n, tilt)[0]
    parts = (scale * part for part in (weights, of_terms, additive, of_size))
    return Posterior(decay, tilt, variances, *parts)


def _variances(observed: Observed, decay: Floats, tilt: float) -> Variances:
    held = observed.membership
    if not observed.is_determined or len(held) < TERMS_NEED * len(decay):
        return strong_terms.only_smooth(len(decay))
    kernel, _, _ = _kernel(held, held, decay, tilt)
    reach = np.tanh(decay / 2)
    with _threads().limit(limits=1 if len(held) <= LEARNED_FROM + 1 else None):
        return strong_terms.learned(kernel, held, observed.free, observed.values, reach)


@functools.cache
def _threads() -> ThreadpoolController:
    """The threads of linear algebra; finding its libraries takes longer than a small fit."""
    return ThreadpoolController()


def _observed(membership: NDArray[np.bool_], halves: Floats) -> Observed:
    n = membership.shape[1]
    held = _with_nobody(membership)
    size = held.sum(axis=1)
    centred = held - size[:, None] / n
    free = centred @ _basis(n)
    of_sizes = size[:, None] == np.arange(1, (n - 1) // 2 + 1)
    is_determined = len(held) >= 1.5 * n and np.linalg.matrix_rank(free) == n - 1
    if not is_determined:
        free = free[:, :0]
    elif len(held) >= 1.5 * n + 2 * of_sizes.shape[1] and of_sizes.any(axis=0).all():
        free = np.column_stack([free, of_sizes])
    return Observed(held, centred, free, np.concatenate([[0.0], halves]), is_determined)


def _with_nobody(membership: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.concatenate([np.zeros((1, membership.shape[1]), dtype=np.bool_), membership])


def _basis(n: int) -> Floats:
    """Orthonormal columns (player, n − 1) that each sum to 0 over players."""
    return np.asarray(np.linalg.svd(np.ones((1, n)))[2][1:].T)


def _amplitude(size: NDArray[np.integer], n: int, tilt: float) -> tuple[Floats, Floats]:
    """A(S) and the derivative of its logarithm with respect to log t."""
    smaller, larger = np.exp(tilt * size), np.exp(tilt * (n - size))
    slope = (size * smaller + (n - size) * larger) / (smaller + larger)
    all_of_them = np.exp(tilt * n)
    return (smaller + larger) / (1 + all_of_them), slope - n * all_of_them / (1 + all_of_them)


def _kernel(
    rows: NDArray[np.bool_], columns: NDArray[np.bool_], decay: Floats, tilt: float
) -> tuple[Floats, Floats, Floats]:
    """Covariance A(S) A(T) [κ(S, T) − κ(S, N∖T)], and its two terms."""
    left, right = np.where(rows, 1.0, -1.0), np.where(columns, 1.0, -1.0)
    apart = (decay.sum() - (left * decay) @ right.T) / 2
    n = rows.shape[1]
    outer = np.multiply.outer(
        _amplitude(rows.sum(axis=1), n, tilt)[0], _amplitude(columns.sum(axis=1), n, tilt)[0]
    )
    near, far = outer * np.exp(-apart), outer * np.exp(apart - decay.sum())
    return near - far, near, far


def _with_additive(kernel: Floats, observed: Observed) -> Floats:
    mean = kernel.diagonal().mean()
    total = kernel + NUGGET * mean * np.eye(len(kernel))
    if not observed.is_determined:
        total += FREE * observed.centred @ observed.centred.T
    return total


def _learned(observed: Observed) -> tuple[Floats, float]:
    """l (player,) and log t of the largest restricted likelihood times prior."""
    n = observed.membership.shape[1]
    starts = [
        np.concatenate([[log_decay], np.zeros(n), [tilt]])
        for tilt in (0.0, -0.3)
        for log_decay in np.log([0.03, 0.1, 0.3, 1.0])
    ]
    bounds = [(-7.0, 3.0), *[(-4.0, 4.0)] * n, (STEEPEST / n, 0.0)]
    # On matrices this small, more threads of the linear algebra only wait for each other.
    with _threads().limit(limits=1):
        start = min(starts, key=lambda at: _loss(at, observed)[0])
        found = minimize(
            _loss,
            start,
            args=(observed,),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": STEPS},
        ).x
    return np.exp(found[0] + found[1 : n + 1]), float(found[-1])


def _loss(at: Floats, observed: Observed) -> tuple[float, Floats]:
    """Negative logarithm of restricted likelihood times prior, and its gradient.

    ``at`` holds the common log l, each player's deviation from it, and log t.
    """
    n = observed.membership.shape[1]
    common, own, tilt = at[0], at[1 : n + 1], float(at[-1])
    decay = np.exp(common + own)
    kernel, near, far = _kernel(observed.membership, observed.membership, decay, tilt)
    lower = factor(_with_additive(kernel, observed))
    inverse = np.tril(lapack.dpotri(lower, lower=1)[0])
    inverse += np.tril(inverse, -1).T
    loss = np.log(lower.diagonal()).sum()
    free = observed.free
    if free.shape[1]:
        solved = inverse @ free
        gram = free.T @ solved
        inverse = inverse - solved @ np.linalg.solve(gram, solved.T)
        loss += np.linalg.slogdet(gram)[1] / 2
    freedom = len(kernel) - 1 - free.shape[1]
    explained = inverse @ observed.values
    # A game that is exactly additive leaves nothing, and its logarithm must stay finite.
    square = max(float(observed.values @ explained), 0.0) + 1e-20
    loss += freedom / 2 * np.log(square)
    slope = inverse / 2 - freedom / (2 * square) * np.multiply.outer(explained, explained)
    near, far = slope * near, slope * far
    signs = np.where(observed.membership, 1.0, -1.0)
    crossed = np.einsum("si,si->i", signs, (near + far) @ signs)
    of_decay = (crossed + (far - near).sum()) / 2 * decay
    by_tilt = _amplitude(observed.membership.sum(axis=1), n, tilt)[1]
    gradient = np.concatenate(
        [[of_decay.sum()], of_decay, [2 * ((near - far).sum(axis=1) @ by_tilt)]]
    )
    prior = np.concatenate(
        [
            [(common - LOG_DECAY) / LOG_DECAY_SPREAD**2],
            own / PLAYER_SPREAD**2,
            [tilt / TILT_SPREAD**2],
        ]
    )
    at_mode = at - np.concatenate([[LOG_DECAY], np.zeros(n + 1)])
    return float(loss + prior @ at_mode / 2), gradient + prior


def _of_products(
    membership: NDArray[np.bool_], decay: Floats, present: float, absent: float
) -> Values:
    """Shapley values (coalition, player) of products over players of κ(·, T) and two factors.

    Factors ``present`` and ``absent`` multiply each player that is in S, or not.
    """
    n = len(decay)
    apart = np.exp(-decay)
    of_present = present * np.where(membership, 1.0, apart)
    of_absent = absent * np.where(membership, apart, 1.0)
    nodes, weights = np.polynomial.legendre.leggauss(n // 2 + 1)
    result = np.zeros(membership.shape)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        mixed = node * of_present + (1 - node) * of_absent
        result += weight * mixed.prod(axis=1, keepdims=True) / mixed
    return (of_present - of_absent) * result
