"""Stage: how near approximate values come to exact ones, and for how many evaluations.

Exact values come from stores of complete tables. The TRN's coalitions follow from those one
smaller, so its sampled estimators read there as well. A coalition of the TSN is evaluated by
itself: what estimators sample of it is kept in a store of samples, as where there are too many
players for complete tables, and found by the next method, budget and run.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from pipeline.core.files import array_digest
from pipeline.core.plotting import MODEL_NAMES
from pipeline.core.progress import progress
from pipeline.models import devices
from pipeline.models.sequences import Averaging
from pipeline.shapley import coalitions
from pipeline.shapley.agreement import agreement
from pipeline.shapley.games import Game as Playable
from pipeline.shapley.methods import METHODS
from pipeline.store import CoalitionStore
from pipeline.store.evaluation import StoredGame, write_receipt
from pipeline.store.pages import remembered
from pipeline.studies.frames.approximation import (
    approximate_element_shapley_values,
    approximate_shapley_values,
    sample_iterations,
)
from pipeline.studies.frames.coalition_scores import Score, class_scores, single_scores
from pipeline.studies.frames.figures.approximation import (
    ErrorLine,
    draw_approximation,
    draw_estimators,
)
from pipeline.studies.frames.game import Game
from pipeline.studies.frames.params import ConvergenceParams
from pipeline.studies.frames.true_class import OUTPUT, evaluated, scorer, stored_shapley_values
from pipeline.workflow.versions import version

PAGE = 1 << 14
"""Coalitions in a page of the store of sampled ones, at most."""

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


@dataclass(frozen=True)
class Study:
    """One model's videos, their exact values, and what estimators may ask."""

    game: Game
    exact: NDArray[np.float64]
    """(video, frame) of the true class"""
    playable: list[Playable]
    """a game a video, of one output: the true class"""


def _exact(
    game: Game, path: Path, receipt: Path, device: torch.device
) -> tuple[CoalitionStore, NDArray[np.float64]]:
    """The store of all coalitions of each video, and the exact values (video, frame) from it."""
    games = {"games": version("frames", "convergence_games")}
    record = replace(
        _record(game),
        game=f"{game.record.game}_convergence",
        specification={**game.record.specification, **games},
    )
    scores = scorer(game.network.to(device), game.empty.to(device), _score(game), 1)

    def tables(indices: Sequence[int]) -> NDArray[np.float32]:
        return scores(game.inputs[list(indices)], game.labels[list(indices)][:, None])

    store = evaluated(
        path,
        record,
        game.instances,
        _digests(game),
        tables,
        batch_size=1,
        receipt=receipt,
        description=f"frames_convergence {record.game}",
        device=device,
    )
    return store, stored_shapley_values(store)[:, :, 0]


@contextmanager
def enumerated(game: Game, stores: Path, receipts: Path, device: torch.device) -> Iterator[Study]:
    """Games of which estimators read all values in the store."""
    kept = f"{game.record.game}_convergence"
    store, exact = _exact(game, stores / f"{kept}.zarr", receipts / f"{kept}.json", device)
    yield Study(game, exact, [StoredGame(store, i) for i in range(len(store))])


@contextmanager
def sampled_of_stage(
    game: Game, stores: Path, receipts: Path, device: torch.device
) -> Iterator[Study]:
    """Games of which what estimators ask for is evaluated and kept, beside the exact values."""
    assert isinstance(game.network, Averaging)
    kept = f"{game.record.game}_convergence"
    _, exact = _exact(game, stores / f"{kept}.zarr", receipts / f"{kept}.json", device)
    # Another evaluator than that of complete tables, with a version of its own.
    record = replace(_record(game), evaluator_version=version("frames", "convergence_games"))
    record = replace(
        record,
        n_coalitions=min(PAGE, 2**game.record.n_players),
        game=f"{game.record.game}_sampled",
    )
    network, empty, score = game.network.to(device), game.empty.to(device), _score(game)
    start = time.perf_counter()
    with remembered(stores / f"{record.game}.zarr", record) as memory:
        games: list[Playable] = []
        for i, (uid, digest) in enumerate(zip(game.instances, _digests(game), strict=True)):
            evaluate = averaging_game(
                network, torch.from_numpy(game.inputs[i]), empty, int(game.labels[i]), score
            )
            games.append(memory.game(uid, digest, evaluate))
        yield Study(game, exact, games)
        memory.keep()
        seconds = time.perf_counter() - start
        made = memory.receipt(seconds, devices.describe(device))
        write_receipt(made, receipts / f"{record.game}.json")


def averaging_game(
    model: Averaging, features: torch.Tensor, empty: torch.Tensor, output: int, score: Score
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Scores of any coalitions of one sequence's frames by the averaging model.

    Args:
        model: in evaluation mode.
        features: (frame, feature_dim).
        empty: (class,) v(∅).
        output: the class whose score is asked for.
        score: what v is.

    Returns:
        A function of masks (coalition,) uint64 → (coalition, 1).
    """
    with torch.no_grad():
        single = single_scores(model.classifier(features.to(empty.device)), score)

    @torch.no_grad()
    def evaluate(masks: NDArray[Any]) -> NDArray[np.float32]:
        present = torch.from_numpy(coalitions.to_bool(masks, len(single))).to(single)
        sizes = present.sum(dim=1, keepdim=True)
        scores = class_scores(present @ single / sizes.clamp(min=1), score)[:, output]
        scores = torch.where(sizes[:, 0] > 0, scores, empty[output].to(scores))
        return scores[:, None].cpu().numpy()

    return evaluate


def _record(game: Game) -> Any:
    return replace(game.record, outputs=OUTPUT)


def _score(game: Game) -> Score:
    score: Score = game.record.specification["score"]
    return score


def _digests(game: Game) -> list[str]:
    """Of each video's features and the class that is looked at."""
    return [
        array_digest([rows, np.array([label])])
        for rows, label in zip(game.inputs, game.labels, strict=True)
    ]


def algorithm_1(
    name: str, study: Study, params: ConvergenceParams, device: torch.device
) -> list[dict[str, Any]]:
    """A row for each m and i; all videos share the samples of a repeat."""
    n = study.game.inputs.shape[1]
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
                values, evaluated = _approximated(study, m, iterations, seed, device)
                passed += evaluated
                found.append(values)
                advance(m * iterations)
            configuration = {"method": ALGORITHM_1, "m": m, "iterations": iterations}
            counts = {
                "budget": None,
                "evaluations": scored / params.repeats,
                "unbiased": False,
                "rows": passed / params.repeats,
            }
            measured = errors(np.stack(found), study.exact)
            rows.append({"model": name, "frames": n, **configuration, **counts, **measured})
    return rows


def _approximated(
    study: Study, m: int, iterations: int, seed: np.random.SeedSequence, device: torch.device
) -> tuple[NDArray[np.float64], int]:
    """Values (video, frame), and what a video took: rows through a single-scale model, or scores.

    The multi-scale model's scores are those of the recursion over what is sampled, not the game's:
    they are of no use to anybody else and kept nowhere.
    """
    game = study.game
    if isinstance(game.network, Averaging):

        def scores(masks: NDArray[Any]) -> NDArray[np.float64]:
            return np.stack([playable(masks)[:, 0] for playable in study.playable], axis=1)

        sampled = approximate_shapley_values(
            scores, game.inputs.shape[1], m=m, iterations=iterations, seed=seed
        )
        return sampled.values.T.numpy(), sampled.evaluations
    found = approximate_element_shapley_values(
        game.network.to(device),
        torch.from_numpy(game.inputs).to(device),
        game.empty.to(device),
        _score(game),
        m=m,
        iterations=iterations,
        seed=seed,
    )
    labels = torch.from_numpy(game.labels).to(device)
    true = labels[:, None, None].expand(-1, found.values.shape[1], 1)
    return found.values.gather(2, true)[:, :, 0].cpu().numpy(), found.evaluations


def estimators(name: str, study: Study, params: ConvergenceParams) -> list[dict[str, Any]]:
    """A row for each method and budget; every video and repeat has draws of its own."""
    n = study.game.inputs.shape[1]
    configurations = [
        (method_name, budget)
        for method_name, method in METHODS.items()
        for budget in params.budgets
        if method.smallest(n) <= budget < 2**n
    ]
    total = params.repeats * len(study.playable) * sum(budget for _, budget in configurations)
    rows = []
    with progress(f"frames_convergence {name} estimators", total, "evaluations") as advance:
        for method_name, budget in configurations:
            method = METHODS[method_name]
            found = np.empty((params.repeats, *study.exact.shape))
            evaluations = 0
            for repeat in range(params.repeats):
                for video, playable in enumerate(study.playable):
                    seed = np.random.SeedSequence([params.seed, repeat, video])
                    estimate = method.estimate(playable, budget=budget, seed=seed)
                    found[repeat, video] = estimate.values[:, 0]
                    evaluations += estimate.evaluations
                    advance(budget)
            mean = evaluations / (params.repeats * len(study.playable))
            configuration = {"method": method_name, "m": None, "iterations": None}
            counts = {
                "budget": budget,
                "evaluations": mean,
                "unbiased": method.unbiased,
                "rows": None,
            }
            measured = errors(found, study.exact)
            rows.append({"model": name, "frames": n, **configuration, **counts, **measured})
    return rows


def errors(estimated: NDArray[np.float64], exact: NDArray[np.float64]) -> dict[str, Any]:
    """How repeated estimates differ from the exact values.

    Args:
        estimated: (repeat, video, frame).
        exact: (video, frame).

    Returns:
        Means over repeats and videos of Pearson's r, Kendall's τ-b and the mean absolute error,
        each with its standard deviation over repeats (``_sd``). ``bias_squared`` is the mean, over
        videos and frames, of the square of the expected error: that of the repeats' mean error less
        what chance adds to it, so it may come out below 0; with its jackknife standard error.
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


def draw_algorithm_1(rows: list[dict[str, Any]], unit: str) -> Any:
    of_method = [row for row in rows if row["method"] == ALGORITHM_1]
    iterations = sorted({row["iterations"] for row in of_method})
    budget = sorted({row["m"] * row["iterations"] for row in of_method})
    measures: dict[str, dict[str, tuple[NDArray[Any], NDArray[Any]]]] = {}
    for measure, column in (
        ("pearson", "pearson"),
        ("error", "mean_absolute_error"),
        ("rank", "kendall"),
    ):
        measures[measure] = {}
        for i in iterations:
            mean, error = np.full(len(budget), np.nan), np.full(len(budget), np.nan)
            for row in of_method:
                if row["iterations"] == i:
                    place = budget.index(row["m"] * i)
                    mean[place] = row[column]
                    error[place] = _half_interval(row, column)
            measures[measure][f"{i}"] = (mean, error)
    return draw_approximation(np.array(budget), measures, unit=unit, grouped_by="iterations i")


def draw_estimators_of_stage(name: str, rows: list[dict[str, Any]], unit: str) -> Any:
    lines: dict[str, ErrorLine] = {}
    of_one = [row for row in rows if row["method"] != ALGORITHM_1 or row["iterations"] == 1]
    for method in dict.fromkeys(row["method"] for row in of_one):
        of_method = [row for row in of_one if row["method"] == method]
        of_method.sort(key=lambda row: row["evaluations"])
        lines[method] = _error_line(of_method)
    frames = rows[0]["frames"]
    title = f"{MODEL_NAMES[name]}, {frames} frames"
    return draw_estimators(lines, unit=unit, exact_at=2**frames, title=title)


def _error_line(rows: list[Mapping[str, Any]] | list[dict[str, Any]]) -> ErrorLine:
    error = np.array([row["mean_absolute_error"] for row in rows])
    reach = np.nan_to_num(np.array([_half_interval(row, "mean_absolute_error") for row in rows]))
    evaluations = np.array([row["evaluations"] for row in rows])
    return ErrorLine(evaluations, error, error - reach, error + reach)


def _half_interval(row: Mapping[str, Any], column: str) -> float:
    """Half the length of the 95 % interval of a mean over repeats."""
    repeats = row["repeats"]
    if repeats < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, repeats - 1) * row[f"{column}_sd"] / np.sqrt(repeats))
