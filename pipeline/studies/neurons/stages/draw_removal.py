"""Stage: draw the effect of removing the filters that matter most."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.neurons.figures import curves

VERSION = 2

DRAWN = {"removal": curves.draw_overall, "classes": curves.draw_classes}


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw each figure from ``numbers`` (JSON); each PNG has an SVG beside it."""
    content = json.loads(numbers.read_bytes())
    with figure_style():
        for figure in figures:
            save(DRAWN[figure.stem](content), figure)
