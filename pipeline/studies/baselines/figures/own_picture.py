"""Draw one picture with the attributions of its areas and pixels."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.core.digits import significant
from pipeline.core.plotting import drawable
from pipeline.studies.baselines.own_picture import PictureExplanation

COLOURS = "RdBu_r"
BEYOND = 0.005
"""Share of the pixels whose colour is at the end of the scale."""


def draw_picture(found: PictureExplanation, title: str, unit: str) -> Figure:
    """The picture with numbered areas, and what raises (red) or lowers (blue) the predicted class.

    Shapley values and Shapley Integrated Gradients are drawn beside Integrated Gradients.

    Args:
        found: the explanation.
        title: of the figure.
        unit: of the scores.
    """
    figure, panels = plt.subplots(1, 4, figsize=(13.2, 4.0))
    for axes in panels:
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
    panels[0].imshow(found.shown)
    _number_areas(panels[0], found.areas)
    panels[0].set_title("areas", fontsize=10)
    values = found.estimate.values[:, 0]
    kind = "exact" if found.is_exact else "estimated"
    maps = {
        f"Shapley values of areas ({kind})": (values[found.areas], f"{unit} per area"),
        "Integrated Gradients": (found.gradients, f"{unit} per pixel"),
        "Shapley Integrated Gradients": (found.shapley_gradients, f"{unit} per pixel"),
    }
    for axes, (name, (pixels, label)) in zip(panels[1:], maps.items(), strict=True):
        limit = float(np.quantile(np.abs(pixels), 1 - BEYOND)) or float(np.abs(pixels).max()) or 1.0
        axes.imshow(found.shown.mean(axis=2), cmap="gray", alpha=0.35)
        image = axes.imshow(pixels, cmap=COLOURS, vmin=-limit, vmax=limit, alpha=0.8)
        axes.set_title(name, fontsize=10)
        bar = figure.colorbar(image, ax=axes, shrink=0.75, extend="both")
        bar.set_label(label, fontsize=9)
        bar.ax.tick_params(labelsize=8)
    score = significant(float(found.scores[0]))
    figure.suptitle(
        drawable(f"{title}: what raises (red) and lowers (blue) {found.classes[0]}, score {score}"),
        fontsize=11,
    )
    return figure


def _number_areas(axes: Axes, areas: NDArray[np.int64]) -> None:
    """Draw the borders of areas and their numbers."""
    for player in range(int(areas.max()) + 1):
        inside = areas == player
        axes.contour(inside.astype(float), levels=[0.5], colors="white", linewidths=0.8)
        rows, columns = np.nonzero(inside)
        axes.text(
            float(columns.mean()),
            float(rows.mean()),
            str(player),
            ha="center",
            va="center",
            fontsize=8,
            color="black",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
        )
