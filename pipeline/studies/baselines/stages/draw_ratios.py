"""Stage: draw ratios of Shapley values and their errors (Fig. 2)."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.baselines.figures.ratios import draw_errors, draw_ratios

VERSION = 4


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw ``ratios`` and ``ratios_error`` from ``numbers``, the JSON of the stage ratios."""
    content = json.loads(numbers.read_bytes())
    draw = {
        "ratios": lambda: draw_ratios(content["values"]),
        "ratios_error": lambda: draw_errors(content["rows"]),
    }
    with figure_style():
        for path in figures:
            save(draw[path.stem](), path)
