"""The sampled estimators of Shapley values, by name.

All take a game and the same keywords, budget, tolerance, seed and advance, and return an
:class:`pipeline.shapley.estimate.Estimate`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.shapley import adjusted, msr, permutation, regression, stratified
from pipeline.shapley.estimate import Estimate, Seed
from pipeline.shapley.games import Game


class Estimator(Protocol):
    """What every method's function takes and returns."""

    def __call__(
        self,
        game: Game,
        *,
        budget: int | None = None,
        tolerance: float | None = None,
        seed: Seed = 0,
        advance: Callable[[int], None] | None = None,
    ) -> Estimate:
        """Estimate the Shapley values of all players for all outputs."""


@dataclass(frozen=True)
class Method:
    """A sampled estimator."""

    name: str
    estimate: Estimator
    unbiased: bool
    description: str
    needs: Callable[[int], int]
    """Evaluations that it needs for so many players, where there are not fewer coalitions."""

    def smallest(self, n_players: int) -> int:
        """The smallest budget that the method takes."""
        return min(self.needs(n_players), 2**n_players)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            permutation.METHOD,
            permutation.permutation_values,
            unbiased=True,
            description="permutation sampling, each order together with its reverse",
            needs=lambda n: 2 * n,
        ),
        Method(
            stratified.METHOD,
            stratified.stratified_values,
            unbiased=True,
            description="every player in every place equally often: random Latin squares of orders",
            needs=lambda n: n * (n - 1) + 2,
        ),
        Method(
            regression.METHOD,
            regression.regression_values,
            unbiased=False,
            description="paired KernelSHAP with leverage-score sampling (Leverage SHAP)",
            needs=lambda n: 2 * n,
        ),
        Method(
            adjusted.METHOD,
            adjusted.regression_adjusted_values,
            unbiased=True,
            description="the regression's values, corrected by maximum sample reuse on other folds",
            needs=lambda n: 2 * n if n % 2 else 3 * n,
        ),
        Method(
            msr.METHOD,
            msr.msr_values,
            unbiased=True,
            description="maximum sample reuse without adjustment: a point of reference",
            needs=lambda n: n + 1 if n % 2 else n + 2,
        ),
    )
}
"""The methods by name."""
