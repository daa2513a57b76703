"""Exact Shapley values of the same games by other libraries.

The libraries are captum (``ShapleyValues``), shapiq (``ExactComputer``) and shap (its exact
explainer). Each gets the coalitions' values in two ways. *Evaluated* values come from a plain
batched forward pass (``games.plain_scores``). A *table* is computed beforehand and values are only
looked up, so that only the library's own work is timed. A library that takes too long is not run;
its time is extrapolated from the largest game on which it was run.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import factorial
from typing import Literal

import numpy as np
import shap
import torch
from captum.attr import ShapleyValues
from numpy.typing import NDArray
from shapiq.game_theory.exact import ExactComputer
from torch import Tensor

from benchmarks import games
from benchmarks.games import Game, ModelName
from benchmarks.measuring import Timing, timed
from pipeline.studies.frames.coalition_scores import table
from pipeline.studies.frames.element_shapley import element_shapley_values

Values = Literal["table", "evaluated"]
Scores = Callable[[Tensor], Tensor]
"""Class probabilities (coalition, class) of coalitions (coalition, frame) bool."""


@dataclass(frozen=True)
class Comparison:
    """One library on one game."""

    model: ModelName
    n_frames: int
    library: str
    values: Values
    classes: int
    timing: Timing | None
    """None if it was not run"""
    extrapolated: float | None
    """seconds that it would take; None if it was run"""
    difference: float | None
    """largest absolute difference from the pipeline's values"""
    largest: float | None
    """largest absolute value among the pipeline's values compared"""


@dataclass(frozen=True)
class Library:
    """A way to compute exact Shapley values of the first video's frames."""

    name: str
    run: Callable[[Game, Scores], NDArray[np.floating]]
    """(frame, class) for all classes, or (frame, 1) for the game's target"""
    all_classes: bool
    orders: bool
    """whether it walks the orders of the players, rather than the coalitions"""

    def cost(self, name: ModelName, n_frames: int, values: Values) -> float:
        """A quantity roughly proportional to its time."""
        plain = games.plain_cost(name, n_frames) / 2**n_frames if values == "evaluated" else 1.0
        if self.orders:
            return float(n_frames * factorial(n_frames)) * (plain if name == "TRN" else 1.0)
        return max(n_frames * 2.0**n_frames, plain * 2.0**n_frames)


def _captum(game: Game, scores: Scores) -> NDArray[np.floating]:
    method = ShapleyValues(lambda rows: scores(rows > 0.5))
    everyone = torch.ones((1, game.n_frames), device=game.features.device)
    with warnings.catch_warnings():
        # From 10 players on, captum warns about the number of orders.
        warnings.simplefilter("ignore")
        result: Tensor = method.attribute(
            everyone,
            baselines=torch.zeros_like(everyone),
            target=game.target,
            perturbations_per_eval=game.n_frames,
        )
    return result.T.cpu().numpy()


def _shapiq(game: Game, scores: Scores) -> NDArray[np.floating]:
    target = game.target

    def play(coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
        present = torch.from_numpy(np.asarray(coalitions)).to(game.features.device)
        return scores(present)[:, target].double().cpu().numpy()

    values = ExactComputer(play, n_players=game.n_frames)("SV", 1)
    return np.array([[values[(frame,)]] for frame in range(game.n_frames)])


def _shap(game: Game, scores: Scores) -> NDArray[np.floating]:
    def play(rows: NDArray[np.floating]) -> NDArray[np.floating]:
        present = torch.from_numpy(rows > 0.5).to(game.features.device)
        return scores(present).cpu().numpy()

    masker = shap.maskers.Independent(np.zeros((1, game.n_frames)))
    explainer = shap.explainers.Exact(play, masker)
    explained = explainer(
        np.ones((1, game.n_frames)), max_evals=2**game.n_frames, batch_size=4096, silent=True
    )
    return np.asarray(explained.values[0])


LIBRARIES = (
    Library("captum", _captum, all_classes=False, orders=True),
    Library("shapiq", _shapiq, all_classes=False, orders=False),
    Library("shap", _shap, all_classes=True, orders=False),
)


def compare(
    name: ModelName, frames: list[int], device: torch.device, longest: float, seconds: float
) -> list[Comparison]:
    """Time the libraries on games of each number of frames, ascending.

    Args:
        name: the model.
        frames: numbers of frames.
        device: device of the model.
        longest: a library is not run if its extrapolated time exceeds so many seconds.
        seconds: approximate time over which each is repeated.
    """
    return list(_compare(name, sorted(frames), device, longest, seconds))


def _compare(
    name: ModelName, frames: list[int], device: torch.device, longest: float, seconds: float
) -> Iterator[Comparison]:
    known: dict[tuple[str, Values], float] = {}
    _warm_up(name, device)
    ways: tuple[Values, ...] = ("table", "evaluated")
    for n_frames in frames:
        game = games.make(name, n_frames, device)
        ours = element_shapley_values(game.model, game.features, game.empty)[0].cpu().numpy()
        for values in ways:
            scores: Scores | None = None
            for library in LIBRARIES:
                cost = library.cost(name, n_frames, values)
                expected = known.get((library.name, values), 0.0) * cost
                classes = games.N_CLASSES if library.all_classes else 1
                if expected > longest:
                    skipped = (None, expected, None, None)
                    yield Comparison(name, n_frames, library.name, values, classes, *skipped)
                    continue
                scores = scores or _scores(game, values)
                timing, difference, largest = _measured(library, game, scores, ours, seconds)
                known[library.name, values] = timing.median / cost
                result = (timing, None, difference, largest)
                yield Comparison(name, n_frames, library.name, values, classes, *result)


def _warm_up(name: ModelName, device: torch.device) -> None:
    """Run everything once that is compiled on first use."""
    tiny = games.make(name, 3, device)
    for library in LIBRARIES:
        library.run(tiny, _scores(tiny, "evaluated"))


def _measured(
    library: Library, game: Game, scores: Scores, ours: NDArray[np.float64], seconds: float
) -> tuple[Timing, float, float]:
    found: list[NDArray[np.floating]] = []
    timing = timed(
        lambda: found.append(library.run(game, scores)), game.features.device, seconds=seconds
    )
    expected = ours if library.all_classes else ours[:, [game.target]]
    return timing, float(np.abs(found[-1] - expected).max()), float(np.abs(expected).max())


def _scores(game: Game, values: Values) -> Scores:
    if values == "evaluated":
        return lambda present: games.plain_scores(game, present)
    known = table(game.model, game.features, game.empty)[0]
    bits = 1 << torch.arange(game.n_frames, device=known.device)
    return lambda present: known[(present * bits).sum(dim=1)]
