"""Stage: draw the patterns in the values of all videos (Figs. 6a, 11a, 13 and 14)."""

import json
from pathlib import Path

import numpy as np

from pipeline.core.plotting import figure_style, save
from pipeline.studies.frames.figures import patterns as drawing
from pipeline.studies.frames.paths import MODELS
from pipeline.studies.frames.priors import read_priors

VERSION = 3


def main(*, numbers: Path, priors: Path, figures: list[Path]) -> None:
    """Draw contributions, most_alike, least_alike, confusions; each PNG has an SVG beside it."""
    found, paths = json.loads(numbers.read_bytes()), {path.stem: path for path in figures}
    classes, unit = read_priors(priors)[0], found["unit"]
    boxes = {m: drawing.boxes_of(found["contributions"][m]) for m in MODELS}
    summaries = {m: drawing.summary_of(found["confusions"][m]) for m in MODELS}
    positions = found["positions"]
    maps = {m: np.array(positions["maps"][m], dtype=np.float64) for m in MODELS}
    videos = {row["class"]: row["videos"] for row in positions["classes"]}
    counts = np.array([videos[name] for name in classes])
    what = "marginal contribution, true class"
    with figure_style():
        save(drawing.draw_contributions(boxes, unit=unit, what=what), paths["contributions"])
        for which in ("most", "least"):
            rows = [(classes.index(name), name) for name in positions[f"{which}_alike"]]
            title = f"Classes on which the two models are {which} alike"
            figure = drawing.draw_position_maps(maps, rows, counts, title=title)
            save(figure, paths[f"{which}_alike"])
        save(drawing.draw_confusions(summaries, unit=unit), paths["confusions"])
