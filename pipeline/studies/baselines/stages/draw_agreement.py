"""Stage: draw the measures of attributions, and insertion and deletion curves."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.baselines.figures.agreement import draw_curves, draw_measures

VERSION = 2


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw ``agreement`` and ``insertion`` from ``numbers``, the JSON of the stage agreement."""
    content = json.loads(numbers.read_bytes())
    draw = {
        "agreement": lambda: draw_measures(content["rows"], content["units"]),
        "insertion": lambda: draw_curves(content["curves"], content["units"]),
    }
    with figure_style():
        for path in figures:
            save(draw[path.stem](), path)
