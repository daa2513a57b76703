"""Stage: draw the search for the filters of largest values."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.neurons.figures import search

VERSION = 2

DRAWN = {
    "search": search.draw_search,
    "truncation": search.draw_truncation,
    "costs": search.draw_costs,
}


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw each figure from ``numbers`` (JSON); each PNG has an SVG beside it."""
    content = json.loads(numbers.read_bytes())
    with figure_style():
        for figure in figures:
            save(DRAWN[figure.stem](content), figure)
