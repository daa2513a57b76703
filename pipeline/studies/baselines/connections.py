"""Theorem 3 on networks: marginal contributions and Integrated Gradients from S to S ∪ i.

Both are computed on the networks, which have gradients, at sampled coalitions; all sizes are
equally likely (Fig. 9).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.coalitions import Masks
from pipeline.shapley.games import masks_of
from pipeline.studies.baselines.surrogate import Surrogate, membership_of
from pipeline.studies.baselines.theorems import connection

Floats = NDArray[np.float64]


def coalitions_without(
    n_players: int, player: int, count: int, generator: np.random.Generator
) -> Masks:
    """Random coalitions without a player, all sizes equally likely: (count,).

    The expected marginal contribution to them is the player's Shapley value.
    """
    sizes = generator.integers(n_players, size=count)
    scores = generator.random((count, n_players))
    scores[:, player] = 1  # sorted last, so that the player is never chosen
    places = scores.argsort(axis=1).argsort(axis=1)
    return masks_of(places < sizes[:, None])


@dataclass(frozen=True, eq=False)
class Connected:
    """Theorem 3 of one network at sampled coalitions of every player; all (player, coalition)."""

    marginals: Floats
    integrated: Floats
    gradient_spread: Floats

    def by_player(self) -> dict[str, Floats]:
        """Means over coalitions, (player,) each.

        Returns:
            ``marginal`` and ``integrated``; ``magnitude``: of absolute marginal contributions;
            ``difference``: of their absolute differences; ``spread``: of the gradient's spread.
        """
        return {
            "marginal": self.marginals.mean(axis=1),
            "integrated": self.integrated.mean(axis=1),
            "magnitude": np.abs(self.marginals).mean(axis=1),
            "difference": np.abs(self.integrated - self.marginals).mean(axis=1),
            "spread": self.gradient_spread.mean(axis=1),
        }

    def summary(self) -> dict[str, float]:
        """Summary over all players and coalitions.

        Returns:
            ``largest_difference`` and ``mean_difference``: absolute ones of single coalitions;
            ``largest_accumulated_difference``: of a player's sums over coalitions;
            ``largest_accumulated``: the largest absolute sum of marginal contributions;
            ``mean_marginal``: mean absolute marginal contribution; ``mean_spread`` and
            ``largest_spread``: of the gradient between S and S ∪ i; ``relative_spread``: the mean
            spread divided by ``mean_marginal``, 0 if the network is linear.
        """
        difference = np.abs(self.integrated - self.marginals)
        sums, integrals = self.marginals.sum(axis=1), self.integrated.sum(axis=1)
        marginal = float(np.abs(self.marginals).mean())
        spread = float(self.gradient_spread.mean())
        return {
            "largest_difference": float(difference.max()),
            "mean_difference": float(difference.mean()),
            "largest_accumulated_difference": float(np.abs(integrals - sums).max()),
            "largest_accumulated": float(np.abs(sums).max()),
            "mean_marginal": marginal,
            "mean_spread": spread,
            "largest_spread": float(self.gradient_spread.max()),
            "relative_spread": spread / marginal if marginal else float("nan"),
        }


def connected(
    surrogate: Surrogate, *, coalitions: int, steps: int, seed: np.random.SeedSequence
) -> Connected:
    """Marginal contributions and Integrated Gradients from S to S ∪ i for each player.

    Args:
        surrogate: the network.
        coalitions: number of coalitions S per player.
        steps: points of the quadrature.
        seed: of the coalitions.
    """
    n = surrogate.n_players
    generator = np.random.default_rng(seed)
    found = []
    for player in range(n):
        masks = coalitions_without(n, player, coalitions, generator)
        found.append(connection(surrogate.network, membership_of(masks, n), player, steps=steps))
    return Connected(
        marginals=np.stack([one.marginals for one in found]),
        integrated=np.stack([one.integrated for one in found]),
        gradient_spread=np.stack([one.gradient_spread for one in found]),
    )
