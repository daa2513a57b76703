"""Draw mean values by position, and whether the frame of highest value shows the action."""

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.core.plotting import model_name, model_style


def draw_summary(
    values: Mapping[str, NDArray[np.floating]],
    inside_action: Mapping[str, Mapping[str, float]],
    *,
    unit: str = "probability",
    explained: str = "true class",
) -> Figure:
    """Mean values by position, and whether the frame of highest value shows the action.

    Args:
        values: for each model (video, frame) ESVs of the true class.
        inside_action: for each model ``inside``, ``chance`` and ``standard_error`` of the frame of
            highest value, as shares of videos; empty if action intervals are unknown.
        unit: of the class score.
        explained: whose values these are: the true class or the predicted class.
    """
    widths = [1.7, 1.0] if inside_action else [1.0]
    figure, axes = plt.subplots(
        1,
        len(widths),
        figsize=(5.9 * sum(widths) / widths[0], 3.7),
        width_ratios=widths,
        squeeze=False,
    )
    _draw_positions(axes[0][0], values, unit, explained)
    if inside_action:
        _draw_action(axes[0][1], inside_action)
    return figure


def _draw_positions(
    axes: Axes, values: Mapping[str, NDArray[np.floating]], unit: str, explained: str
) -> None:
    shifts = (-0.19, 0.19) if len(values) > 1 else (0.0,)
    for shift, (model, esv) in zip(shifts, values.items(), strict=True):
        error = 1.96 * esv.std(axis=0, ddof=1) / np.sqrt(len(esv)) if len(esv) > 1 else None
        positions = np.arange(esv.shape[1])
        axes.bar(
            positions + shift,
            esv.mean(axis=0),
            yerr=error,
            width=0.36,
            color=model_style(model)["color"],
            error_kw={"lw": 1.2, "ecolor": "#333333"},
            label=f"{model_name(model)}, {len(esv)} videos",
        )
        axes.set_xticks(positions)
    axes.axhline(0, color="black", lw=0.8)
    axes.set(
        xlabel="position of the frame in the video (0: first)",
        ylabel=f"mean ESV, {explained} ({unit})",
    )
    axes.set_title("Mean value of a frame by its position\n(with 95 % intervals)", fontsize=10)
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
            color=model_style(model)["color"],
            error_kw={"lw": 1.2, "ecolor": "#333333"},
        )
        axes.annotate(f"{inside:.0f} %", (x, 4), ha="center", weight="bold", color="white")
        label = f"chance ({chance:.0f} %)" if x == 0 else None
        axes.plot([x - 0.42, x + 0.42], [chance, chance], color="black", ls="--", label=label)
    axes.set_xticks(range(len(shares)), [model_name(model) for model in shares])
    axes.set(ylabel="videos (%)", ylim=(0, 105), xlim=(-0.6, len(shares) - 0.4))
    axes.set_title("The frame of highest ESV\nlies inside the action", fontsize=10)
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper center")
