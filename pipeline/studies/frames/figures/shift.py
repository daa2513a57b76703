"""Draw the change of value against the shift of the frame (Figs. 6c and 11c)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.core.plotting import GREY, MODEL_COLOURS
from pipeline.studies.frames.figures.error_bars import draw_means
from pipeline.studies.frames.summaries import Floats

DRAWN = ("shift", "mean", "standard_error", "lower_quartile", "upper_quartile", "relative")


def draw_shift(found: Mapping[str, Mapping[str, Any]], *, unit: str) -> Figure:
    """Change of value against the shift of the frame (Figs. 6c and 11c).

    On the left in the unit of the class score: mean, its 95 % interval and the interquartile range.
    On the right relative to the mean difference of two frames of a video.

    Args:
        found: for each model what the stage ``shift`` writes: ``spread``, and ``by_shift``, one row
            per distance. None stands for NaN.
        unit: of the class score.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.7))
    for side, (model, changes) in zip((-0.06, 0.06), found.items(), strict=False):
        of_rows = {name: _column(changes["by_shift"], name) for name in DRAWN}
        x = of_rows["shift"] + side
        # Pale and wide: the range of single frames, as opposed to the error of their mean.
        left.vlines(
            x,
            of_rows["lower_quartile"],
            of_rows["upper_quartile"],
            color=MODEL_COLOURS[model],
            alpha=0.3,
            lw=6,
        )
        draw_means(left, model, x, of_rows["mean"], of_rows["standard_error"])
        spread = np.nan if changes["spread"] is None else changes["spread"]
        draw_means(right, model, x, of_rows["relative"], of_rows["standard_error"] / spread)
    right.axhline(1, color=GREY, ls=":", lw=1.4, label="two frames of a video")
    left.set_title("mean with its 95 % interval;\npale: the middle half of the frames", fontsize=10)
    left.set_ylabel(f"change of ESV, |Δφ| ({unit})")
    right.set_title("relative to the mean difference\nbetween two frames of a video", fontsize=10)
    right.set_ylabel(r"mean |Δφ| / mean $|\varphi_i - \varphi_j|$")
    for axes in (left, right):
        axes.set_xlabel("shift |k| (rows of the feature file)")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(loc="upper left")
    right.margins(y=0.2)
    right.legend(loc="best")
    return figure


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=np.float64)
