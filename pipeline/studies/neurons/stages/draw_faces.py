"""Stage: draw filters of the network for faces."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.neurons.figures.pictures import draw_faces, draw_left_out
from pipeline.studies.neurons.pictures import read_portraits

VERSION = 2


def main(*, numbers: Path, portraits_of: Path, figures: list[Path]) -> None:
    """Draw the figure from JSON and HDF5, with an SVG beside it."""
    content, found = json.loads(numbers.read_bytes()), read_portraits(portraits_of)
    with figure_style():
        for figure in figures:
            if found is None:
                save(draw_left_out("faces", content["left_out"], content["again"]), figure)
            else:
                save(draw_faces(content, found), figure)
