"""What sampled estimators share: their result, the budget, the stopping rule, the draws' seeds.

An estimator draws in rounds. Round r draws from child r of the seed, and how much it draws does not
depend on the budget, so the samples of a small budget are the first of those of a larger one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley import coalitions
from pipeline.shapley.exact import shapley_values
from pipeline.shapley.games import CountedGame, Game, counted, masks_of

Values = NDArray[np.float64]
"""(player, output)"""

Seed = int | np.random.SeedSequence

MAX_EVALUATIONS = 1 << 20
"""Evaluations at which an estimate with a tolerance and no budget ends."""

ROUNDING = 1e-12
"""Standard errors below this part of an output's largest value are float64's own."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimated Shapley values of all players for all outputs."""

    values: Values
    """(player, output)"""
    standard_errors: Values
    """(player, output); NaN where they cannot be known from so few samples"""
    evaluations: int
    """Distinct coalitions evaluated, the empty and the full one among them."""
    unbiased: bool
    """Whether, over seeds, the values' expectation is the Shapley value. A tolerance, which stops
    by looking at the samples, biases any estimator slightly; this is said of a budget."""
    method: str
    samples: int
    """What was drawn, in the method's own unit; all coalitions if all were evaluated."""
    converged: bool | None
    """Whether the tolerance was reached; None if none was given."""


@dataclass(frozen=True)
class Limits:
    """What ends an estimate."""

    most: int
    """Distinct coalitions that may be evaluated."""
    covers_all: bool
    """Whether these are all there are."""
    tolerance: float | None


@dataclass
class Moments:
    """Running mean and sum of squared deviations of independent replicates (Chan's update)."""

    count: int = 0
    mean: Values = field(default_factory=lambda: np.zeros((1, 1)))
    squares: Values = field(default_factory=lambda: np.zeros((1, 1)))

    def add(self, replicates: NDArray[np.float64]) -> None:
        """Add replicates: (replicate, player, output)."""
        n_new = len(replicates)
        if not n_new:
            return
        total = self.count + n_new
        mean = replicates.mean(axis=0)
        change = mean - self.mean
        self.squares = (
            self.squares
            + ((replicates - mean) ** 2).sum(axis=0)
            + change**2 * (self.count * n_new / total)
        )
        self.mean = self.mean + change * (n_new / total)
        self.count = total

    def standard_errors(self) -> Values:
        """Of the mean: (player, output); NaN for fewer than two replicates."""
        if self.count < 2:
            return np.full_like(self.mean, np.nan)
        return np.sqrt(self.squares / (self.count * (self.count - 1)))


def start(
    game: Game,
    *,
    method: str,
    smallest: int,
    budget: int | None,
    tolerance: float | None,
    advance: Callable[[int], None] | None,
) -> tuple[CountedGame, Limits]:
    """Check what limits an estimate and wrap its game.

    Args:
        game: the game.
        method: name of the method, for messages.
        smallest: evaluations that the method needs at least; a game with fewer coalitions needs
            them all.
        budget: most evaluations, or None: ``MAX_EVALUATIONS``.
        tolerance: as :func:`is_precise` takes it, or None.
        advance: told the number of evaluations as they are made.

    Raises:
        InputError: neither of both, a budget that is too small, a tolerance that is not positive.
    """
    wrapped = counted(game, advance)
    n = wrapped.n_players
    if budget is None and tolerance is None:
        raise InputError(
            f"{method}: neither a budget nor a tolerance; give the most evaluations that may be "
            f"made, or the standard error at which to stop, or both"
        )
    if tolerance is not None and not 0 < tolerance < np.inf:
        raise InputError(
            f"{method}: tolerance {tolerance}; it is a part of the values' spread, more than 0"
        )
    smallest = min(smallest, 2**n)
    if budget is not None and budget < smallest:
        raise InputError(
            f"{method}: a budget of {budget} evaluations; with {n} players it takes {smallest} "
            f"at least"
        )
    most = max(MAX_EVALUATIONS, smallest) if budget is None else int(budget)
    # Beyond that many players the coalitions cannot be listed, and no budget will cover them.
    covers_all = n <= coalitions.MAX_ENUMERABLE and most >= 2**n
    return wrapped, Limits(min(most, 2**n), covers_all, tolerance)


def is_precise(values: Values, standard_errors: Values, tolerance: float) -> bool:
    """The stopping rule: whether every output's values are known well enough.

    An output's are if the largest standard error of its players is at most ``tolerance`` times the
    spread of its values, their maximum over players less their minimum; or if there is no spread
    (as with one player); or if the standard errors are no more than rounding. Where all players
    are worth the same but for the sampling error, only the budget ends the sampling.
    """
    spread = values.max(axis=0) - values.min(axis=0)
    error = standard_errors.max(axis=0)
    rounding = ROUNDING * np.abs(values).max(axis=0)
    small = (error <= tolerance * spread) | (spread == 0) | (error <= rounding)
    return bool((small & ~np.isnan(error)).all())


def child(seed: Seed, index: int) -> np.random.Generator:
    """The generator of one child of a seed; the seed itself is left as it was."""
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    sequence = np.random.SeedSequence(
        root.entropy, spawn_key=(*root.spawn_key, index), pool_size=root.pool_size
    )
    return np.random.default_rng(sequence)


def ends(game: CountedGame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of the empty and of the full coalition: (output,) each."""
    from_nobody_to_all = np.zeros((2, game.n_players), dtype=np.bool_)
    from_nobody_to_all[1] = True
    values = game(masks_of(from_nobody_to_all)).astype(np.float64)
    return values[0], values[1]


def exact(game: CountedGame, method: str, tolerance: float | None) -> Estimate:
    """What a budget for all coalitions buys: the exact values, from all of them."""
    masks = np.arange(2**game.n_players, dtype=np.uint64)
    values = shapley_values(game(masks))
    return Estimate(
        values=values,
        standard_errors=np.zeros_like(values),
        evaluations=game.evaluations,
        unbiased=True,
        method=method,
        samples=len(masks),
        converged=None if tolerance is None else True,
    )
