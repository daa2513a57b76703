"""What a network makes of the utility function that it stands in for, from tables of both.

Section 5 and Appendix B.2 of the paper: how near a network comes to its function and to its Shapley
values (Fig. 8), and how marginal contributions and Integrated Gradients between S and S ∪ i compare
(Fig. 9, Theorem 3).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley.agreement import agreement
from pipeline.shapley.coalitions import Masks
from pipeline.shapley.games import masks_of
from pipeline.studies.baselines.effective import ratios
from pipeline.studies.baselines.surrogate import Surrogate, membership_of
from pipeline.studies.baselines.theorems import connection

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOutFit:
    """How well a surrogate gives the values of coalitions that it was not trained on."""

    n_coalitions: int
    r_squared: float
    """1 less the mean squared error over the variance; NaN where the values do not vary"""
    mean_absolute_error: float
    """in the game's unit"""
    largest_error: float


def table_fit(network: NDArray[Any], utility: NDArray[Any], trained_on: Masks) -> HeldOutFit | None:
    """How well a network's table gives a utility's at coalitions that it was not trained on.

    Args:
        network: (2**n, output) in mask order.
        utility: as ``network``.
        trained_on: (coalition,) masks.

    Returns:
        The fit, of all other coalitions; None if all were trained on.

    Raises:
        InputError: tables of different shapes.
    """
    if network.shape != utility.shape:
        raise InputError(f"tables of shapes {network.shape} and {utility.shape} are compared")
    is_left = np.ones(len(utility), dtype=np.bool_)
    is_left[trained_on.astype(np.intp)] = False
    if not is_left.any():
        return None
    truth = utility[is_left].astype(np.float64)
    off = network[is_left] - truth
    variance = truth.var(axis=0).mean()
    return HeldOutFit(
        n_coalitions=int(is_left.sum()),
        r_squared=float(1 - (off**2).mean() / variance) if variance > 0 else float("nan"),
        mean_absolute_error=float(np.abs(off).mean()),
        largest_error=float(np.abs(off).max()),
    )


def value_differences(network: Floats, utility: Floats) -> dict[str, float]:
    """How a network's Shapley values differ from the utility's: (player,) each.

    Returns:
        ``largest_value_difference`` and ``mean_value_difference`` in the utility's unit,
        ``ratio_distance`` (L1), ``pearson`` and ``kendall``.
    """
    # Sums of 2**n terms: players that are alike may differ in the last digits, and were no tie.
    order = agreement(network, np.round(utility, 9))
    return {
        "largest_value_difference": float(np.abs(network - utility).max()),
        "mean_value_difference": float(np.abs(network - utility).mean()),
        "ratio_distance": float(np.abs(ratios(network) - ratios(utility)).sum()),
        "pearson": float(order.pearson),
        "kendall": float(order.kendall),
    }


def coalitions_without(
    n_players: int, player: int, count: int, generator: np.random.Generator
) -> Masks:
    """Random coalitions without a player, each size as likely as any other: (count,).

    The expected marginal contribution to them is the player's Shapley value.
    """
    sizes = generator.integers(n_players, size=count)
    scores = generator.random((count, n_players))
    scores[:, player] = 1  # enters last
    places = scores.argsort(axis=1).argsort(axis=1)
    return masks_of(places < sizes[:, None])


@dataclass(frozen=True, eq=False)
class Connected:
    """Theorem 3 at sampled coalitions of every player, of one network; all (player, coalition)."""

    marginals: Floats
    integrated: Floats
    gradient_spread: Floats

    def summary(self) -> dict[str, float]:
        """Over all players and coalitions.

        Returns:
            ``largest_difference`` and ``mean_difference``, absolute ones of single coalitions;
            ``largest_accumulated_difference``, of a player's sums over coalitions, and
            ``largest_accumulated``, the largest absolute sum of marginal contributions;
            ``mean_marginal``, mean absolute marginal contribution; ``mean_spread`` and
            ``largest_spread``, of the gradient between S and S ∪ i; ``relative_spread``, the mean
            spread over the mean absolute marginal contribution: 0 where the network is linear.
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
        coalitions: S, a player.
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
