"""Stage: how values change when a frame's neighbour in the video stands in (Figs. 6c and 11c)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.files import array_digest, write_json
from pipeline.frames import sampling
from pipeline.frames.coalition_scores import Model, Score, sequences_at_once
from pipeline.frames.drawing_analyses import draw_shifts
from pipeline.frames.feature_files import FeatureSet, read_features
from pipeline.frames.game import game_record
from pipeline.frames.priors import empty_score, read_priors
from pipeline.frames.shifts import (
    ShiftChanges,
    Shifts,
    changed_sequences,
    changes_by_distance,
    output_of,
    shift_outputs,
    shift_tables,
)
from pipeline.frames.trained import load_model
from pipeline.frames.true_class import evaluated, scorer, stored_shapley_values
from pipeline.frames.values import unit_of
from pipeline.networks import devices
from pipeline.params.frames import ShiftedParams
from pipeline.plotting import figure_style, save
from pipeline.stage import run
from pipeline.store import CoalitionStore, GameRecord
from pipeline.tables import plain, write_table
from pipeline.versions import version

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


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: ShiftedParams,
    n: int,
    score: str,
    stores: Path,
    receipts: Path,
    out: Path,
    table: Path,
    figure: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """|Δφ| of the true class by the distance that one of ``n`` frames was shifted.

    The games are played into ``<model>_shifted.zarr`` below ``stores``, with receipts of these
    names below ``receipts``. ``out`` is JSON, ``table`` CSV, ``figure`` a PNG
    with an SVG beside it.
    """
    target, of_class = devices.resolve(device), cast(Score, score)
    classes, counts = read_priors(priors)
    empty = empty_score(counts, of_class)
    found: dict[str, ShiftChanges] = {}
    for name, path, weights in (("trn", trn_features, scales), ("tsn", tsn_features, [tsn])):
        features = read_features(path, n_classes=len(classes), label=label)
        model = load_model(name, weights)
        outputs = shift_outputs(n, params.furthest)
        record = game_record(name, model, classes, empty, n, of_class, outputs)
        # Where frames are repeated, a neighbour may be the frame itself: nothing is shifted there.
        long_enough = np.flatnonzero(features.lengths >= n)
        candidates = long_enough if len(long_enough) else np.arange(len(features))
        videos = candidates[sampling.evenly(len(candidates), params.clips)]
        whole = features.lengths[videos] if len(long_enough) else features.lengths[:0]
        shifts = changed_sequences(
            sampling.spread(whole, n), whole, furthest=params.furthest, crossing=params.crossing
        )
        store = play_shifts(
            model.to(target),
            empty.to(target),
            of_class,
            features,
            videos,
            shifts,
            of_shifted(record, crossing=params.crossing),
            stores / f"{name}_shifted.zarr",
            receipts / f"{name}_shifted.json",
        )
        esv = stored_shapley_values(store)
        changed = esv[shifts.video, shifts.place, output_of(shifts, params.furthest)]
        found[name] = changes_by_distance(esv[: len(whole), :, 0], shifts, changed)
    with figure_style():
        save(draw_shifts(found, unit=unit_of(of_class)), figure)
    rows = [row for name, changes in found.items() for row in _rows(name, changes)]
    write_table(table, COLUMNS, rows)
    write_json(
        out,
        {
            name: {"spread": plain(changes.spread), "by_shift": plain(_rows(name, changes))}
            for name, changes in found.items()
        },
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


def _rows(model: str, changes: ShiftChanges) -> list[dict[str, Any]]:
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


if __name__ == "__main__":
    run(main)
