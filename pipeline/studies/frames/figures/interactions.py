"""Draw what pairs of frames are worth together: matrices of videos, and means by distance."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from pipeline.core.plotting import DIVERGING, drawable, model_name
from pipeline.studies.frames.figures.error_bars import draw_means
from pipeline.studies.frames.summaries import Floats

GAMES = {
    "class": "score of the {explained}",
    "order": "true class less the class of the reverse order",
}


def draw_interactions(
    matrices: Mapping[str, Floats],
    titles: Sequence[str],
    found: Mapping[str, Any],
    index: str,
    unit: str,
    explained: str = "true class",
) -> Figure:
    """Matrices of pairs for single videos, and means over videos by distance.

    Args:
        matrices: for each model (video, n, n).
        titles: (video,) of the videos.
        found: for each model and game the results of
            :func:`pipeline.studies.frames.interactions.by_distance`.
        index: name of the interaction index.
        unit: of the score.
        explained: whose score it is: the true class or the predicted class.
    """
    rows = max(1, -(-len(titles) // 2))
    figure = plt.figure(figsize=(9.6, 3.2 + 2.5 * rows))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.5 * rows, 3.2])[:, 0]
    _draw_videos(above, matrices, titles, f"{index} ({unit})")
    drawn = [g for g in GAMES if g == "class" or any(found[m][g]["videos"] for m in matrices)]
    panels = below.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    for panel, game in zip(panels, drawn, strict=True):
        title = GAMES[game].format(explained=explained)
        _draw_distances(panel, {model: found[model][game] for model in matrices}, title)
    panels[0].set_ylabel(f"mean {index} of a pair ({unit})")
    panels[0].legend(loc="best", handlelength=2.8)
    return figure


def _draw_videos(
    figure: SubFigure, matrices: Mapping[str, Floats], titles: Sequence[str], label: str
) -> None:
    """Two videos a row; each has a panel per model, in colours of one scale."""
    pairs = {model: _pairs_alone(of_model) for model, of_model in matrices.items()}
    sizes = np.abs(np.stack(list(pairs.values())))
    largest = float(np.nanmax(sizes, initial=0)) or 1.0
    of_maps, of_bar = figure.subfigures(1, 2, squeeze=False, width_ratios=[12, 1])[0]
    rows = max(1, -(-len(titles) // 2))
    blocks = of_maps.subfigures(rows, 2, squeeze=False).ravel()
    norm = mpl.colors.Normalize(-largest, largest)
    for video, (title, block) in enumerate(zip(titles, blocks, strict=False)):
        block.suptitle(drawable(textwrap.shorten(title, 52, placeholder="…")), fontsize=9.5)
        panels = block.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
        for panel, (model, of_model) in zip(panels, pairs.items(), strict=True):
            panel.imshow(of_model[video], cmap=DIVERGING, norm=norm)
            panel.grid(visible=False)
            panel.set_title(model_name(model), fontsize=9, weight="normal")
            panel.set_xlabel("position", fontsize=8.5)
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MaxNLocator(4, integer=True))
        panels[0].set_ylabel("position", fontsize=8.5)
    place = of_bar.add_axes((0.05, 0.15, 0.2, 0.7))
    bar = figure.colorbar(mpl.cm.ScalarMappable(norm, DIVERGING), cax=place)
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
