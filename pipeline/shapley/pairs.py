"""Values of sampled pairs of complementary coalitions, and the loop of the methods on them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.draws import draw, population, strata
from pipeline.shapley.estimate import Budget, Known, Method, ends
from pipeline.shapley.games import masks_of


@dataclass(frozen=True, eq=False)
class Pairs:
    """Evaluated pairs of complementary coalitions S and N∖S, |S| ≤ n / 2, in the order drawn."""

    membership: NDArray[np.bool_]
    """(pair, player) of S; with n / 2 players, of the one that holds player 0"""
    sizes: NDArray[np.intp]
    """(pair,) |S|, which names the stratum"""
    values: NDArray[np.float64]
    """(pair, output) v(S)"""
    complements: NDArray[np.float64]
    """(pair, output) v(N∖S)"""
    empty: NDArray[np.float64]
    """(output,) v(∅)"""
    full: NDArray[np.float64]
    """(output,) v(N)"""

    @property
    def n_players(self) -> int:
        """Number of players."""
        return self.membership.shape[1]

    @property
    def centred(self) -> NDArray[np.float64]:
        """Membership of S minus its mean over players: (pair, player); opposite for N∖S."""
        return self.membership - self.sizes[:, None] / self.n_players

    def counts(self) -> NDArray[np.intp]:
        """Pairs drawn of each stratum: (n // 2 + 1,), the first entry is 0."""
        return np.bincount(self.sizes, minlength=self.n_players // 2 + 1)

    def some(self, chosen: NDArray[np.bool_]) -> "Pairs":
        """The chosen pairs alone."""
        return Pairs(
            self.membership[chosen],
            self.sizes[chosen],
            self.values[chosen],
            self.complements[chosen],
            self.empty,
            self.full,
        )


def populations(n_players: int) -> NDArray[np.float64]:
    """Total number of pairs in each stratum: (n // 2 + 1,), the first entry is 0."""
    return np.array([0.0, *(float(population(n_players, k)) for k in strata(n_players))])


def mean_weights(n_players: int) -> NDArray[np.float64]:
    """Weight of the mean over each stratum: (n // 2 + 1,), the first entry is 0.

    With z the centred membership of S and d = v(S) − v(N∖S),

        φ = (v(N) − v(∅)) / n + sum over strata k of weight_k · (mean of z d over the stratum).

    This is the Shapley value gathered by coalition. A coalition of k players has the weight 1 / k
    (in the mean over its size) for its members and −1 / (n − k) for the others, which is
    n z / (k (n − k)). With n / 2 players a pair stands for two coalitions of the same size.
    """
    k = np.arange(1, n_players // 2 + 1)
    share = np.where(2 * k == n_players, 0.5, 1.0)
    return np.concatenate([[0.0], share * n_players / (k * (n_players - k))])


Combine = Callable[[Pairs], Known]
"""Computes values and standard errors from evaluated pairs."""


def sampled_pairs(
    name: str, description: str, combine: Combine, *, needs: Callable[[int], int], unbiased: bool
) -> Method:
    """The method that combines the values of sampled pairs.

    The pairs are the same for all such methods. Samples are coalitions, without the empty and the
    full one.
    """
    return Method(
        name=name,
        description=description,
        unbiased=unbiased,
        needs=needs,
        draw=lambda budget: _rounds(combine, budget),
    )


@dataclass
class _Drawn:
    """The pairs so far."""

    combine: Combine
    budget: Budget
    parts: list[Pairs]

    @property
    def size(self) -> int:
        return 2 * sum(len(part.sizes) for part in self.parts)

    @property
    def is_enough(self) -> bool:
        return self.budget.game.evaluations >= self.budget.smallest

    def estimate(self) -> Known:
        self.parts = [_joined(self.parts)]
        return self.combine(self.parts[0])


def _rounds(combine: Combine, budget: Budget) -> Iterator[_Drawn]:
    game, found = budget.game, _Drawn(combine, budget, [])
    empty, full = ends(game)
    for membership, sizes in draw(game.n_players, budget.seed):
        n_pairs = min(len(sizes), budget.left // 2)
        if n_pairs:
            drawn = membership[:n_pairs]
            values = game(masks_of(np.concatenate([drawn, ~drawn]))).astype(np.float64)
            part = Pairs(drawn, sizes[:n_pairs], values[:n_pairs], values[n_pairs:], empty, full)
            found.parts.append(part)
            yield found
        if n_pairs < len(sizes):
            return


def _joined(parts: list[Pairs]) -> Pairs:
    if len(parts) == 1:
        return parts[0]
    return Pairs(
        np.concatenate([part.membership for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.complements for part in parts]),
        parts[0].empty,
        parts[0].full,
    )
