"""Stage: how values change when a frame's neighbour in the video stands in (Figs. 6c and 11c)."""

from pathlib import Path
from typing import Any, cast

import numpy as np

from pipeline.files import write_json
from pipeline.frames import sampling
from pipeline.frames.coalition_scores import Score
from pipeline.frames.drawing_analyses import draw_shifts
from pipeline.frames.feature_files import read_features
from pipeline.frames.lengths import evenly, true_class_values
from pipeline.frames.priors import empty_score, read_priors
from pipeline.frames.shifts import (
    ShiftChanges,
    changed_sequences,
    changes_by_distance,
    shifted_values,
)
from pipeline.frames.trained import load_model
from pipeline.frames.values import unit_of
from pipeline.networks import devices
from pipeline.params.frames import ShiftedParams
from pipeline.plotting import figure_style, save
from pipeline.progress import progress
from pipeline.stage import run
from pipeline.tables import plain, write_table

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
    out: Path,
    table: Path,
    figure: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """|Δφ| of the true class by the distance that one of ``n`` frames was shifted.

    ``out`` is JSON, ``table`` CSV, ``figure`` a PNG with an SVG beside it.
    """
    target, of_class = devices.resolve(device), cast(Score, score)
    classes, counts = read_priors(priors)
    empty = empty_score(counts, of_class).to(target)
    found: dict[str, ShiftChanges] = {}
    for name, path, weights in (("trn", trn_features, scales), ("tsn", tsn_features, [tsn])):
        features = read_features(path, n_classes=len(classes), label=label)
        model = load_model(name, weights).to(target)
        # Where frames are repeated, a neighbour may be the frame itself.
        long_enough = np.flatnonzero(features.lengths >= n)
        videos = long_enough[evenly(len(long_enough), params.clips)]
        lengths = features.lengths[videos]
        frames = sampling.spread(lengths, n)
        shifts = changed_sequences(
            frames, lengths, furthest=params.furthest, crossing=params.crossing
        )
        esv = true_class_values(model, features, videos, n, empty, of_class)
        with progress(f"frames_shifted {name}", len(shifts.video), "sequences") as advance:
            changed = shifted_values(
                model,
                features,
                videos,
                shifts,
                features.labels[videos],
                empty,
                of_class,
                advance=advance,
            )
        found[name] = changes_by_distance(esv, shifts, changed)
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
