"""Strong interactions of a Gaussian process: parity functions with variances of their own.

An odd function of coalitions is a sum of parity functions of odd numbers of players (its Fourier
or Walsh expansion). A smooth kernel gives all of one order nearly the same variance, but games of
rules or of synergies have a few large ones. Here a kernel is a sum of three parts,

    σ² K + Σ_T γ_T f_T f_Tᵀ + λ D,   f_T(S) = ∏_{i∈T} s_i − Σ_i s_i / n,

where s_i is 1 if i is in S, else −1. σ², γ_T and λ are learned together by restricted maximum
likelihood (sparse Bayesian learning: Tipping, "Sparse Bayesian Learning and the Relevance Vector
Machine", JMLR 2001), with multiplicative steps. D is 1 for a coalition and itself, except for
nobody: a value of nobody without noise makes the estimate efficient. f_T is 0 for nobody and for
all players. Its Shapley values are 2/|T| − 2/n for the players in T and −2/n for the others. The
term of all players is left out, because its Shapley values are 0.

Up to 20,000 terms of orders 3, 5, … are looked at, for the players with the largest reach first.
Two screenings say which of them enter: what the smooth process alone makes of them, and greedy
regression, each step of which adds those that agree best with what is left. OddSHAP (Fumagalli et
al., 2026) also fits odd terms, which it selects by fitted trees.
"""

from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, lapack, solve_triangular

Floats = NDArray[np.float64]

LOOKED_AT = 20_000
"""Most terms that are looked at."""

SCREENED = 800
"""Terms that enter because of the smooth process."""

GREEDY_SHARE = 0.3
"""Terms that enter by greedy regression, as a share of the coalitions."""

AT_ONCE = 0.06
"""Terms that one step of the greedy regression adds, as a share of those it has."""

AS_STRONG = 0.5
"""Least agreement of a term that is added, as a share of the largest in its step."""

RECOVERED = 1e-14
"""Share of squares that is left once terms explain the values but for rounding."""

FIRST_VARIANCE, FIRST_NOISE = 0.03, 0.1
"""γ (of all terms together) and λ at the start, as shares of the smooth process's variance."""

STEPS = 5
"""Steps of the variances. More of them adapt the variances too well to few coalitions."""

NEGLIGIBLE = 1e-9
"""Variance of a term that is left out, as a share of the smooth process's."""

ADDITIVE = 1e-12
"""What rounding leaves of an additive game's values, as a share of the largest one."""

TINY = float(np.finfo(np.float64).tiny)

ROUNDING = 1e-8
"""Variance of rounding errors, as a share of the whole variance."""


@dataclass(frozen=True, eq=False)
class Variances:
    """What the parts of the kernel weigh."""

    smooth: float
    """σ²"""
    noise: float
    """λ, which takes up what no term explains while variances are learned. Values have no noise,
    so the fit leaves it out."""
    members: NDArray[np.bool_]
    """(term, player)"""
    of_terms: Floats
    """(term,) γ"""


def only_smooth(n: int) -> Variances:
    """The kernel K without terms or noise, for n players."""
    return Variances(1.0, 0.0, np.zeros((0, n), dtype=np.bool_), np.zeros(0))


def columns(
    membership: NDArray[np.bool_], members: NDArray[np.bool_], dtype: type[Any] = np.float64
) -> NDArray[Any]:
    """f_T(S) of coalitions (coalition, player) for terms (term, player): (coalition, term)."""
    absent = ~membership
    are_odd = (absent.astype(np.float32) @ members.T.astype(np.float32)).astype(np.int32) & 1
    mean = 1 - 2 * absent.mean(axis=1, keepdims=True)
    return (1 - mean).astype(dtype) - 2 * are_odd.astype(dtype)


def _add_noise(kernel: Floats, noise: float) -> None:
    """Add λ D to a kernel (coalition, coalition) in place, whose first coalition is nobody."""
    kernel.flat[len(kernel) + 1 :: len(kernel) + 1] += noise


def values_of_terms(members: NDArray[np.bool_]) -> Floats:
    """Shapley values (term, player) of f_T."""
    return 2 * members / members.sum(axis=1, keepdims=True) - 2 / members.shape[1]


def learned(
    kernel: Floats, membership: NDArray[np.bool_], free: Floats, values: Floats, reach: Floats
) -> Variances:
    """The variances that suit some values.

    Args:
        kernel: (coalition, coalition) K.
        membership: (coalition, player), first nobody.
        free: (coalition, column) of what has no variance because it is not penalised.
        values: (coalition,) of an odd function.
        reach: (player,) from 0 to 1: a term's variance in K is the product of its players' reach,
            up to a factor.
    """
    n = membership.shape[1]
    members = _looked_at(n, reach)
    freedom = len(values) - free.shape[1]
    left = values - free @ np.linalg.lstsq(free, values, rcond=None)[0]
    # A game that is additive leaves only rounding errors.
    if not len(members) or np.abs(left).max() <= ADDITIVE * np.abs(values).max():
        return only_smooth(n)
    values = left
    mean = float(kernel.diagonal().mean())
    smooth = kernel / mean
    projection = _projection(smooth, free)
    explained = projection @ values
    variance = float(values @ explained) / freedom
    found = columns(membership, members, np.float32)
    entering = _greedy(found, smooth, free, values)
    if len(entering) >= _most_greedy(len(values)):
        strength = np.abs(explained.astype(np.float32) @ found)
        strength *= np.sqrt(np.where(members, reach, 1.0).prod(axis=1))
        entering = np.union1d(entering, np.argsort(-strength)[:SCREENED])
    terms = columns(membership, members[entering])
    gamma = np.full(len(entering), FIRST_VARIANCE * variance / len(entering))
    sigma, noise = variance, FIRST_NOISE * variance
    largest = float((values**2).max())  # of a variance, whatever rounding does to the steps
    for _ in range(STEPS):
        total = sigma * smooth + (terms * gamma) @ terms.T
        _add_noise(total, noise)
        scale = float(total.diagonal().mean())
        projection = _projection(total / scale, free) / scale
        explained = projection @ values
        # Where the likelihood is largest, each of these ratios is 1, or its variance is 0.
        spread = np.einsum("st,st->t", terms, projection @ terms)
        gamma *= (explained @ terms) ** 2 / np.maximum(spread, TINY)
        gamma = np.minimum(gamma, largest)
        sigma *= float(explained @ smooth @ explained / (projection * smooth).sum())
        noise *= float(explained[1:] @ explained[1:] / projection.diagonal()[1:].sum())
    kept = gamma > NEGLIGIBLE * variance
    return Variances(sigma / mean, noise, members[entering[kept]], gamma[kept])


def _looked_at(n: int, reach: Floats) -> NDArray[np.bool_]:
    """Terms (term, player): for each order all of as many players as the number allows."""
    by_reach = np.argsort(-reach, kind="stable")
    found: list[NDArray[np.bool_]] = [np.zeros((0, n), dtype=np.bool_)]
    left = LOOKED_AT
    for order in range(3, n, 2):
        among = n
        while comb(among, order) > left:
            among -= 1
        number = comb(among, order)
        if not number:
            break
        players = by_reach[np.array(list(combinations(range(among), order)))]
        members = np.zeros((number, n), dtype=np.bool_)
        np.put_along_axis(members, players, True, axis=1)
        found.append(members)
        left -= number
    return np.concatenate(found)


def _most_greedy(coalitions: int) -> int:
    return int(GREEDY_SHARE * coalitions)


def _greedy(
    found: NDArray[np.float32], smooth: Floats, free: Floats, values: Floats
) -> NDArray[np.intp]:
    """Columns in the order in which orthogonal matching pursuit adds them.

    What is left is measured by the smooth process and white noise of the same variance: terms that
    are still missing look like noise. Fewer than the most columns are returned if these explain all
    of the values.
    """
    most = _most_greedy(len(values))
    lower = cholesky(smooth + np.eye(len(smooth)), lower=True, check_finite=False)
    whitened = solve_triangular(
        lower, np.column_stack([free, values]), lower=True, check_finite=False
    )
    basis = np.empty((len(values), free.shape[1] + most))
    held = free.shape[1]
    basis[:, :held] = np.linalg.qr(whitened[:, :-1])[0]
    left = whitened[:, -1] - basis[:, :held] @ (basis[:, :held].T @ whitened[:, -1])
    enough = RECOVERED * float(left @ left)
    chosen: list[int] = []
    while len(chosen) < most and left @ left > enough:
        direction = solve_triangular(lower, left, lower=True, trans=1, check_finite=False)
        agreement = np.abs(direction.astype(np.float32) @ found)
        agreement[chosen] = 0
        at_once = min(max(2, int(AT_ONCE * len(chosen))), most - len(chosen), len(agreement))
        best = np.argpartition(-agreement, at_once - 1)[:at_once]
        best = best[agreement[best] > AS_STRONG * agreement[best].max()]
        if not len(best):
            break
        added = solve_triangular(
            lower, found[:, best].astype(np.float64), lower=True, check_finite=False
        )
        for _ in range(2):  # the second time removes what rounding left
            added -= basis[:, :held] @ (basis[:, :held].T @ added)
            added = np.linalg.qr(added)[0]
        basis[:, held : held + len(best)] = added
        held += len(best)
        left = left - added @ (added.T @ left)
        chosen += best.tolist()
    return np.array(chosen, dtype=np.intp)


def _projection(kernel: Floats, free: Floats) -> Floats:
    """P = K⁻¹ − K⁻¹ X (Xᵀ K⁻¹ X)⁻¹ Xᵀ K⁻¹ for free columns X."""
    lower = factor(kernel + ROUNDING * np.eye(len(kernel)))
    inverse = np.tril(lapack.dpotri(lower, lower=1)[0])
    inverse += np.tril(inverse, -1).T
    solved = inverse @ free
    return np.asarray(inverse - solved @ np.linalg.solve(free.T @ solved, solved.T))


def factor(matrix: Floats) -> Floats:
    """Cholesky's lower factor, of a matrix that rounding may have left indefinite."""
    for share in (0.0, 1e-8, 1e-6, 1e-4):
        more = share * matrix.diagonal().mean() * np.eye(len(matrix))
        with suppress(LinAlgError):
            return cholesky(matrix + more, lower=True, check_finite=False)
    raise LinAlgError("the kernel is far from positive definite")
