"""Draw what pairs of frames are worth together: matrices of videos, and means by distance."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from pipeline.core.plotting import DIVERGING, MODEL_NAMES, drawable
from pipeline.studies.frames.figures.error_bars import draw_means
from pipeline.studies.frames.summaries import Floats

GAMES = {
    "class": "score of the true class",
    "order": "true class less the class of the reverse order",
}


def draw_interactions(
    matrices: Mapping[str, Floats],
    titles: Sequence[str],
    found: Mapping[str, Any],
    index: str,
    unit: str,
) -> Figure:
    """Matrices of pairs for single videos, and means over videos by distance.

    Args:
        matrices: for each model (video, n, n).
        titles: (video,) of the videos.
        found: for each model and game the results of
            :func:`pipeline.studies.frames.interactions.by_distance`.
        index: name of the interaction index.
        unit: of the score.
    """
    rows = max(1, -(-len(titles) // 2))
    figure = plt.figure(figsize=(9.6, 3.2 + 2.5 * rows))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.5 * rows, 3.2])[:, 0]
    _draw_videos(above, matrices, titles, f"{index} ({unit})")
    panels = below.subplots(1, 2, sharey=True)
    for panel, (game, title) in zip(panels, GAMES.items(), strict=True):
        _draw_distances(panel, {model: found[model][game] for model in matrices}, title)
    panels[0].set_ylabel(f"mean {index} of a pair ({unit})")
    panels[0].legend(loc="best", handlelength=2.8)
    return figure


def _draw_videos(
    figure: SubFigure, matrices: Mapping[str, Floats], titles: Sequence[str], label: str
) -> None:
    """Two videos a row; each has a panel per model, in colours of one scale."""
    rows = max(1, -(-len(titles) // 2))
    grid = figure.subplots(rows, 2 * len(matrices), squeeze=False)
    pairs = [_pairs_alone(m) for m in matrices.values()]
    largest = max((float(np.nanmax(np.abs(p), initial=0)) for p in pairs), default=0) or 1.0
    image: AxesImage | None = None
    for panel in grid.ravel():
        panel.set_visible(False)
    for video, title in enumerate(titles):
        row, column = divmod(video, 2)
        panels = grid[row, column * len(matrices) : (column + 1) * len(matrices)]
        for panel, model, of_model in zip(panels, matrices, pairs, strict=True):
            panel.set_visible(True)
            image = panel.imshow(of_model[video], cmap=DIVERGING, vmin=-largest, vmax=largest)
            panel.grid(visible=False)
            panel.set_title(MODEL_NAMES[model], fontsize=9, weight="normal")
            panel.set_xlabel("position", fontsize=8.5)
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MaxNLocator(4, integer=True))
        wrapped = "\n".join(textwrap.wrap(drawable(title), 34))
        panels[0].set_ylabel(f"{wrapped}\n\nposition", fontsize=8.5)
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.8, pad=0.02)
        bar.set_label(label)


def _pairs_alone(matrices: Floats) -> Floats:
    """Matrices (video, n, n) without the values of single frames."""
    single = np.eye(matrices.shape[1], dtype=bool)
    return np.where(single, np.nan, matrices)


def _draw_distances(axes: Axes, of_models: Mapping[str, Any], title: str) -> None:
    axes.axhline(0, color="#7F7F7F", lw=1)
    for model, found in of_models.items():
        mean, error = np.array(found["mean"]), np.array(found["standard_error"])
        draw_means(axes, model, np.arange(1, len(mean) + 1), mean, error)
    videos = {found["videos"] for found in of_models.values()}
    axes.set_title(f"{title},\n{min(videos, default=0)} videos", fontsize=9.5, weight="normal")
    axes.set_xlabel("distance between the two frames (positions)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
