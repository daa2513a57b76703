"""Stage: draw the share of supporting frames by the number of frames (Figs. 6b and 11b)."""

import json
from pathlib import Path

import numpy as np

from pipeline.core.plotting import figure_style, save
from pipeline.studies.frames.figures.lengths import draw_lengths
from pipeline.studies.frames.paths import MODELS

VERSION = 2


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw the one figure; the PNG has an SVG beside it."""
    (figure,), found = figures, json.loads(numbers.read_bytes())
    shares = {
        m: (
            np.array(found[m]["supporting_percent"], dtype=np.float64),
            np.array(found[m]["standard_error"], dtype=np.float64),
        )
        for m in MODELS
    }
    with figure_style():
        save(draw_lengths(found["frames"], shares), figure)
