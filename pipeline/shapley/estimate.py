"""What sampled estimators share: their result, the budget, the stopping rule, the draws' seeds.

An estimator (:class:`Method`) draws in rounds and reports its estimate after each
(:class:`Sample`). This module decides when to stop. Round r draws from child r of the seed, and the
size of a round does not depend on the budget, so the samples of a small budget are the first ones
of a larger budget.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from pipeline.core.arguments import real, whole
from pipeline.core.errors import InputError
from pipeline.shapley import coalitions
from pipeline.shapley.exact import shapley_values
from pipeline.shapley.games import CountedGame, Game, counted, masks_of

Values = NDArray[np.float64]
"""(player, output)"""

Seed = int | np.random.SeedSequence

MAX_EVALUATIONS = 1 << 20
"""Number of evaluations that ends an estimate with a tolerance and no budget."""

MIN_REPLICATES = 8
"""Fewest replicates whose spread is relied upon."""

MOST_SKEWED = 0.3
"""Largest skewness of replicates, relative to the root of their number, that allows intervals."""

ROUNDING = 1e-12
"""Standard errors below this part of an output's largest value are float64 rounding."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimated Shapley values of all players for all outputs."""

    values: Values
    """(player, output)"""
    standard_errors: Values
    """(player, output); NaN where the sample is too small to estimate them"""
    degrees_of_freedom: Values
    """(player, output) of the standard errors; Inf where values are exact, NaN where the sample
    does not allow an interval"""
    evaluations: int
    """Distinct coalitions evaluated, including the empty and the full one."""
    unbiased: bool
    """Whether, over seeds, the values' expectation is the Shapley value. This holds for a budget;
    a tolerance stops by looking at the samples, which biases any estimator slightly."""
    method: str
    samples: int
    """Number of samples drawn, in the method's own unit; all coalitions if all were evaluated."""
    converged: bool | None
    """Whether the tolerance was reached; None if none was given."""

    def interval(self, level: float = 0.95) -> tuple[Values, Values]:
        """Lower and upper ends (player, output) of intervals that cover the Shapley values.

        They are Student's intervals, which allow for the error of the standard errors. They are NaN
        where the degrees of freedom are NaN.

        Args:
            level: share of such intervals that cover, more than 0 and less than 1.

        Raises:
            InputError: the level is outside this range.
        """
        return students_interval(self.values, self.standard_errors, self.degrees_of_freedom, level)


def students_interval(
    values: Values, errors: Values, freedom: Values, level: float
) -> tuple[Values, Values]:
    """Ends of Student's intervals of values with these standard errors and degrees of freedom.

    Raises InputError unless the level is between 0 and 1.
    """
    if not 0 < real("level", level) < 1:
        raise InputError(f"level {level}: it is a share, more than 0 and less than 1")
    reach = stdtrit(freedom, (1 + level) / 2) * errors
    return values - reach, values + reach


class Known(NamedTuple):
    """What is known from a sample: (player, output) each."""

    values: Values
    standard_errors: Values
    degrees_of_freedom: Values

    @classmethod
    def without_errors(cls, values: Values) -> "Known":
        """The values of a sample too small for standard errors."""
        unknown = np.full_like(values, np.nan)
        return cls(values, unknown, unknown)


class Sample(Protocol):
    """What has been drawn and evaluated so far."""

    @property
    def size(self) -> int:
        """Number of samples drawn, in the method's own unit."""

    @property
    def is_enough(self) -> bool:
        """Whether its standard errors are reliable enough to stop."""

    def estimate(self) -> Known:
        """Values, their standard errors, and the degrees of freedom of the standard errors."""


@dataclass(frozen=True, eq=False)
class Budget:
    """The game, budget, tolerance and seed of one estimate. Made by :meth:`Method.estimate`."""

    game: CountedGame
    smallest: int
    """fewest evaluations that the method needs"""
    most: int
    """distinct coalitions that may be evaluated"""
    tolerance: float | None
    seed: Seed

    @property
    def left(self) -> int:
        """Distinct coalitions that may still be evaluated."""
        return self.most - self.game.evaluations

    @property
    def covers_all(self) -> bool:
        """Whether the budget allows evaluating all coalitions."""
        # With more players the coalitions cannot be listed, and no budget covers them.
        n = self.game.n_players
        return n <= coalitions.MAX_ENUMERABLE and self.most >= 2**n

    def is_reached(self, sample: Sample) -> bool:
        """Whether the sample's values are as precise as the tolerance requires."""
        if self.tolerance is None or not sample.is_enough:
            return False
        known = sample.estimate()
        return is_precise(known.values, known.standard_errors, self.tolerance)


@dataclass(frozen=True)
class Method:
    """A sampled estimator."""

    name: str
    description: str
    unbiased: bool
    needs: Callable[[int], int]
    """Evaluations that it needs for so many players; there may be fewer coalitions than that."""
    draw: Callable[[Budget], Iterator[Sample]]
    """Draws and evaluates round after round, up to the budget; yields the growing sample after
    each round."""

    def smallest(self, n_players: int) -> int:
        """The smallest budget that the method accepts."""
        n_players = whole("n_players", n_players)
        return min(self.needs(n_players), 2**n_players)

    def estimate(
        self,
        game: Game,
        *,
        budget: int | None = None,
        tolerance: float | None = None,
        seed: Seed = 0,
        advance: Callable[[int], None] | None = None,
        watch: Callable[[Known], None] | None = None,
    ) -> Estimate:
        """Estimate the Shapley values of all players for all outputs.

        The values sum over players to v(N) − v(∅). Each method's module says where the values are
        exact, how standard errors are estimated, and in which unit samples are counted.

        Args:
            game: any game.
            budget: most evaluations (distinct coalitions) allowed, including the empty and the full
                one; at least :meth:`smallest`. A budget of all 2**n coalitions gives the exact
                values. The samples of a budget are the first samples of any larger budget.
            tolerance: stop when the largest standard error over players is at most this part of the
                spread of the values, for every output (:func:`is_precise`). At least one of budget
                and tolerance is needed; whichever comes first ends the sampling. With a tolerance
                alone it ends at ``MAX_EVALUATIONS``.
            seed: of the draws: the same seed gives the same result.
            advance: called with the number of new evaluations as they are made.
            watch: called with what is known after each round.

        Raises:
            InputError: the budget is too small, neither budget nor tolerance is given, the
                tolerance is not positive, or the game returns NaN or Inf.
        """
        allowed = self._budget(counted(game, advance), budget, tolerance, seed)
        n_coalitions = 2**game.n_players
        # With so few players, the first sample would hold all coalitions.
        if allowed.covers_all and (tolerance is None or n_coalitions <= allowed.smallest):
            return self._exact(allowed)
        for sample in self.draw(allowed):
            if watch is not None:
                watch(sample.estimate())
            converged = allowed.is_reached(sample)
            if converged:
                break
        if allowed.covers_all and not converged:
            return self._exact(allowed)
        known = sample.estimate()
        return Estimate(
            values=known.values,
            standard_errors=known.standard_errors,
            degrees_of_freedom=known.degrees_of_freedom,
            evaluations=allowed.game.evaluations,
            unbiased=self.unbiased,
            method=self.name,
            samples=sample.size,
            converged=None if tolerance is None else converged,
        )

    def _budget(
        self, game: CountedGame, budget: int | None, tolerance: float | None, seed: Seed
    ) -> Budget:
        """Check the arguments that limit an estimate, and make its budget."""
        if budget is None and tolerance is None:
            raise InputError(
                f"{self.name}: neither a budget nor a tolerance; give the most evaluations that "
                f"may be made, or the standard error at which to stop, or both"
            )
        if tolerance is not None and not 0 < real(f"{self.name}: tolerance", tolerance) < np.inf:
            raise InputError(
                f"{self.name}: tolerance {tolerance}; it is a part of the values' spread, more "
                f"than 0"
            )
        n, smallest = game.n_players, self.smallest(game.n_players)
        if budget is not None and whole(f"{self.name}: budget", budget, 0) < smallest:
            raise InputError(
                f"{self.name}: a budget of {budget} evaluations; with {n} players at least "
                f"{smallest} are needed"
            )
        most = max(MAX_EVALUATIONS, smallest) if budget is None else int(budget)
        return Budget(game, self.needs(n), min(most, 2**n), tolerance, sequence_of(seed))

    def _exact(self, allowed: Budget) -> Estimate:
        """The exact values, from all coalitions."""
        masks = np.arange(2**allowed.game.n_players, dtype=np.uint64)
        values = shapley_values(allowed.game(masks))
        return Estimate(
            values=values,
            standard_errors=np.zeros_like(values),
            degrees_of_freedom=np.full_like(values, np.inf),
            evaluations=allowed.game.evaluations,
            unbiased=True,
            method=self.name,
            samples=len(masks),
            converged=None if allowed.tolerance is None else True,
        )


@dataclass
class Moments:
    """Running mean of independent replicates, and sums of squared and cubed deviations.

    Squares use Chan's update, cubes Pébay's.
    """

    count: int = 0
    mean: Values = field(default_factory=lambda: np.zeros((1, 1)))
    squares: Values = field(default_factory=lambda: np.zeros((1, 1)))
    cubes: Values = field(default_factory=lambda: np.zeros((1, 1)))

    def add(self, replicates: NDArray[np.float64]) -> None:
        """Add replicates: (replicate, player, output)."""
        n_new = len(replicates)
        if not n_new:
            return
        total = self.count + n_new
        mean = replicates.mean(axis=0)
        change = mean - self.mean
        squares = ((replicates - mean) ** 2).sum(axis=0)
        self.cubes = (
            self.cubes
            + ((replicates - mean) ** 3).sum(axis=0)
            + change**3 * (self.count * n_new * (self.count - n_new) / total**2)
            + 3 * change * (self.count * squares - n_new * self.squares) / total
        )
        self.squares = self.squares + squares + change**2 * (self.count * n_new / total)
        self.mean = self.mean + change * (n_new / total)
        self.count = total

    def standard_errors(self) -> Values:
        """Standard errors of the mean: (player, output).

        NaN for fewer than two replicates, and where fewer than :data:`MIN_REPLICATES` are all
        alike: further ones may differ.
        """
        if self.count < 2:
            return np.full_like(self.mean, np.nan)
        errors = np.sqrt(self.squares / (self.count * (self.count - 1)))
        return np.where((self.count < MIN_REPLICATES) & self._are_alike(), np.nan, errors)

    def degrees_of_freedom(self) -> Values:
        """Degrees of freedom of the standard errors: (player, output).

        NaN means that no interval is reliable: for fewer than :data:`MIN_REPLICATES`, where all
        replicates are alike, and where a few stand out, because the mean is then far from normal.
        A few stand out if the skewness is large relative to the root of the number of replicates.
        """
        if self.count < MIN_REPLICATES:
            return np.full_like(self.mean, np.nan)
        alike = self._are_alike()
        variance = np.where(alike, 1.0, self.squares / self.count)
        skewness = np.abs(self.cubes / self.count) / variance**1.5
        is_known = ~alike & (skewness <= MOST_SKEWED * self.count**0.5)
        return np.where(is_known, self.count - 1.0, np.nan)

    def _are_alike(self) -> NDArray[np.bool_]:
        largest = np.abs(self.mean).max(axis=0, initial=0.0)
        return np.asarray(self.squares <= self.count * (ROUNDING * largest) ** 2)


def errors_of(parts: Sequence[tuple[Values, int]], shape: tuple[int, int]) -> tuple[Values, Values]:
    """Standard errors of a sum of independent means, and Satterthwaite's degrees of freedom.

    Args:
        parts: variance of each mean (player, output), and its degrees of freedom; empty if all
            means are known.
        shape: (player, output)

    Returns:
        (player, output) each. Degrees of freedom are Inf if all means are known, and NaN where the
        samples of all unknown means show no spread, which does not prove that there is none.
    """
    variance, squares = np.zeros(shape), np.zeros(shape)
    for of_mean, freedom in parts:
        variance += of_mean
        squares += of_mean**2 / max(freedom, 1)
    unknown = np.full(shape, np.nan if parts else np.inf)
    freedom = np.divide(variance**2, squares, out=unknown, where=squares > 0)
    return np.sqrt(variance), freedom


def is_precise(values: Values, standard_errors: Values, tolerance: float) -> bool:
    """The stopping rule: whether every output's values are known well enough.

    An output is known well enough in any of three cases. The largest standard error of its players
    is at most ``tolerance`` times the spread of its values (maximum minus minimum over players).
    Or there is no spread (as with one player). Or the standard errors are no more than rounding.
    If all players have the same value except for the sampling error, only the budget ends the
    sampling.
    """
    spread = values.max(axis=0) - values.min(axis=0)
    error = standard_errors.max(axis=0)
    rounding = ROUNDING * np.abs(values).max(axis=0)
    small = (error <= tolerance * spread) | (spread == 0) | (error <= rounding)
    return bool((small & ~np.isnan(error)).all())


def child(seed: Seed, index: int) -> np.random.Generator:
    """The generator of one child of a seed; leaves the seed unchanged."""
    root = sequence_of(seed)
    sequence = np.random.SeedSequence(
        root.entropy, spawn_key=(*root.spawn_key, index), pool_size=root.pool_size
    )
    return np.random.default_rng(sequence)


def sequence_of(seed: Seed) -> np.random.SeedSequence:
    """A seed as numpy's SeedSequence. Raises InputError unless it is a whole number, 0 or more."""
    if isinstance(seed, np.random.SeedSequence):
        return seed
    return np.random.SeedSequence(whole("seed", seed, 0))


def ends(game: CountedGame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of the empty and the full coalition: (output,) each."""
    from_nobody_to_all = np.zeros((2, game.n_players), dtype=np.bool_)
    from_nobody_to_all[1] = True
    values = game(masks_of(from_nobody_to_all)).astype(np.float64)
    return values[0], values[1]
