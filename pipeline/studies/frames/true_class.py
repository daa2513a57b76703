"""Games of the true class's score alone, which an analysis plays into a store of its own.

Exact values are read back from there. What is stored is not evaluated again: neither by the next
run, nor when more videos are asked for.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models import devices
from pipeline.shapley import shapley_values
from pipeline.store import CoalitionStore, GameRecord, plan
from pipeline.store.evaluation import Tables, play, write_receipt
from pipeline.studies.frames.coalition_scores import Model, Score, table

OUTPUT = ("true class",)
BYTES_AT_ONCE = 1 << 28
"""What the tables of a batch may take, about: those evaluated, and those read back."""

Scorer = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]
"""Scores of all coalitions of sequences (k, n, D) for their classes (k, output):
(k, 2**n, output)."""


def scorer(model: Model, empty: torch.Tensor, score: Score, at_once: int) -> Scorer:
    """Evaluates up to ``at_once`` sequences of any number of frames.

    Always as many, some of them twice: the last bits of a product depend on its shape, and values
    should not depend on what else was still to be done.

    Args:
        model: in evaluation mode, on the device where this is to be computed.
        empty: (class,) v(∅), in the unit of ``score``, on the same device.
        score: what v is.
        at_once: sequences in a batch.
    """

    def scores(sequences: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[np.float32]:
        filled = np.minimum(np.arange(at_once), len(sequences) - 1)
        batch = torch.from_numpy(sequences[filled]).to(empty.device)
        kept = torch.from_numpy(classes[filled].astype(np.int64)).to(empty.device)
        return table(model, batch, empty, score, kept)[: len(sequences)].cpu().numpy()

    return scores


def evaluated(
    path: Path,
    record: GameRecord,
    instances: Sequence[str],
    digests: Sequence[str],
    tables: Tables,
    *,
    batch_size: int,
    receipt: Path,
    description: str,
    device: torch.device,
    evaluations: Callable[[int], int] | None = None,
) -> CoalitionStore:
    """A store of these instances with all its values; what it lacks is evaluated first.

    Args:
        path: of the store.
        record: the game.
        instances: their ids.
        digests: of what each instance's values are computed from.
        tables: evaluates instances by their indices.
        batch_size: instances a batch.
        receipt: where it is written.
        description: stands before the progress.
        device: where the evaluations are made.
        evaluations: coalitions that are evaluated of an instance; all by default.

    Raises:
        InputError: as :func:`pipeline.store.plan` and :func:`pipeline.store.evaluation.play`.
    """
    store = plan(path, record, instances, digests)
    made = play(
        store,
        tables,
        batch_size=batch_size,
        description=description,
        device=devices.describe(device),
        evaluations=evaluations,
    )
    write_receipt(made, receipt)
    return store


def stored_shapley_values(
    store: CoalitionStore,
    instances: range | None = None,
    n_players: int | None = None,
) -> NDArray[np.float64]:
    """Exact values of stored instances: (instance, player, output) float64.

    Args:
        store: of complete tables.
        instances: which of them; by default all.
        n_players: the first so many players; all others must be null players.
    """
    chosen = range(len(store)) if instances is None else instances
    n = store.record.n_players if n_players is None else n_players
    n_outputs = len(store.record.outputs)
    at_once = max(1, BYTES_AT_ONCE // (4 * store.record.rows * n_outputs))
    parts: list[NDArray[Any]] = [np.empty((0, n, n_outputs))]
    for start in range(0, len(chosen), at_once):
        tables = store.read_many(chosen[start : start + at_once])
        parts.append(shapley_values(tables[:, : 2**n]))
    return np.concatenate(parts)
