"""Draw patterns in the values of all videos.

Marginal contributions by size of coalition (Figs. 6a and 11a); positions of high value (Figs. 13
and 14); which frames of misclassified videos support the true class.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.core.plotting import DIVERGING, GREY, MODEL_COLOURS, MODEL_MARKERS, MODEL_NAMES
from pipeline.studies.frames.confusions import ConfusionSummary
from pipeline.studies.frames.summaries import Boxes, Floats, Ints

BOX_COLUMNS = (
    "mean",
    "lower_whisker",
    "lower_quartile",
    "median",
    "upper_quartile",
    "upper_whisker",
    "outliers",
)


def draw_contributions(found: Mapping[str, Boxes], *, unit: str, what: str) -> Figure:
    """Box plots of marginal contributions by size of coalition (Figs. 6a and 11a).

    Args:
        found: for each model, one box per size.
        unit: of the class score.
        what: names the quantity in the boxes.
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


def draw_position_maps(
    maps: Mapping[str, Floats],
    rows: Sequence[tuple[int, str]],
    counts: Ints,
    *,
    title: str = "",
) -> Figure:
    """Heat maps of the percentage of videos with φ_i > φ_j, models side by side (Figs. 13 and 14).

    Args:
        maps: for each model (class, n, n) per cent.
        rows: number and name of each class that is drawn.
        counts: (class,) numbers of videos.
        title: of the figure.
    """
    # Two classes per row; each class has one panel per model.
    per_row = min(2, max(1, len(rows)))
    n_rows = max(1, -(-len(rows) // per_row))
    width, bar_width = 2.35 * per_row * len(maps), 0.9
    figure = plt.figure(figsize=(width + bar_width, 3.05 * n_rows + 0.4 * bool(title)))
    of_maps, of_bar = figure.subfigures(1, 2, squeeze=False, width_ratios=[width, bar_width])[0]
    blocks = of_maps.subfigures(n_rows, per_row, squeeze=False, wspace=0.04, hspace=0.04)
    per_cent = mpl.colors.Normalize(0, 100)
    colours = mpl.colormaps[DIVERGING].with_extremes(bad="#B0B0B0")
    for (number, name), block in zip(rows, blocks.ravel(), strict=False):
        # No line break inside the brackets.
        videos = "video" if counts[number] == 1 else "videos"
        lines = textwrap.wrap(f"{name} ({counts[number]}\u00a0{videos})", 21 * len(maps))
        block.suptitle("\n".join(lines), fontsize=9.5, fontweight="bold")
        axes = block.subplots(1, len(maps), sharey=True, squeeze=False)[0]
        for panel, (model, of_model) in zip(axes, maps.items(), strict=True):
            n = of_model.shape[1]
            panel.imshow(of_model[number], cmap=colours, norm=per_cent)
            panel.grid(visible=False)
            step = 1 if n <= 8 else 2 if n <= 12 else 3
            ticks = np.arange(0, n, step)
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_ticks(ticks, [str(t) for t in ticks], fontsize=8)
            panel.set_title(MODEL_NAMES[model], fontsize=9, weight="normal")
            panel.set_xlabel("position j", fontsize=8.5)
        axes[0].set_ylabel("position i", fontsize=8.5)
    place = of_bar.add_axes((0.05, 0.15, 0.2, 0.65))
    bar = figure.colorbar(mpl.cm.ScalarMappable(per_cent, colours), cax=place)
    bar.set_label(r"videos with $\varphi_i > \varphi_j$ (%)")
    place.grid(visible=False)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def draw_confusions(found: Mapping[str, ConfusionSummary], *, unit: str) -> Figure:
    """Misclassified videos: δ_i by position, and which frames support the true class.

    Args:
        found: for each model; a model without misclassified videos is left out.
        unit: of the class score.
    """
    shown = {model: summary for model, summary in found.items() if summary.videos}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8))
    width = 0.76 / max(1, len(shown))
    for number, (model, summary) in enumerate(shown.items()):
        shift = (number - (len(shown) - 1) / 2) * (width + 0.02)
        positions = np.arange(len(summary.by_position))
        style: dict[str, Any] = {
            "color": MODEL_COLOURS[model],
            "label": f"{MODEL_NAMES[model]}, {summary.videos} videos",
        }
        left.bar(
            positions + shift,
            summary.by_position,
            yerr=_reach(summary.by_position_error),
            width=width,
            error_kw={"lw": 1.2, "ecolor": "#333333"},
            **style,
        )
        right.errorbar(
            positions + shift / 4,
            summary.for_true_by_position,
            yerr=_reach(summary.for_true_by_position_error),
            marker=MODEL_MARKERS[model],
            ms=5,
            capsize=3,
            elinewidth=1.2,
            ls="-" if model == "trn" else "--",
            **style | {"label": f"{MODEL_NAMES[model]}, all frames: {summary.for_true:.0f} %"},
        )
    left.axhline(0, color="black", lw=0.8)
    left.set_ylabel(rf"mean $\delta_i = \varphi_i^{{gt}} - \varphi_i^{{pt}}$ ({unit})")
    left.set_title(
        "Wrongly classified videos: δ > 0 supports\nthe true class, δ < 0 the predicted one"
    )
    right.set_ylabel(r"videos with $\delta_i > 0$ (%)")
    right.set_ylim(0, 100)
    right.set_title("Frames that support the true class\nof a wrongly classified video")
    for axes in (left, right):
        axes.set_xlabel("position of the frame in the video")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.title.set_fontsize(10)
        if not shown:
            text = "no video is wrongly classified"
            axes.text(0.5, 0.4, text, ha="center", transform=axes.transAxes)
            axes.set(xticks=[], yticks=[])
    if shown:
        right.axhline(50, color=GREY, ls=":", lw=1.4)
        left.margins(y=0.25)
        left.legend(loc="best")
        right.legend(loc="best")
    return figure


def _reach(error: Floats) -> Floats | None:
    return None if np.isnan(error).any() else 1.96 * error


def boxes_of(rows: Sequence[Mapping[str, Any]]) -> Boxes:
    """Boxes of the sizes of coalitions.

    Args:
        rows: one row per size, as the stage ``patterns`` writes them; None stands for NaN.
    """
    columns = {
        name: np.array([row[name] for row in rows], dtype=np.float64) for name in BOX_COLUMNS
    }
    counts = np.array([row["contributions"] for row in rows], dtype=np.int64)
    return Boxes(count=counts, **columns)


def summary_of(written: Mapping[str, Any]) -> ConfusionSummary:
    """The summary that the stage ``patterns`` writes; None stands for NaN."""
    numbers: dict[str, Any] = {
        name: np.array(value, dtype=np.float64) if isinstance(value, list) else value
        for name, value in written.items()
    }
    known: dict[str, Any] = {k: np.nan if v is None else v for k, v in numbers.items()}
    return ConfusionSummary(**known)
