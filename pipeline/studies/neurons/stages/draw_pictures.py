"""Stage: draw pictures of filters."""

from pathlib import Path

from pipeline.core.plotting import figure_style, save
from pipeline.studies.neurons.figures.pictures import draw_portraits
from pipeline.studies.neurons.pictures import read_portraits

VERSION = 2


def main(*, portraits_of: Path, figures: list[Path]) -> None:
    """Draw ``pictures`` (for accuracy) and ``class_pictures`` from HDF5, with SVGs beside them."""
    found = read_portraits(portraits_of)
    assert found is not None
    with figure_style():
        for figure in figures:
            for_accuracy = figure.stem == "pictures"
            places = [i for i, of in enumerate(found.of) if (of == "accuracy") == for_accuracy]
            save(draw_portraits(found, places), figure)
