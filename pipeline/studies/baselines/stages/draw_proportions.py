"""Stage: draw the probability of a proportional sample (Theorem 2)."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.baselines.figures.proportions import draw_proportions

VERSION = 4


def main(*, numbers: Path, figures: list[Path]) -> None:
    """Draw the only figure in ``figures`` from ``numbers``, the JSON of the stage proportions."""
    (figure,) = figures
    with figure_style():
        save(draw_proportions(json.loads(numbers.read_bytes())["rows"]), figure)
