"""Figures of filters' pictures (Figs. 1 and 2b)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from pipeline.core.digits import with_error
from pipeline.core.statistics import half_interval
from pipeline.studies.neurons.figures.curves import ABOVE, MANY, draw_removal
from pipeline.studies.neurons.pictures import Portraits

TILE = 0.62
"""Side of an image in inches."""

LEFT = 1.7
"""Width of the names on the left in inches."""


LEAST = 4.6
"""Width of the curves beside the images in inches."""


def draw_portraits(portraits: Portraits, places: Sequence[int]) -> Figure:
    """One row of images for each of some filters."""
    shown = 2 * (portraits.most.shape[1] + 1)
    size = (LEFT + TILE * (shown + 0.5), TILE * len(places) + 0.75)
    figure = plt.figure(figsize=size)
    fill(figure, portraits, places)
    return figure


def draw_faces(content: Mapping[str, Any], portraits: Portraits) -> Figure:
    """Accuracy without the filters that matter most, and images of these filters."""
    right = LEFT + TILE * (2 * portraits.most.shape[1] + 2.5)
    figure = plt.figure(figsize=(LEAST + right, TILE * len(portraits.filters) + 1.4))
    halves: Any = figure.subfigures(1, 2, width_ratios=[LEAST, right])
    axes = halves[0].subplots()
    draw_removal(axes, content)
    halves[0].legend(*axes.get_legend_handles_labels(), **{**ABOVE, "ncols": 2, "fontsize": 8.5})
    fill(halves[1], portraits, range(len(portraits.filters)))
    return figure


def draw_left_out(what: str, why: str, again: str) -> Figure:
    """A page that says why there is no figure."""
    figure, axes = plt.subplots(figsize=(8, 2))
    axes.set_axis_off()
    text = f"{what}: left out.\n{why}\nTry again: {again}"
    axes.text(0, 1, text, ha="left", va="top", wrap=True, transform=axes.transAxes)
    return figure


def fill(figure: Figure | SubFigure, portraits: Portraits, places: Sequence[int]) -> None:
    """One row per filter: name, value, dreams, and images that activate it most and least."""
    n = portraits.most.shape[1]
    # A narrow column separates the two halves.
    ratios = [LEFT / TILE, *[1] * (n + 1), 0.4, *[1] * (n + 1)]
    grid = figure.subplots(
        len(places), len(ratios), squeeze=False, gridspec_kw={"width_ratios": ratios}
    )
    for row, place in zip(grid, places, strict=True):
        for axes in row:
            axes.set_axis_off()
        reach = float(half_interval(portraits.standard_errors[place], MANY))
        name = f"{portraits.filters[place]}\n{with_error(portraits.values[place], reach, '+')}"
        if portraits.of[place] not in ("accuracy", "probability"):
            name = f"{portraits.of[place]}\n{name}"
        row[0].text(1, 0.5, name, ha="right", va="center", fontsize=8.5)
        halves = (
            (1, portraits.dreams[place, 0], portraits.most[place]),
            (n + 3, portraits.dreams[place, 1], portraits.least[place]),
        )
        for start, dreamt, images in halves:
            for number, image in enumerate([dreamt, *images]):
                draw_image(row[start + number], image, framed=number == 0)
    for start, word in ((1, "most"), (n + 3, "least")):
        grid[0, start].set_title("dream", fontsize=8.5, loc="center")
        grid[0, start + 1].set_title(f"{word} activating images", fontsize=8.5)


def draw_image(axes: Axes, image: NDArray[np.floating], *, framed: bool) -> None:
    """One image (channel, height, width) in 0…1."""
    if image.shape[0] == 3:
        axes.imshow(image.transpose(1, 2, 0))
    else:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=framed, linewidth=1.5)
