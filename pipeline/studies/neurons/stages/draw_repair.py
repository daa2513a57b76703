"""Stage: draw the repair of the unfair network."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.neurons.figures import curves

VERSION = 2

DRAWN = {"repair": curves.draw_repair}


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw each figure from ``numbers`` (JSON); each PNG has an SVG beside it."""
    content = json.loads(numbers.read_bytes())
    with figure_style():
        for figure in figures:
            save(DRAWN[figure.stem](content), figure)
