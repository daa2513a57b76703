"""Stage: what people look at: some videos with their values, the accuracy curve, a summary."""

import json
from pathlib import Path
from typing import Any

from pipeline.core.files import replacing_directory, write_json
from pipeline.core.plotting import figure_style, save
from pipeline.data.something import read_action_intervals
from pipeline.studies.frames.figures import values as drawing
from pipeline.studies.frames.figures_stage import choose, draw_clip, log, summarise
from pipeline.studies.frames.params import FiguresParams
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.values import read_values

VERSION = 1


def main(
    *,
    trn: Path,
    tsn: Path,
    accuracy: Path,
    priors: Path,
    params: FiguresParams,
    clips: Path,
    accuracy_figure: Path,
    summary_figure: Path,
    summary: Path,
    root: Path | None = None,
    threads: int = 1,  # noqa: ARG001
) -> None:
    """Draw all figures; each PNG has an SVG beside it. ``root`` is the videos' data set."""
    values = {"trn": read_values(trn), "tsn": read_values(tsn)}
    unit = values["trn"].unit
    classes, _ = read_priors(priors)
    numbered = all(v.frames_are_numbered for v in values.values())
    if root is not None and not numbered:
        log.warning(
            "the features do not say (by frame_indices) which frames of the videos they are of: "
            "no pictures are drawn, and nothing is said of actions"
        )
        root = None
    intervals = read_action_intervals(root) if root is not None else {}
    found: dict[str, Any] = {name: summarise(v, intervals) for name, v in values.items()}
    with figure_style():
        save(drawing.draw_accuracy(json.loads(accuracy.read_bytes())), accuracy_figure)
        true = {name: v.esv_true for name, v in values.items()}
        known = {m: s["highest_in_action"] for m, s in found.items() if "highest_in_action" in s}
        save(drawing.draw_summary(true, known, unit=unit), summary_figure)
        with replacing_directory(clips) as directory:
            for number, video in enumerate(choose(values["trn"], params.clips), start=1):
                uid = values["trn"].uids[video]
                figure = draw_clip(uid, values, classes, intervals, root, unit)
                save(figure, directory / f"{number}_{uid}.png")
    write_json(summary, found)
