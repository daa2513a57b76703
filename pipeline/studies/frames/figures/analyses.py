"""Figures of the analyses of frames, from arrays: discarding, sizes, supporting frames, shifts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.core.plotting import (
    BLUE,
    GREEN,
    GREY,
    MODEL_COLOURS,
    MODEL_MARKERS,
    MODEL_NAMES,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
)
from pipeline.studies.frames.shift import ShiftChanges
from pipeline.studies.frames.summaries import Boxes, Floats


@dataclass(frozen=True)
class DiscardLine:
    """One order's curves, means over videos after 0 … n − 1 discarded frames."""

    score: Floats
    """(discarded,) class score of the true class"""
    score_error: Floats
    """(discarded,) standard error over videos; NaN is not drawn"""
    accuracy: Floats | None = None
    """(discarded,) share of videos whose true class is the highest, in [0, 1]"""
    accuracy_error: Floats | None = None


_ASCENDING: dict[str, Any] = {"ls": "-", "marker": "^"}
_DESCENDING: dict[str, Any] = {"ls": "--", "marker": "v"}
_ATTRIBUTIONS = {
    "esv": ("ESV", BLUE),
    "gc": ("GradCam", GREEN),
    "ig": ("Integrated Gradients", PURPLE),
}
ORDER_STYLES: dict[str, dict[str, Any]] = {
    **{
        f"{name}_{direction}": {"label": f"{label}, {direction}", "color": colour, **style}
        for name, (label, colour) in _ATTRIBUTIONS.items()
        for direction, style in (("ascending", _ASCENDING), ("descending", _DESCENDING))
    },
    "random": {"label": "random", "color": GREY, "ls": ":", "marker": "o"},
    "first_to_last": {"label": "first to last", "color": ORANGE, "ls": "-", "marker": ">"},
    "last_to_first": {"label": "last to first", "color": VERMILION, "ls": "--", "marker": "<"},
    "edges_inward": {"label": "edges inward", "color": SKY, "ls": "-", "marker": "D"},
    "centre_outward": {"label": "centre outward", "color": "black", "ls": "--", "marker": "s"},
}
"""How each order is drawn, by its name; the lowest attribution goes first in ascending order."""

DISCARD_GROUPS: dict[str, tuple[str, ...]] = {
    "attribution": ("esv_ascending", "random", "esv_descending"),
    "plain": ("random", "first_to_last", "last_to_first", "edges_inward", "centre_outward"),
    "methods": tuple(f"{a}_{d}" for a in ("esv", "gc", "ig") for d in ("ascending", "descending")),
}
"""Orders of Play Fair's Figs. 3 and 12: (a), (b), (c)."""


def draw_discarding(
    lines: Mapping[str, Mapping[str, DiscardLine]], orders: Sequence[str], *, unit: str
) -> Figure:
    """Class score and accuracy against discarded frames, a column a model (Figs. 3 and 12).

    Args:
        lines: for each model, for each order by its name in ``ORDER_STYLES``.
        orders: which of them are drawn; those that a model does not have are left out.
        unit: of the class score.
    """
    shown = {m: {o: found[o] for o in orders if o in found} for m, found in lines.items()}
    accurate = any(line.accuracy is not None for o in shown.values() for line in o.values())
    n_rows = 2 if accurate else 1
    figure, axes = plt.subplots(
        n_rows,
        len(shown),
        figsize=(4.4 * len(shown), 2.75 * n_rows + 0.75),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for column, (model, of_model) in enumerate(shown.items()):
        axes[0][column].set_title(MODEL_NAMES[model])
        for order, line in of_model.items():
            _draw_order(axes[0][column], order, line.score, line.score_error)
            if line.accuracy is not None:
                error = line.accuracy_error
                error = None if error is None else 100 * error
                _draw_order(axes[1][column], order, 100 * line.accuracy, error)
        axes[-1][column].set_xlabel("frames discarded")
        axes[-1][column].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel(f"class score, true class ({unit})")
    if accurate:
        axes[1][0].set_ylabel("accuracy (%)")
        axes[1][0].set_ylim(bottom=0)
    labelled: dict[str, Any] = {}
    for panel in axes[0]:
        handles, labels = panel.get_legend_handles_labels()
        labelled |= dict(zip(labels, handles, strict=True))
    columns = 3 if len(labelled) != 4 else 4
    # Down the columns: ascending and descending of a method stand one below the other.
    figure.legend(
        labelled.values(),
        labelled.keys(),
        loc="outside lower center",
        ncols=min(len(labelled), columns),
        handlelength=2.8,
    )
    return figure


def _draw_order(axes: Axes, order: str, mean: Floats, error: Floats | None) -> None:
    discarded = np.arange(len(mean))
    axes.plot(discarded, mean, ms=4.5, **ORDER_STYLES[order])
    if error is not None and not np.isnan(error).any():
        colour = ORDER_STYLES[order]["color"]
        reach = 1.96 * error
        axes.fill_between(discarded, mean - reach, mean + reach, color=colour, alpha=0.15, lw=0)


def draw_contributions(found: Mapping[str, Boxes], *, unit: str, what: str) -> Figure:
    """Box plots of marginal contributions by size of coalition (Figs. 6a and 11a).

    Args:
        found: for each model, a box a size.
        unit: of the class score.
        what: names what is in the boxes.
    """
    figure, axes = plt.subplots(
        1, len(found), figsize=(4.6 * len(found), 3.5), sharey=True, squeeze=False
    )
    for panel, (model, boxes) in zip(axes[0], found.items(), strict=True):
        sizes = np.arange(len(boxes.mean))
        panel.axhline(0, color="black", lw=0.8)
        panel.bxp(
            _drawable(boxes),
            positions=sizes,
            widths=0.6,
            showfliers=False,
            showmeans=True,
            patch_artist=True,
            boxprops={"facecolor": MODEL_COLOURS[model], "alpha": 0.55, "edgecolor": "black"},
            medianprops={"color": "black", "lw": 1.8},
            meanprops={"marker": "D", "mfc": "white", "mec": "black", "ms": 4.5},
        )
        panel.set_xticks(sizes, [str(s) for s in sizes], fontsize=10 if len(sizes) < 14 else 8)
        panel.set_title(MODEL_NAMES[model])
        panel.set_xlabel("frames in the coalition that the frame joins")
        panel.grid(visible=False, axis="x")
    axes[0][0].set_ylabel(f"{what}\n({unit})")
    figure.supxlabel(
        "line: median, diamond: mean, whiskers: 1.5 interquartile ranges at most", fontsize=8.5
    )
    return figure


def _drawable(boxes: Boxes) -> list[dict[str, Any]]:
    keys = {
        "med": boxes.median,
        "mean": boxes.mean,
        "q1": boxes.lower_quartile,
        "q3": boxes.upper_quartile,
        "whislo": boxes.lower_whisker,
        "whishi": boxes.upper_whisker,
    }
    return [
        {key: column[row] for key, column in keys.items()} | {"fliers": []}
        for row in range(len(boxes.mean))
    ]


def draw_supporting(
    frames: Sequence[int] | NDArray[np.integer],
    shares: Mapping[str, tuple[Floats, Floats]],
) -> Figure:
    """Per cent of supporting frames against the number of frames (Figs. 6b and 11b).

    Args:
        frames: (count,) numbers of frames given to the model.
        shares: for each model (count,) per cent and its standard error.
    """
    figure, axes = plt.subplots(figsize=(5.2, 3.6))
    for model, (share, error) in shares.items():
        _errorbar(axes, model, frames, share, error)
    axes.set(xlabel="frames given to the model", ylabel="supporting frames, ESV > 0 (%)")
    axes.set_ylim(0, 102)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("mean over videos and its 95 % interval", fontsize=10, weight="normal")
    axes.legend(loc="lower left", handlelength=2.8)
    return figure


def _errorbar(
    axes: Axes,
    model: str,
    x: Sequence[int] | NDArray[Any],
    mean: Floats,
    error: Floats,
    **changed: Any,
) -> None:
    style = {
        "color": MODEL_COLOURS[model],
        "marker": MODEL_MARKERS[model],
        "ls": "-" if model == "trn" else "--",
        "label": MODEL_NAMES[model],
    }
    axes.errorbar(x, mean, yerr=1.96 * error, ms=5, capsize=3, elinewidth=1.2, **style | changed)


def draw_shifts(found: Mapping[str, ShiftChanges], *, unit: str) -> Figure:
    """Change of value against the shift of the frame (Figs. 6c and 11c).

    On the left in the unit of the class score: mean, its 95 % interval and the interquartile range.
    On the right relative to the mean difference of two frames of a video.

    Args:
        found: for each model.
        unit: of the class score.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.7))
    for side, (model, changes) in zip((-0.06, 0.06), found.items(), strict=False):
        x = changes.distance + side
        boxes = changes.absolute
        # Pale and wide: the range of single frames, not the error of their mean.
        left.vlines(
            x,
            boxes.lower_quartile,
            boxes.upper_quartile,
            color=MODEL_COLOURS[model],
            alpha=0.3,
            lw=6,
        )
        _errorbar(left, model, x, boxes.mean, changes.error)
        relative_error = changes.error / changes.spread
        _errorbar(right, model, x, changes.relative, relative_error)
    right.axhline(1, color=GREY, ls=":", lw=1.4, label="any other frame of the video")
    left.set_title(
        "mean, its 95 % interval,\nand the middle half of the frames (pale)", fontsize=10
    )
    left.set_ylabel(f"change of ESV, |Δφ| ({unit})")
    right.set_title("relative to the mean difference\nof two frames of a video", fontsize=10)
    right.set_ylabel(r"mean |Δφ| / mean $|\varphi_i - \varphi_j|$")
    for axes in (left, right):
        axes.set_xlabel("shift |k| (frames of the feature file)")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(loc="upper left")
    right.margins(y=0.2)
    right.legend(loc="best")
    return figure
