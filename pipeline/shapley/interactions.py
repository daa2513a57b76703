"""Interaction indices of all players and outputs at once, from complete tables of values.

Every index of a group T is a weighted sum over all coalitions S, with a weight that depends only on
|S| and |S ∩ T|. So all indices of all groups follow from the sums

    Z_s(U) = Σ_{|S| = s, S ⊇ U} v(S)        for every group U of at most ``order`` players,

as Shapley values follow from those of single players (:mod:`pipeline.shapley.exact`). The sums are
matrix products over blocks of coalitions: no matrix of 2ⁿ × 2ⁿ and no further table of 2ⁿ values is
built. The weights are exact fractions before they are rounded once.

The indices, in terms of the Möbius transform a(S) = Σ_{R ⊆ S} (−1)^(|S|−|R|) v(R):

* ``SII``, Shapley interaction index: Σ_{S ⊇ T} a(S) / (|S| − |T| + 1) (Grabisch and Roubens, 1999);
* ``k-SII``: SII of groups of up to k players, added up so that all of them sum to v(N)
  (n-Shapley values of Bordt and von Luxburg, 2023);
* ``STII``, Shapley Taylor index: a(T) for |T| < k, Σ_{S ⊇ T} a(S) / C(|S|, k) for |T| = k
  (Sundararajan, Dhamdhere and Agarwal, 2020);
* ``FSII``, faithful Shapley index: the terms of the polynomial of degree k that is nearest to the
  game under Kernel SHAP's weights (Tsai, Yeh and Ravikumar, 2023, Theorem 19);
* ``BII``, Banzhaf index: Σ_{S ⊇ T} a(S) / 2^(|S|−|T|) (Grabisch and Roubens, 1999); its groups of
  one player are the Banzhaf values;
* ``FBII``, faithful Banzhaf index: as FSII, with equal weights (Tsai, Yeh and Ravikumar, Theorem
  17).
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import torch
from torch import Tensor

from pipeline.core.blocks import moved
from pipeline.core.errors import InputError
from pipeline.shapley import coalitions
from pipeline.shapley.exact import complete_table

INDICES = ("SII", "k-SII", "STII", "FSII", "BII", "FBII")

_BLOCK_BYTES = 1 << 25

_BERNOULLI = (Fraction(1), Fraction(-1, 2), Fraction(1, 6), Fraction(0), Fraction(-1, 30))


def subsets(n_players: int, order: int) -> list[tuple[int, ...]]:
    """Groups of at most ``order`` players, by size and then by their players; the first is ()."""
    sizes = range(min(order, n_players) + 1)
    return [group for size in sizes for group in combinations(range(n_players), size)]


def interactions(values: np.ndarray | Tensor, index: str, order: int = 2) -> np.ndarray:
    """An interaction index of all groups of at most ``order`` players, for every output.

    Args:
        values: (..., 2**n, output), complete tables in mask order, float32 or float64.
        index: one of :data:`INDICES`.
        order: the most players of a group, at most four. STII, k-SII, FSII and FBII of a group
            depend on it.

    Returns:
        (..., group, output) float64, one row per group of ``subsets(n, order)``. The first row, of
        the empty group, is v(∅), except for FBII, where it is the polynomial's constant.

    Raises:
        InputError: an unknown index, an order below 1 or above n or 4, or values that are not a
            complete table of finite numbers.
    """
    table = complete_table(values)
    n = table.shape[-2].bit_length() - 1
    most = min(n, len(_BERNOULLI) - 1)
    if index not in INDICES:
        raise InputError(f"index: {index!r} is none of {', '.join(INDICES)}")
    if not 1 <= order <= most:
        raise InputError(f"order: {order} is not between 1 and {most}")
    groups = subsets(n, order)
    leading, n_outputs = table.shape[:-2], table.shape[-1]
    flat = table.reshape(-1, *table.shape[-2:]).transpose(0, 1)
    sums = _superset_sums(flat.reshape(2**n, -1), groups, n)
    found = _weighted(sums, groups, n, _coefficients(index, order))
    result = found.view(len(groups), -1, n_outputs).transpose(0, 1)
    return result.reshape(*leading, len(groups), n_outputs).cpu().numpy()


def _superset_sums(table: Tensor, groups: list[tuple[int, ...]], n: int) -> Tensor:
    """Z_s(U) of a table (2**n, column): (group, size, column) float64."""
    columns = table.shape[1]
    sums = torch.zeros((len(groups), n + 1, columns), dtype=torch.float64, device=table.device)
    block = max(1, _BLOCK_BYTES // (8 * (columns + len(groups))))
    for size in range(n + 1):
        masks = coalitions.of_size(n, size)
        for start in range(0, len(masks), block):
            chosen = masks[start : start + block]
            rows = moved(chosen.astype(np.int64), table.device)
            inside = moved(_inside(chosen, groups, n), table.device)
            sums[:, size] += inside @ table[rows].double()
    return sums


def _inside(masks: np.ndarray, groups: list[tuple[int, ...]], n: int) -> np.ndarray:
    """Which coalitions hold which groups: (group, coalition) float64."""
    present = coalitions.to_bool(masks, n).T
    inside = np.empty((len(groups), len(masks)))
    places = {group: place for place, group in enumerate(groups)}
    inside[0] = 1
    for place, group in enumerate(groups[1:], 1):
        np.multiply(inside[places[group[:-1]]], present[group[-1]], out=inside[place])
    return inside


Coefficients = Callable[[int, int], Fraction]
"""Coefficient of a(S), S ⊇ T, in the index of T, for |S| and |T|."""


def _weighted(
    sums: Tensor, groups: list[tuple[int, ...]], n: int, coefficients: Coefficients
) -> Tensor:
    """The index of each group from the sums of all groups: (group, column)."""
    result = torch.zeros_like(sums[:, 0])
    for size in range(len(groups[-1]) + 1):
        own = [place for place, group in enumerate(groups) if len(group) == size]
        weights = _weights(n, size, coefficients)
        places = {group: place for place, group in enumerate(groups)}
        for part in subsets(size, size):
            inner = [places[tuple(groups[place][i] for i in part)] for place in own]
            weight = torch.from_numpy(weights[:, len(part)]).to(sums.device)
            result[own] += torch.einsum("gsc,s->gc", sums[inner], weight)
    return result


def _weights(n: int, size: int, coefficients: Coefficients) -> np.ndarray:
    """Weight of Z_r(U) in the index of a group T ⊇ U of this size: (r, |U|) float64.

    a(S) is a sum over R ⊆ S, and C(n − |T ∪ R|, |S| − |T ∪ R|) sets of each size hold T and R. This
    gives the weight of v(R) by |R| and |R ∩ T|. The sum over the R whose intersection with T has a
    given size follows from the Z by inclusion and exclusion.
    """
    of_value = [[Fraction(0)] * (size + 1) for _ in range(n + 1)]
    for r in range(n + 1):
        for common in range(max(0, r - n + size), min(r, size) + 1):
            union = size + r - common
            of_value[r][common] = sum(
                (
                    coefficients(s, size) * (-1) ** (s - r) * comb(n - union, s - union)
                    for s in range(union, n + 1)
                ),
                Fraction(0),
            )
    weights = [
        [
            sum((-1) ** (u - common) * comb(u, common) * of_value[r][common]
                for common in range(u + 1))
            for u in range(size + 1)
        ]
        for r in range(n + 1)
    ]  # fmt: skip
    return np.array(weights, dtype=np.float64)


def _coefficients(index: str, order: int) -> Coefficients:
    """The coefficients of an index in terms of the Möbius transform."""

    def sii(s: int, t: int) -> Fraction:
        return Fraction(1, s - t + 1)

    def k_sii(s: int, t: int) -> Fraction:
        # Σ over the groups between T and S: Bernoulli numbers times their SII.
        more = range(min(order, s) - t + 1)
        return sum((_BERNOULLI[m] * comb(s - t, m) * sii(s, t + m) for m in more), Fraction(0))

    def stii(s: int, t: int) -> Fraction:
        return Fraction(1, comb(s, order)) if t == order else Fraction(s == t)

    def fsii(s: int, t: int) -> Fraction:
        if s <= order:
            return Fraction(s == t)
        sign = (-1) ** (order - t)
        shared = Fraction(comb(s - 1, order), comb(s + order - 1, order + t))
        return sign * Fraction(t, order + t) * comb(order, t) * shared

    def bii(s: int, t: int) -> Fraction:
        return Fraction(1, 2 ** (s - t))

    def fbii(s: int, t: int) -> Fraction:
        if s <= order:
            return Fraction(s == t)
        sign = (-1) ** (order - t)
        return sign * Fraction(comb(s - t - 1, order - t), 2 ** (s - t))

    by_name = {"SII": sii, "k-SII": k_sii, "STII": stii, "FSII": fsii, "BII": bii, "FBII": fbii}
    chosen = by_name[index]

    def coefficients(s: int, t: int) -> Fraction:
        if t == 0 and index != "FBII":
            return Fraction(s == 0)
        return chosen(s, t)

    return coefficients
