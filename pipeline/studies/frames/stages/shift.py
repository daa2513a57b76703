"""Stage: how values change when a frame's neighbour in the video stands in (Figs. 6c and 11c)."""

from pathlib import Path
from typing import cast

import numpy as np

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.frames import sampling
from pipeline.studies.frames.coalition_scores import Score
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.figures.analyses import draw_shifts
from pipeline.studies.frames.game import game_record
from pipeline.studies.frames.params import ShiftParams
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.shift import (
    ShiftChanges,
    changed_sequences,
    changes_by_distance,
    output_of,
    shift_outputs,
)
from pipeline.studies.frames.shift_stage import COLUMNS, of_shifted, play_shifts, rows_of_stage
from pipeline.studies.frames.trained import load_model
from pipeline.studies.frames.true_class import stored_shapley_values
from pipeline.studies.frames.values import unit_of

VERSION = 1


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: ShiftParams,
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
    rows = [row for name, changes in found.items() for row in rows_of_stage(name, changes)]
    write_table(table, COLUMNS, rows)
    write_json(
        out,
        {
            name: {"spread": plain(changes.spread), "by_shift": plain(rows_of_stage(name, changes))}
            for name, changes in found.items()
        },
    )
