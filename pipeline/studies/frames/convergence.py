"""How close approximate values come to exact ones, and for how many evaluations."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.progress import progress
from pipeline.core.rules import store_of
from pipeline.shapley.agreement import agreement
from pipeline.shapley.games import Game
from pipeline.shapley.methods import METHODS
from pipeline.store import CoalitionStore
from pipeline.store.evaluation import Receipt
from pipeline.store.opening import OpenGame
from pipeline.store.pages import remembered
from pipeline.store.stored_game import StoredGame
from pipeline.studies.frames.approximation import (
    approximate_element_shapley_values,
    approximate_shapley_values,
    sample_iterations,
)
from pipeline.studies.frames.params import ConvergenceParams
from pipeline.studies.frames.players import Players, Setting
from pipeline.studies.frames.summaries import Floats
from pipeline.studies.frames.values import stored_shapley_values

COLUMNS = (
    "model",
    "frames",
    "method",
    "m",
    "iterations",
    "budget",
    "evaluations",
    "unbiased",
    "videos",
    "repeats",
    "pearson",
    "pearson_sd",
    "kendall",
    "kendall_sd",
    "mean_absolute_error",
    "mean_absolute_error_sd",
    "bias_squared",
    "bias_squared_error",
    "rows",
)
ALGORITHM_1 = "algorithm 1"
# Kernel regression takes up to seconds an estimate, and thousands are made here.
COMPARED = {name: method for name, method in METHODS.items() if name != "kernel"}

METHODS_USED = {
    name: {"unbiased": method.unbiased, "description": method.description}
    for name, method in COMPARED.items()
}
"""What the methods are, for the results file."""

Approximate = Callable[[int, int, np.random.SeedSequence], tuple[Floats, int]]
"""Algorithm 1 by m, i and a seed. Returns values (video, frame) of the true class, and the cost of
one video: rows through a single-scale model, or scores."""


def try_stored(
    store: CoalitionStore, setting: Setting, players: Players, params: ConvergenceParams
) -> list[dict[str, Any]]:
    """Errors of Algorithm 1 on a model, and of estimators that read its values from a store.

    Args:
        store: of all coalitions of the players.
        setting: the model.
        players: the videos that the store lists.
        params: the configurations to try.

    Raises:
        InputError: the store lists other videos.
    """
    exact = _exact(store, players.instances)
    games = [StoredGame(store, i) for i in range(len(store))]
    approximate = approximate_model(setting, players)
    rows = try_algorithm_1(setting.model, exact, approximate, params)
    return rows + try_estimators(setting.model, exact, games, params)


def try_sampled(
    store: CoalitionStore, opened: OpenGame, params: ConvergenceParams
) -> tuple[list[dict[str, Any]], Receipt]:
    """Errors of Algorithm 1 and of estimators on a sampled game, and the receipt of its store.

    Evaluated coalitions are kept in the game's own store, where the next run finds them.

    Args:
        store: of all coalitions of the same videos, for their exact values.
        opened: the sampled game.
        params: the configurations to try.

    Raises:
        InputError: the store lists other videos; the disk is full.
    """
    exact = _exact(store, opened.instances)
    assert opened.coalitions is not None
    start = time.perf_counter()
    name = opened.record.game.partition("_")[0]
    with remembered(store_of("frames", opened.record.game), opened.record) as memory:
        games = [
            memory.game(uid, opened.digest(i, None), opened.coalitions(i))
            for i, uid in enumerate(opened.instances)
        ]
        rows = try_algorithm_1(name, exact, approximate_games(games), params)
        rows += try_estimators(name, exact, games, params)
        memory.keep()
        return rows, memory.receipt(time.perf_counter() - start, opened.device)


def _exact(store: CoalitionStore, instances: Sequence[str]) -> Floats:
    """Exact values of the true class (video, frame)."""
    if store.instances != tuple(instances):
        raise InputError(
            f"{store.path}: lists other videos than the features and parameters select; remove its "
            "receipt and run the same command again"
        )
    return stored_shapley_values(store)[:, :, 0]


def approximate_model(setting: Setting, players: Players) -> Approximate:
    """Algorithm 1 on a model.

    The scores of the multi-scale model come from the recursion over the samples and differ from the
    game's. They are used only here, so they are not stored.
    """
    inputs = torch.from_numpy(players.inputs[:]).to(setting.device)
    labels = torch.from_numpy(players.labels).to(setting.device)

    def approximate(m: int, iterations: int, seed: np.random.SeedSequence) -> tuple[Floats, int]:
        found = approximate_element_shapley_values(
            setting.network,
            inputs,
            setting.empty,
            setting.score,
            m=m,
            iterations=iterations,
            seed=seed,
        )
        true = labels[:, None, None].expand(-1, found.values.shape[1], 1)
        return found.values.gather(2, true)[:, :, 0].cpu().numpy(), found.evaluations

    return approximate


def approximate_games(games: Sequence[Game]) -> Approximate:
    """Algorithm 1 on games of one output, one game per video."""

    def scores(masks: NDArray[Any]) -> NDArray[np.floating]:
        return np.stack([game(masks)[:, 0] for game in games], axis=1)

    def approximate(m: int, iterations: int, seed: np.random.SeedSequence) -> tuple[Floats, int]:
        sampled = approximate_shapley_values(
            scores, games[0].n_players, m=m, iterations=iterations, seed=seed
        )
        return sampled.values.T.numpy(), sampled.evaluations

    return approximate


def try_algorithm_1(
    name: str, exact: Floats, approximate: Approximate, params: ConvergenceParams
) -> list[dict[str, Any]]:
    """One row for each m and i; all videos share the samples of a repeat.

    Args:
        name: of the model.
        exact: (video, frame) values of the true class.
        approximate: returns approximate values.
        params: the configurations to try.
    """
    n = exact.shape[1]
    rows = []
    configurations = [(m, i) for m in params.m for i in params.iterations]
    total = params.repeats * sum(m * i for m, i in configurations)
    with progress(f"frames_convergence {name} algorithm 1", total, "subsequences") as advance:
        for m, iterations in configurations:
            found, scored, passed = [], 0, 0
            for repeat in range(params.repeats):
                seed = np.random.SeedSequence([params.seed, repeat])
                samples = sample_iterations(n, m, iterations, seed)
                masks = np.concatenate([masks for scales in samples for masks in scales])
                scored += len(np.unique(masks))
                values, evaluated = approximate(m, iterations, seed)
                passed += evaluated
                found.append(values)
                advance(m * iterations)
            counts = {
                "method": ALGORITHM_1,
                "m": m,
                "iterations": iterations,
                "budget": None,
                "evaluations": scored / params.repeats,
                "unbiased": False,
                "rows": passed / params.repeats,
            }
            measured = errors(np.stack(found), exact)
            rows.append({"model": name, "frames": n, **counts, **measured})
    return rows


def try_estimators(
    name: str, exact: Floats, games: Sequence[Game], params: ConvergenceParams
) -> list[dict[str, Any]]:
    """One row for each method and budget; every video and repeat has its own draws.

    Args:
        name: of the model.
        exact: (video, frame) values of the true class.
        games: of one output, one per video.
        params: the configurations to try.
    """
    n = exact.shape[1]
    configurations = [
        (method, budget)
        for method, of_method in COMPARED.items()
        for budget in params.budgets
        if of_method.smallest(n) <= budget < 2**n
    ]
    n_draws = params.repeats * len(games)
    total = n_draws * sum(budget for _, budget in configurations)
    found = np.empty((len(configurations), params.repeats, *exact.shape))
    evaluations = np.zeros(len(configurations))
    with progress(f"frames_convergence {name} estimators", total, "evaluations") as advance:
        for repeat, video in np.ndindex(params.repeats, len(games)):
            # The methods' draws of one seed are the same, so they follow one another.
            seed = np.random.SeedSequence([params.seed, repeat, video])
            for i, (method, budget) in enumerate(configurations):
                estimate = COMPARED[method].estimate(games[video], budget=budget, seed=seed)
                found[i, repeat, video] = estimate.values[:, 0]
                evaluations[i] += estimate.evaluations
                advance(budget)
    return [
        {
            "model": name,
            "frames": n,
            "method": method,
            "m": None,
            "iterations": None,
            "budget": budget,
            "evaluations": float(evaluations[i]) / n_draws,
            "unbiased": COMPARED[method].unbiased,
            "rows": None,
            **errors(found[i], exact),
        }
        for i, (method, budget) in enumerate(configurations)
    ]


def errors(estimated: NDArray[np.float64], exact: NDArray[np.float64]) -> dict[str, Any]:
    """How repeated estimates differ from the exact values.

    Args:
        estimated: (repeat, video, frame).
        exact: (video, frame).

    Returns:
        Means over repeats and videos of Pearson's r, Kendall's τ-b and the mean absolute error,
        each with its standard deviation over repeats (``_sd``). ``bias_squared`` is the mean, over
        videos and frames, of the squared expected error, with its jackknife standard error
        (``bias_squared_error``). It is the squared mean error over repeats minus the part due to
        chance, so it may fall below 0.
    """
    repeats, videos, _ = estimated.shape
    found = agreement(estimated, exact)
    result: dict[str, Any] = {"videos": videos, "repeats": repeats}
    for name in ("pearson", "kendall", "mean_absolute_error"):
        of_videos = getattr(found, name)
        known = ~np.isnan(of_videos)
        with np.errstate(invalid="ignore", divide="ignore"):
            by_repeat = np.where(known, of_videos, 0).sum(axis=1) / known.sum(axis=1)
        result[name] = float(np.mean(by_repeat))
        result[f"{name}_sd"] = float(np.std(by_repeat, ddof=1)) if repeats > 1 else float("nan")
    result["bias_squared"], result["bias_squared_error"] = _bias(estimated - exact)
    return result


def _bias(error: NDArray[np.float64]) -> tuple[float, float]:
    """Mean squared expected error and its standard error, from errors (repeat, ...)."""
    repeats = len(error)
    if repeats < 3:
        return float("nan"), float("nan")

    def squared(some: NDArray[np.float64]) -> float:
        return float((some.mean(axis=0) ** 2 - some.var(axis=0, ddof=1) / len(some)).mean())

    left_out = np.array([squared(np.delete(error, r, axis=0)) for r in range(repeats)])
    variance = (repeats - 1) / repeats * ((left_out - left_out.mean()) ** 2).sum()
    return squared(error), float(np.sqrt(variance))
