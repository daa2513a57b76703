"""Stage: draw explanations of images."""

import json
from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.shapnets.figures import images
from pipeline.studies.shapnets.image_explained import read_drawn

VERSION = 2

CURVES = {
    "image_flips": images.draw_flips,
    "image_removal": images.draw_removal,
    "image_pruning": images.draw_pruning,
    "image_regularised": images.draw_regularised,
}
PICTURES = {"image_layers": images.draw_layers, "image_classes": images.draw_classes}


def main(*, numbers: Path, arrays: Path, figures: list[Path]) -> None:
    """Draw each figure from JSON and HDF5; each PNG has an SVG beside it."""
    content, found = json.loads(numbers.read_bytes()), read_drawn(arrays)
    with figure_style():
        for figure in figures:
            if figure.stem in CURVES:
                save(CURVES[figure.stem](content), figure)
            else:
                save(PICTURES[figure.stem](found), figure)
