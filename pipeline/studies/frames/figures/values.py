"""Figures of the frames study, from arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipeline.core.plotting import (
    DISTRACTS,
    GREEN,
    GREY,
    MODEL_COLOURS,
    MODEL_MARKERS,
    MODEL_NAMES,
    SUPPORTS,
)

MOST_NUMBERED = 20
"""Bars up to which each has its number written at its end."""


@dataclass(frozen=True)
class ExplainedClass:
    """Values of a video's frames for one class of one model."""

    title: str
    """What the class is and what the model gives it, in words."""
    values: NDArray[np.floating]
    """(frame,) Element Shapley Values"""


def draw_video(
    title: str,
    pictures: Sequence[NDArray[np.uint8]] | None,
    frame_numbers: NDArray[np.integer],
    rows: Sequence[ExplainedClass],
    *,
    inside_action: NDArray[np.bool_] | None = None,
    unit: str = "probability",
    frames_are: str = "numbers in the video file",
) -> Figure:
    """A video's frames with bars under them: one row of bars a model and class.

    Args:
        title: names the video.
        pictures: (height, width, 3) uint8 of each frame; None if there is no video.
        frame_numbers: (frame,) numbers of the frames.
        rows: what is drawn below the frames, all on one scale.
        inside_action: (frame,) whether the frame lies inside the action; marked where known.
        unit: of the class score.
        frames_are: what ``frame_numbers`` are.
    """
    n = len(frame_numbers)
    width = max(6.0, min(16.0, 1.15 * n + 1.2))
    # A picture is as high as it is wide, whatever their number.
    heights = ([(width - 0.9) / n] if pictures is not None else []) + [1.35] * len(rows)
    figure = plt.figure(figsize=(width, sum(heights) + 1.0))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    if pictures is not None:
        _draw_pictures(figure.add_subplot(grid[0]), pictures, inside_action)
    limits = _common_limits([row.values for row in rows])
    for index, row in enumerate(rows, start=len(heights) - len(rows)):
        axes = figure.add_subplot(grid[index])
        is_last = index == len(heights) - 1
        _draw_bars(axes, row, frame_numbers, limits, unit, f"frames ({frames_are})" * is_last)
    return figure


def _common_limits(values: Sequence[NDArray[np.floating]]) -> tuple[float, float]:
    """Limits that hold all bars and the numbers at their ends."""
    lowest = min(0.0, *(float(v.min()) for v in values))
    highest = max(0.0, *(float(v.max()) for v in values))
    room = 0.3 * ((highest - lowest) or 1.0)
    return (lowest - room if lowest < 0 else 0.0), highest + room


def _draw_pictures(
    axes: Axes, pictures: Sequence[NDArray[np.uint8]], inside_action: NDArray[np.bool_] | None
) -> None:
    half = 0.47
    for i, picture in enumerate(pictures):
        axes.imshow(picture, extent=(i - half, i + half, -half, half), aspect="auto")
        if inside_action is not None and inside_action[i]:
            corner, side = (i - half, -half), 2 * half
            axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=GREEN, lw=3))
    axes.set(xlim=(-0.5, len(pictures) - 0.5), ylim=(-0.5, 0.5))
    axes.axis("off")
    if inside_action is not None and inside_action.any():
        axes.set_title("framed in green: inside the action", fontsize=9, weight="normal")


def _draw_bars(
    axes: Axes,
    row: ExplainedClass,
    frame_numbers: NDArray[np.integer],
    limits: tuple[float, float],
    unit: str,
    label: str,
) -> None:
    n = len(row.values)
    colours = [SUPPORTS if value > 0 else DISTRACTS for value in row.values]
    axes.bar(range(n), row.values, color=colours, width=0.7)
    axes.axhline(0, color="black", lw=0.8)
    if n <= MOST_NUMBERED:
        for i, value in enumerate(row.values):
            offset, place = (3, "bottom") if value >= 0 else (-3, "top")
            axes.annotate(
                f"{value:+.2f}".replace("-", "\N{MINUS SIGN}"),
                (i, value),
                (0, offset),
                textcoords="offset points",
                ha="center",
                va=place,
                fontsize=8,
            )
    axes.set(xlim=(-0.5, n - 0.5), ylim=limits)
    axes.set_title(row.title, fontsize=10, weight="normal")
    axes.set_ylabel(f"ESV\n({unit})", fontsize=9)
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(n), [str(number) for number in frame_numbers] if label else [])
    axes.set_xlabel(label)


def draw_accuracy(accuracy: Mapping[str, Any]) -> Figure:
    """Accuracy against the number of frames (Play Fair, Fig. 10), and on pairs of classes.

    Args:
        accuracy: what the stage ``accuracy`` writes.
    """
    frames = accuracy["frames"]
    chance = accuracy["chance"]
    panels = [
        ("top1", "all clips"),
        ("within_pairs", "pairs that only order tells apart:\nwhich of the two?"),
        ("top1_rest", "classes without counterpart"),
    ]
    panels = [(key, title) for key, title in panels if key in accuracy["trn"]]
    figure, all_axes = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels), 3.6), sharey=True, squeeze=False
    )
    for axes, (key, title) in zip(all_axes[0], panels, strict=True):
        for model in ("trn", "tsn"):
            values = np.array(accuracy[model][key]) * 100
            axes.plot(
                frames,
                values,
                color=MODEL_COLOURS[model],
                marker=MODEL_MARKERS[model],
                ms=5,
                label=MODEL_NAMES[model],
            )
        axes.axhline(100 * chance[key], color=GREY, ls="--", lw=1.2, label="chance")
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="frames given to the model", ylim=(0, 102))
        axes.set_xticks([n for n in frames if n % 2 == 0 or len(frames) < 6])
    all_axes[0][0].set_ylabel("validation accuracy (%)")
    all_axes[0][0].legend(loc="center right", bbox_to_anchor=(1.0, 0.3))
    return figure


def draw_summary(
    values: Mapping[str, NDArray[np.floating]],
    inside_action: Mapping[str, Mapping[str, float]],
    *,
    unit: str = "probability",
) -> Figure:
    """What a frame is worth by its position, and whether the best one shows the action.

    Args:
        values: for each model (video, frame) ESVs of the true class.
        inside_action: for each model ``inside``, ``chance`` and ``standard_error`` of the frame of
            highest value, as shares of videos; empty where nobody knows when the action happens.
        unit: of the class score.
    """
    widths = [1.7, 1.0] if inside_action else [1.0]
    figure, axes = plt.subplots(
        1,
        len(widths),
        figsize=(5.9 * sum(widths) / widths[0], 3.7),
        width_ratios=widths,
        squeeze=False,
    )
    _draw_positions(axes[0][0], values, unit)
    if inside_action:
        _draw_action(axes[0][1], inside_action)
    return figure


def _draw_positions(axes: Axes, values: Mapping[str, NDArray[np.floating]], unit: str) -> None:
    for shift, (model, esv) in zip((-0.19, 0.19), values.items(), strict=True):
        error = 1.96 * esv.std(axis=0, ddof=1) / np.sqrt(len(esv)) if len(esv) > 1 else None
        positions = np.arange(1, esv.shape[1] + 1)
        axes.bar(
            positions + shift,
            esv.mean(axis=0),
            yerr=error,
            width=0.36,
            color=MODEL_COLOURS[model],
            error_kw={"lw": 1.2, "ecolor": "#333333"},
            label=f"{MODEL_NAMES[model]}, {len(esv)} videos",
        )
        axes.set_xticks(positions)
    axes.axhline(0, color="black", lw=0.8)
    axes.set(xlabel="position of the frame in the video", ylabel=f"mean ESV, true class ({unit})")
    axes.set_title(
        "What a frame is worth, by its position\n(mean and its 95 % interval)", fontsize=10
    )
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.25)
    axes.legend(ncols=2, loc="upper center")


def _draw_action(axes: Axes, shares: Mapping[str, Mapping[str, float]]) -> None:
    for x, (model, share) in enumerate(shares.items()):
        inside, chance = 100 * share["inside"], 100 * share["chance"]
        axes.bar(
            x,
            inside,
            yerr=196 * share["standard_error"],
            width=0.6,
            color=MODEL_COLOURS[model],
            error_kw={"lw": 1.2, "ecolor": "#333333"},
        )
        axes.annotate(f"{inside:.0f} %", (x, 4), ha="center", weight="bold", color="white")
        label = f"chance ({chance:.0f} %)" if x == 0 else None
        axes.plot([x - 0.42, x + 0.42], [chance, chance], color="black", ls="--", label=label)
    axes.set_xticks(range(len(shares)), [MODEL_NAMES[model] for model in shares])
    axes.set(ylabel="videos (%)", ylim=(0, 105), xlim=(-0.6, len(shares) - 0.4))
    axes.set_title("The frame of highest ESV\nlies inside the action", fontsize=10)
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper center")
