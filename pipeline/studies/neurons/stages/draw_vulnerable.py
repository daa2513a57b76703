"""Stage: draw the effect of removing the filters that an adversary uses."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.neurons.figures import curves

VERSION = 4

DRAWN = {"vulnerable": curves.draw_vulnerable}


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw each figure from ``numbers`` (JSON); each PNG has an SVG beside it."""
    content = json.loads(numbers.read_bytes())
    with figure_style():
        for figure in figures:
            save(DRAWN[figure.stem](content), figure)
