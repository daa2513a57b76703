"""Stage: draw the results of networks for tables."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.shapnets.figures import tables

VERSION = 2


def main(*, numbers: list[Path], distances: list[Path], timing: Path, figures: list[Path]) -> None:
    """Draw each figure from the other stages' JSON; each PNG has an SVG beside it."""
    trained = [json.loads(path.read_bytes()) for path in numbers]
    found = [json.loads(path.read_bytes()) for path in distances]
    drawn = {
        "accuracy": lambda: tables.draw_accuracy(trained),
        "distances": lambda: tables.draw_distances(found),
        "consistent": lambda: tables.draw_consistent(found, trained),
        "regularised": lambda: tables.draw_regularised(trained),
        "learned": lambda: tables.draw_learned(trained),
        "timing": lambda: tables.draw_timing(json.loads(timing.read_bytes())),
        "representations": tables.draw_representations,
    }
    with figure_style():
        for figure in figures:
            save(drawn[figure.stem](), figure)
