"""Stage: draw the class score that is left as frames are discarded (Figs. 3 and 12)."""

import csv
import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.frames.figures.discard import DISCARD_GROUPS, draw_discard, lines_of

VERSION = 3


def main(*, numbers: Path, curves: Path, figures: list[Path]) -> None:
    """Draw ``discard_<group>`` for each group of orders; each PNG has an SVG beside it."""
    found = json.loads(numbers.read_bytes())
    with curves.open(newline="", encoding="utf-8") as rows:
        lines = lines_of(csv.DictReader(rows))
    with figure_style():
        for figure in figures:
            orders = DISCARD_GROUPS[figure.stem.removeprefix("discard_")]
            told = {"unit": found["unit"], "explained": found["explained"]}
            save(draw_discard(lines, orders, **told), figure)
