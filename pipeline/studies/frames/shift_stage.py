"""Stage: how values change when a frame's neighbour in the video stands in (Figs. 6c and 11c)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.files import array_digest
from pipeline.store import CoalitionStore, GameRecord
from pipeline.studies.frames import sampling
from pipeline.studies.frames.coalition_scores import Model, Score, sequences_at_once
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.shift import (
    ShiftChanges,
    Shifts,
    shift_tables,
)
from pipeline.studies.frames.true_class import evaluated, scorer
from pipeline.workflow.versions import version

BYTES_AT_ONCE = 1 << 27
"""What the tables of the sequences in one batch may take, about."""

COLUMNS = (
    "model",
    "shift",
    "changes",
    "mean",
    "standard_error",
    "lower_quartile",
    "median",
    "upper_quartile",
    "relative",
)


def of_shifted(record: GameRecord, *, crossing: bool) -> GameRecord:
    """The record of a game, as one of sequences in which a neighbour stands for a frame."""
    specification = {**record.specification, "crossing": crossing}
    specification["games"] = version("frames", "shifted_games")
    return replace(
        record,
        game=f"{record.game}_shifted",
        player=f"{record.player}; where a shifted frame has passed others, in their new order",
        value=f"{record.value}; in output 'frame i, k' frame i is replaced by that k rows later, "
        "or is as it is where the video ends before or that one is looked at already",
        specification=specification,
    )


def play_shifts(
    model: Model,
    empty: torch.Tensor,
    score: Score,
    features: FeatureSet,
    videos: NDArray[np.int64],
    shifts: Shifts,
    record: GameRecord,
    path: Path,
    receipt: Path,
) -> CoalitionStore:
    """The store of the games of videos with each frame shifted; what it lacks is evaluated.

    Args:
        model: in evaluation mode, on the device where this is to be computed.
        empty: (class,) v(∅), in the unit of ``score``, on the same device.
        score: what v is.
        features: of all videos.
        videos: (video,) numbers of those that are looked at.
        shifts: their changed sequences.
        record: from :func:`of_shifted`; its outputs are those of ``shift_outputs``.
        path: of the store.
        receipt: where it is written.
    """
    n, furthest = record.n_players, (len(record.outputs) - 1) // (2 * record.n_players)
    frames = sampling.spread(features.lengths[videos], n)
    at_once = min(len(record.outputs), sequences_at_once(model, n, BYTES_AT_ONCE))
    scores = scorer(model, empty, score, at_once)

    def tables(indices: Sequence[int]) -> NDArray[np.float32]:
        return shift_tables(features, videos, frames, shifts, furthest, scores, at_once, indices)

    return evaluated(
        path,
        record,
        [features.uids[video] for video in videos],
        [
            array_digest(
                [
                    features.gather(np.full(len(sequences), video), sequences),
                    features.labels[[video]],
                    shifts.position[shifts.video == place],
                    shifts.shift[shifts.video == place],
                ]
            )
            for place, video in enumerate(videos)
            for sequences in [
                np.concatenate([frames[[place]], shifts.frames[shifts.video == place]])
            ]
        ],
        tables,
        batch_size=1,
        receipt=receipt,
        description=f"frames_{record.game}",
        device=empty.device,
    )


def rows_of_stage(model: str, changes: ShiftChanges) -> list[dict[str, Any]]:
    boxes = changes.absolute
    return [
        {
            "model": model,
            "shift": int(distance),
            "changes": int(boxes.count[i]),
            "mean": float(boxes.mean[i]),
            "standard_error": float(changes.error[i]),
            "lower_quartile": float(boxes.lower_quartile[i]),
            "median": float(boxes.median[i]),
            "upper_quartile": float(boxes.upper_quartile[i]),
            "relative": float(changes.relative[i]),
        }
        for i, distance in enumerate(changes.distance)
    ]
