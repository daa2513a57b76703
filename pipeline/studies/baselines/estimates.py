"""Ratios between Shapley values, estimated from equal numbers of evaluations, and their errors.

The paper's claims on Effective Shapley values (Section 5, Fig. 2) are tested against plain
estimators that may evaluate as many distinct coalitions: mainly permutation sampling with single
orders, and better estimators. All get the same game. The comparison uses the values divided by the
sum of their absolute values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.arguments import array, finite, whole
from pipeline.core.errors import InputError
from pipeline.core.statistics import Verdict, known_mean, mean_and_error, verdict
from pipeline.shapley.coalitions import Masks
from pipeline.shapley.estimate import Seed, sequence_of
from pipeline.shapley.games import Game, check_game
from pipeline.shapley.methods import METHODS
from pipeline.shapley.orders import Draws, Scheme, mean_over_orders
from pipeline.studies.baselines.effective import Counts, EffectiveShapley, effective_shapley
from pipeline.studies.baselines.integrated import integrated_gradients, shapley_integrated_gradients
from pipeline.studies.baselines.quality import normalised, ratio_agreement

Floats = NDArray[np.float64]

COUNTS: tuple[Counts, Counts] = ("weighted", "printed")

PERMUTATION = "permutation"

POINTS_AT_ONCE = 1024
"""Points in one pass of a network of membership, which are short."""
STEPS = 50
"""Points of the quadrature from each baseline."""

EFFECTIVE: dict[str, str] = {
    "effective": "Effective Shapley values: Algorithm 1, counts weighted by cell, averages times "
    "effective shares",
    "effective_printed": "the same with Eq. 5 as it is printed",
    "effective_averages": "the averages of Algorithm 1 with Eq. 5 as it is printed, not times "
    "effective shares: the paper to the letter",
    "effective_unsampled": "weighted sums over all effective coalitions drawn, without the second "
    "sampling",
}
PLAIN: dict[str, str] = {
    PERMUTATION: "permutation sampling, each order by itself",
    "permutation_pairs": METHODS["permutation"].description,
    "stratified": METHODS["stratified"].description,
    "regression": METHODS["regression"].description,
    "msr": METHODS["msr"].description,
}
GRADIENTS: dict[str, str] = {
    "gradients_zero": "Integrated Gradients from the empty coalition",
    "gradients_mean": "Integrated Gradients from the mean membership, 1/2 of every player",
    "gradients_random": "Integrated Gradients from random coalitions, averaged",
    "gradients_effective": "Shapley Integrated Gradients (Section 5): from the coalitions that "
    "Algorithm 1 samples for any player, averaged",
}
"""What each method does, by its name in tables."""

_METHODS_NAMES = {"permutation_pairs": "permutation"}


def _begins(draws: Draws) -> NDArray[np.bool_]:
    """The first 1 … n − 1 players of each order; the draws hold the players' positions."""
    places = draws[:, 0]
    return places[:, None, :] < np.arange(1, places.shape[1])[:, None]


def _gains(draws: Draws, values: Floats, empty: Floats, full: Floats) -> Floats:
    places = draws[:, 0]
    n_orders, n = places.shape
    along = np.empty((n_orders, n + 1, values.shape[2]))
    along[:, 0], along[:, n], along[:, 1:n] = empty, full, values
    return np.take_along_axis(np.diff(along, axis=1), places[:, :, None], axis=1)


SINGLE_ORDERS = mean_over_orders(
    PERMUTATION,
    PLAIN[PERMUTATION],
    Scheme(
        first_round=16,
        n_permutations=1,
        n_orders=lambda _: 1,
        coalitions=_begins,
        contributions=_gains,
    ),
)
"""Uniform permutation sampling, without antithetic pairs; the budget is at least n + 1."""

permutation_values = SINGLE_ORDERS.estimate


@dataclass(frozen=True)
class Found:
    """One estimate of one method."""

    values: Floats
    """(player,) in the game's unit, or in any unit: only ratios are compared"""
    evaluations: int
    """distinct coalitions evaluated; for gradients the points at which they were evaluated"""


def sampled_both_ways(
    game: Game,
    *,
    per_size: int,
    n_kept: int,
    tolerance: float,
    bins: int | None,
    seed: Seed,
) -> dict[Counts, EffectiveShapley]:
    """Algorithm 1 with both kinds of counts, from the same drawn coalitions.

    Args:
        game: of up to 64 players.
        per_size: coalitions drawn of each size.
        n_kept: T, coalitions kept for a player.
        tolerance: largest marginal contribution that counts as zero, in the game's unit.
        bins: classes of marginal contributions.
        seed: of all draws.

    Raises:
        InputError: as :func:`effective_shapley`.
    """
    of_draw = np.random.SeedSequence(sequence_of(seed).generate_state(2)[0])
    return {
        counts: effective_shapley(
            game,
            per_size=per_size,
            n_kept=n_kept,
            tolerance=tolerance,
            bins=bins,
            counts=counts,
            seed=of_draw,
        )
        for counts in COUNTS
    }


def estimates(
    game: Game, sampled: Mapping[Counts, EffectiveShapley], *, seed: Seed
) -> dict[str, Found]:
    """Estimates by Effective Shapley values, and by the plain estimators at as many evaluations.

    Args:
        game: of up to 64 players.
        sampled: result of :func:`sampled_both_ways` for this game and seed.
        seed: of all draws.

    Returns:
        Estimates by method. The budget of every other estimator is the number of distinct
        coalitions that Algorithm 1 evaluated; estimators that need more are left out.

    Raises:
        InputError: an object that is no game or no sample, or a sample of another number of
            players.
    """
    check_game(game)
    of_plain = np.random.SeedSequence(sequence_of(seed).generate_state(2)[1])
    weighted, printed = _both(sampled, game.n_players)
    budget = weighted.evaluations
    result = {
        "effective": Found(weighted.values, budget),
        "effective_printed": Found(printed.values, budget),
        "effective_averages": Found(printed.averages, budget),
        "effective_unsampled": Found(weighted.unsampled, budget),
    }
    for name in PLAIN:
        if name == PERMUTATION:
            found = permutation_values(game, budget=budget, seed=of_plain)
        else:
            method = METHODS[_METHODS_NAMES.get(name, name)]
            if method.smallest(game.n_players) > budget:
                continue
            found = method.estimate(game, budget=budget, seed=of_plain)
        result[name] = Found(found.values[:, 0], found.evaluations)
    return result


def _both(sampled: Any, n_players: int) -> tuple[EffectiveShapley, EffectiveShapley]:
    """The samples of both counts. Raises InputError unless they have ``n_players`` players."""
    found = sampled if isinstance(sampled, Mapping) else {}
    both = [each for each in map(found.get, COUNTS) if isinstance(each, EffectiveShapley)]
    if [len(each.values) for each in both] != [n_players, n_players]:
        raise InputError(
            f"sampled: is no result of sampled_both_ways for a game of {n_players} players; call "
            "it with this game"
        )
    return both[0], both[1]


def gradient_estimates(
    network: nn.Module,
    n_players: int,
    *,
    random_baselines: int,
    effective: Sequence[Masks],
    seed: Seed,
) -> dict[str, Found]:
    """Integrated Gradients of a network of membership, to the full coalition, by baseline.

    Args:
        network: membership (batch, player) → values (batch, 1).
        n_players: players.
        random_baselines: number of random coalitions; each player is present with probability 1/2.
        effective: coalitions that Algorithm 1 sampled, for each player.
        seed: of the random baselines only.

    Raises:
        InputError: as :func:`shapley_integrated_gradients`; no player, no random baseline.
    """
    everybody = torch.ones(whole("n_players", n_players))
    size = whole("random_baselines", random_baselines), n_players
    drawn = np.random.default_rng(sequence_of(seed)).integers(2, size=size)
    baselines: dict[str, Tensor] = {
        "gradients_zero": torch.zeros(1, n_players),
        "gradients_mean": torch.full((1, n_players), 0.5),
        "gradients_random": torch.from_numpy(drawn).float(),
    }
    result = {}
    for name, starts in baselines.items():
        found = integrated_gradients(network, everybody, starts, batch_size=POINTS_AT_ONCE)
        result[name] = Found(found.values.numpy(), found.gradient_evaluations)
    found = shapley_integrated_gradients(
        network,
        everybody,
        np.arange(n_players),
        effective,
        steps=STEPS,
        batch_size=POINTS_AT_ONCE,
    )
    result["gradients_effective"] = Found(found.values.numpy(), found.gradient_evaluations)
    return result


def errors(estimated: Floats, exact: Floats, is_null: NDArray[np.bool_]) -> dict[str, Any]:
    """How far the ratios of repeated estimates are from the exact ones.

    Args:
        estimated: (game, repeat, player) values.
        exact: (game, player) of the same games.
        is_null: (player,) which players are null players.

    Returns:
        ``ratio_distance`` (L1 distance of ratios), ``pearson``, ``kendall`` and ``null_error`` (the
        mean absolute error of the null players' ratios), as means over games and repeats. ``_sd``:
        the standard deviation over one game's repeats, a mean over games. ``_se``: the standard
        error of the mean over games and repeats, with only the repeats as random. Both are NaN with
        fewer than two repeats. ``undefined``: number of estimates whose values are all 0; they have
        no ratios and enter no mean.

    Raises:
        InputError: shapes that do not go together, NaN or Inf.
    """
    estimated = finite("estimated", estimated)
    result: dict[str, Any] = {}
    for name, values in _measured(estimated, exact, is_null).items():
        of_repeats = known_mean(values)
        known = of_repeats[~np.isnan(of_repeats)]
        result[name] = float(known.mean()) if len(known) else float("nan")
        result[f"{name}_sd"] = float(known_mean(np.array([_deviation(one) for one in values])))
        result[f"{name}_se"] = _deviation(of_repeats) / max(1, len(known)) ** 0.5
    result["undefined"] = int((~estimated.any(axis=-1)).sum())
    return result


def repeated_errors(
    estimated: Floats, exact: Floats, is_null: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Means over games of each measure of :func:`errors`, of each repeat: (repeat,)."""
    found = _measured(estimated, exact, is_null)
    return {name: known_mean(values) for name, values in found.items()}


def _measured(estimated: Floats, exact: Floats, is_null: NDArray[np.bool_]) -> dict[str, Floats]:
    """Each measure of :func:`errors`: (game, repeat)."""
    estimated, exact = finite("estimated", estimated), finite("exact", exact)
    is_null = array("is_null", is_null)
    shape = estimated.shape
    fit = len(shape) == 3 and exact.shape == (shape[0], shape[2]) and 0 not in shape
    if not fit or is_null.shape != shape[2:] or is_null.dtype != np.bool_:
        raise InputError(
            f"estimated of shape {shape}, exact of {exact.shape}, is_null of {is_null.shape}, "
            f"{is_null.dtype}: (game, repeat, player), (game, player) and (player,) bool are needed"
        )
    # Rounded: in sums of 2**20 terms equal players may differ in the last digits and break ties.
    truth = np.round(exact, 9)[:, None, :]
    found = ratio_agreement(estimated, truth)
    off = np.abs(normalised(estimated) - normalised(truth))[..., is_null]
    return {
        "ratio_distance": found.ratio_distance,
        "pearson": found.pearson,
        "kendall": found.kendall,
        "null_error": off.mean(axis=-1) if is_null.any() else np.full(off.shape[:-1], np.nan),
    }


def _deviation(values: Floats) -> float:
    """Standard deviation of the values that are not NaN; NaN with fewer than two."""
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


@dataclass(frozen=True)
class Difference:
    """Errors of one method minus those of another, of the same repeats."""

    mean: float
    standard_error: float
    verdict: Verdict | None
    """of the first: ``equal`` within two standard errors; None if undecidable"""


def paired_difference(first: Floats, second: Floats) -> Difference:
    """Compare two methods' errors, repeat by repeat: (repeat,) each, NaN if undefined.

    Raises InputError unless both have the same number of repeats, without Inf.
    """
    first, second = array("errors", first), array("errors", second)
    if first.shape != second.shape or first.ndim != 1 or np.isinf([first, second]).any():
        raise InputError(
            f"errors of {first.shape} and {second.shape} repeats cannot be paired: (repeat,) of "
            "both, without Inf, is needed"
        )
    difference = first - second
    difference = difference[~np.isnan(difference)]
    if len(difference) < 2:
        return Difference(float("nan"), float("nan"), None)
    mean, error = (float(number) for number in mean_and_error(difference))
    return Difference(mean, error, verdict(mean, error, "low"))


def stacked(found: Sequence[Sequence[Mapping[str, Found]]], method: str) -> tuple[Floats, float]:
    """One method's values (game, repeat, player) and its mean number of evaluations."""
    of_method = [[of_repeat[method] for of_repeat in of_game] for of_game in found]
    values = np.array([[one.values for one in of_game] for of_game in of_method])
    return values, float(np.mean([[one.evaluations for one in row] for row in of_method]))
