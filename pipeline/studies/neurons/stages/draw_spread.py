"""Stage: draw the effect of filter dropout on values."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.neurons.figures import search

VERSION = 2

DRAWN = {"spread": search.draw_spread}


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw each figure from ``numbers`` (JSON); each PNG has an SVG beside it."""
    content = json.loads(numbers.read_bytes())
    with figure_style():
        for figure in figures:
            save(DRAWN[figure.stem](content), figure)
