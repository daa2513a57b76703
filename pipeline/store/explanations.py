"""Games of single explanations: what they evaluate is remembered, and values are estimated."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from pipeline.core.digits import significant
from pipeline.core.progress import progress
from pipeline.shapley.estimate import Estimate, Known
from pipeline.shapley.games import Game
from pipeline.shapley.methods import METHODS
from pipeline.store.pages import Evaluate, remembered
from pipeline.store.record import GameRecord

PAGE = 64
"""Coalitions that are evaluated at once, and written together."""

METHOD = "msr"
"""The estimator where not all coalitions are evaluated."""


@dataclass(frozen=True)
class Effort:
    """How precise an explanation has to be, and what it may cost."""

    budget: int = 4096
    """most coalitions that are evaluated; values are exact if these are all"""
    tolerance: float | None = 0.05
    """standard errors, as a part of the values' spread, at which to stop"""
    seed: int = 0


def explained_record(
    name: str,
    n_players: int,
    outputs: Sequence[str],
    *,
    player: str,
    value: str,
    specification: Mapping[str, object],
    digest: str | None,
    version: int,
) -> GameRecord:
    """The record of a game that is explained alone.

    Args:
        name: of the model and of what else distinguishes its stores.
        n_players: number of players.
        outputs: names of the outputs.
        player: what a player is.
        value: what the value function is.
        specification: everything that determines values besides weights and inputs.
        digest: of the weights; None if they cannot be told apart.
        version: of the evaluation.
    """
    return GameRecord(
        study="own",
        game=re.sub(r"[^A-Za-z0-9_.-]+", "_", name),
        n_players=n_players,
        player=player,
        outputs=tuple(outputs),
        value=value,
        specification=specification,
        weights_sha256=digest or "",
        evaluator_version=version,
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
        n_coalitions=PAGE,
    )


@dataclass(frozen=True)
class _Plain:
    """A value function as a game."""

    n_players: int
    outputs: tuple[str, ...]
    values: Evaluate

    def __call__(self, coalitions: NDArray[Any], /) -> NDArray[np.floating[Any]]:
        return self.values(coalitions)


@contextmanager
def explained_game(
    record: GameRecord, instance: str, input_sha256: str, evaluate: Evaluate, results: Path
) -> Iterator[Game]:
    """One input's game. Its values are kept below ``results/coalitions/own``.

    Without a digest of the weights nothing is kept.

    Args:
        record: of :func:`explained_record`.
        instance: name of the input.
        input_sha256: its digest.
        evaluate: called for coalitions whose values are unknown.
        results: the folder of results.
    """
    if not record.weights_sha256:
        yield _Plain(record.n_players, record.outputs, evaluate)
        return
    with remembered(results / f"coalitions/own/{record.game}.zarr", record) as memory:
        yield memory.game(instance, input_sha256, evaluate)


def estimated(game: Game, effort: Effort) -> Estimate:
    """Exact values within the budget, sampled ones otherwise; shows progress and the error."""
    n, method = game.n_players, METHODS[METHOD]
    total = min(effort.budget, 2**n)
    note = ""
    with progress("explain", total, "coalitions") as advance:

        def in_parts(coalitions: NDArray[Any]) -> NDArray[np.floating[Any]]:
            # So that progress is shown, and that what is evaluated is kept now and then.
            parts = []
            for start in range(0, len(coalitions), PAGE):
                parts.append(game(coalitions[start : start + PAGE]))
                advance(len(parts[-1]), note)
            return np.concatenate(parts)

        def watch(known: Known) -> None:
            nonlocal note
            error = float(known.standard_errors.max(initial=0.0))
            note = "" if np.isnan(error) else f"standard error ≤ {significant(error, 2)}"

        return method.estimate(
            _Plain(n, tuple(game.outputs), in_parts),
            budget=max(total, method.smallest(n)),
            tolerance=None if total == 2**n else effort.tolerance,
            seed=effort.seed,
            watch=watch,
        )
