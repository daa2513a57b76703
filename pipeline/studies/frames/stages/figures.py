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
from pipeline.studies.frames.paths import MODELS
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.summary import summarise
from pipeline.studies.frames.values import read_values

log = logging.getLogger(__name__)

VERSION = 4


def main(
    *,
    values: list[Path],
    accuracy: Path,
    priors: Path,
    params: FiguresParams,
    clips: Path,
    accuracy_figure: Path,
    summary_figure: Path,
    summary: Path,
    root: Path | None = None,
) -> None:
    """Draw all figures; each PNG has an SVG beside it.

    ``values`` are of TRN and TSN, in this order. ``root`` is the videos' data set.
    """
    known = {model: read_values(path) for model, path in zip(MODELS, values, strict=True)}
    unit = known["trn"].unit
    classes, _ = read_priors(priors)
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
        save(draw_accuracy(json.loads(accuracy.read_bytes())), accuracy_figure)
        true = {name: v.esv_true for name, v in known.items()}
        in_action = {
            m: s["highest_in_action"] for m, s in found.items() if "highest_in_action" in s
        }
        save(draw_summary(true, in_action, unit=unit), summary_figure)
        with replacing_directory(clips) as directory:
            for number, video in enumerate(choose(known["trn"], params.clips), start=1):
                uid = known["trn"].uids[video]
                figure = draw_clip(uid, known, classes, intervals, root, unit)
                save(figure, directory / f"{number}_{uid}.png")
    write_json(summary, found)
