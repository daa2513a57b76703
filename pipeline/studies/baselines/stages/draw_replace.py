"""Stage: draw networks beside the utility functions that they replace (Figs. 8, 9)."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.baselines.figures.replace import draw_connected, draw_surrogates

VERSION = 2


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw ``surrogates`` and ``connected`` from ``numbers``, the JSON of the stage replace."""
    content = json.loads(numbers.read_bytes())
    draw = {
        "surrogates": lambda: draw_surrogates(content["shapley_values"]),
        "connected": lambda: draw_connected(content["theorem_3_by_player"]),
    }
    with figure_style():
        for path in figures:
            save(draw[path.stem](), path)
