"""Stage: draw the changes of values by the shift of a frame (Figs. 6c and 11c)."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.frames.figures.shift import draw_shift
from pipeline.studies.frames.paths import MODELS

VERSION = 2


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw the one figure; the PNG has an SVG beside it."""
    (figure,), found = figures, json.loads(numbers.read_bytes())
    with figure_style():
        save(draw_shift({m: found[m] for m in MODELS}, unit=found["unit"]), figure)
