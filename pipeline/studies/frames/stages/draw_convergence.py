"""Stage: draw the errors of approximate values."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.frames.figures.convergence import draw_algorithm_1, draw_methods
from pipeline.studies.frames.paths import MODELS

VERSION = 5


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw ``algorithm_1_<model>`` and ``estimators_<model>``; each PNG has an SVG beside it."""
    found, paths = json.loads(numbers.read_bytes()), {path.stem: path for path in figures}
    with figure_style():
        for model in MODELS:
            rows = [row for row in found["rows"] if row["model"] == model]
            save(draw_algorithm_1(rows, found["unit"]), paths[f"algorithm_1_{model}"])
            save(draw_methods(model, rows, found["unit"]), paths[f"estimators_{model}"])
