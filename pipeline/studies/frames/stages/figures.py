"""Stage: draw some videos with their values, the accuracy curve and a summary."""

import json
import logging
from pathlib import Path
from typing import Any

from pipeline.core.files import replacing_directory, write_json
from pipeline.core.plotting import figure_style, save
from pipeline.data.something import read_action_intervals
from pipeline.studies.frames.figures.accuracy import draw_accuracy
from pipeline.studies.frames.figures.clips import choose, draw_clip
from pipeline.studies.frames.figures.summary import draw_summary
from pipeline.studies.frames.params import FiguresParams
from pipeline.studies.frames.priors import read_class_names
from pipeline.studies.frames.summary import summarise
from pipeline.studies.frames.values import read_values

log = logging.getLogger(__name__)

VERSION = 4


def main(
    *,
    values: list[Path],
    classes: Path,
    params: FiguresParams,
    clips: Path,
    summary_figure: Path,
    summary: Path,
    accuracy: Path | None = None,
    accuracy_figure: Path | None = None,
    root: Path | None = None,
) -> None:
    """Draw all figures; each PNG has an SVG beside it.

    ``values`` are of one or several models. ``classes`` (JSON) has the names of the classes.
    ``root`` is the videos' data set. The accuracy is drawn if it is given.
    """
    known = {found.game: found for found in map(read_values, values)}
    first = next(iter(known.values()))
    names = read_class_names(classes)
    numbered = all(v.frames_are_numbered for v in known.values())
    if root is not None and not numbered:
        log.warning(
            "the feature files have no frame_indices, so their frames cannot be found in the "
            "videos: pictures and actions are left out"
        )
        root = None
    intervals = read_action_intervals(root) if root is not None else {}
    found: dict[str, Any] = {name: summarise(v, intervals) for name, v in known.items()}
    with figure_style():
        if accuracy is not None and accuracy_figure is not None:
            save(draw_accuracy(json.loads(accuracy.read_bytes())), accuracy_figure)
        true = {name: v.esv_true for name, v in known.items()}
        in_action = {
            m: s["highest_in_action"] for m, s in found.items() if "highest_in_action" in s
        }
        drawn = draw_summary(true, in_action, unit=first.unit, explained=first.explained)
        save(drawn, summary_figure)
        with replacing_directory(clips) as directory:
            for number, video in enumerate(choose(first, params.clips), start=1):
                uid = first.uids[video]
                figure = draw_clip(uid, known, names, intervals, root, first.unit)
                save(figure, directory / f"{number}_{uid}.png")
    write_json(summary, found)
