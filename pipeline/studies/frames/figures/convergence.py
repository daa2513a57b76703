"""Figures of approximate values: how close they come to the exact ones, and at what cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.core.plotting import (
    BLUE,
    GREEN,
    GREY,
    MODEL_NAMES,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
)
from pipeline.core.statistics import half_interval
from pipeline.shapley.methods import TITLES
from pipeline.studies.frames.convergence import ALGORITHM_1
from pipeline.studies.frames.summaries import Floats

_LINE_STYLES: tuple[tuple[str, Any, str], ...] = (
    (BLUE, "-", "o"),
    (VERMILION, "--", "s"),
    (GREEN, "-.", "^"),
    (PURPLE, ":", "D"),
    (ORANGE, (0, (5, 1)), "v"),
    (SKY, (0, (3, 1, 1, 1, 1, 1)), "P"),
    ("black", "-", "X"),
    (GREY, "--", "*"),
)


@dataclass(frozen=True)
class ErrorLine:
    """One estimator's error against its number of evaluations."""

    evaluations: NDArray[np.floating]
    """(point,) coalitions evaluated per video"""
    error: Floats
    """(point,) mean absolute error"""
    low: Floats | None = None
    """(point,) lower end of the drawn range"""
    high: Floats | None = None


def draw_approximation(
    budget: NDArray[np.integer],
    measures: Mapping[str, Mapping[str, tuple[Floats, Floats]]],
    *,
    unit: str,
    grouped_by: str = "",
) -> Figure:
    """Agreement of approximate with exact values against the budget m × i (Algorithm 1).

    Args:
        budget: (point,) m × i: subsequences per scale and iteration, times iterations.
        measures: any of ``pearson``, ``error``, ``rank``. Each maps the name of a line to the
            measure and half its bar's length, (point,) each, NaN where the line has no such point.
        unit: of the class score, and so of the error.
        grouped_by: what the lines are, above the legend.
    """
    titles = {
        "pearson": ("correlation", "Pearson's r with exact ESVs"),
        "error": ("error", f"mean absolute error ({unit})"),
        "rank": ("rank correlation", "Kendall's τ with exact ESVs"),
    }
    figure, all_axes = plt.subplots(
        1, len(measures), figsize=(4.1 * len(measures), 3.7), squeeze=False
    )
    for axes, (measure, lines) in zip(all_axes[0], measures.items(), strict=True):
        for (name, (mean, error)), style in zip(lines.items(), _cycle(len(lines)), strict=True):
            known = ~np.isnan(mean)
            reach = np.nan_to_num(error[known])
            axes.errorbar(
                budget[known], mean[known], yerr=reach, ms=5, capsize=2.5, label=name, **style
            )
        axes.set_xscale("log", base=2)
        axes.set(xlabel="budget m × i (subsequences per scale)", title=titles[measure][0])
        axes.set_ylabel(titles[measure][1])
        if measure == "error":
            axes.set_yscale("log")
        else:
            axes.set_ylim(top=1.02)
    all_axes[0][0].legend(title=grouped_by or None, loc="best", handlelength=2.8)
    return figure


def draw_estimators(
    lines: Mapping[str, ErrorLine], *, unit: str, exact_at: int | None = None, title: str = ""
) -> Figure:
    """Error against evaluations of several estimators, both logarithmic.

    Args:
        lines: for each estimator by its name.
        unit: of the class score.
        exact_at: evaluations that the exact values take, 2**n; marked if given.
        title: of the figure.
    """
    figure, axes = plt.subplots(figsize=(6.6, 4.2))
    for (name, line), style in zip(lines.items(), _cycle(len(lines)), strict=True):
        # An error of 0 has no place on a logarithmic axis.
        shown = line.error > 0
        reach = None
        if line.low is not None and line.high is not None:
            below = np.minimum(line.error - line.low, 0.99 * line.error)[shown]
            reach = np.stack([below, (line.high - line.error)[shown]])
        axes.errorbar(
            line.evaluations[shown],
            line.error[shown],
            yerr=reach,
            ms=5.5,
            capsize=2,
            elinewidth=1,
            label=TITLES.get(name, name),
            **style,
        )
    if exact_at is not None:
        axes.axvline(exact_at, color="black", ls=":", lw=1.2)
        axes.annotate(
            f"exact: {exact_at:,}",
            (exact_at, 0.97),
            (-4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right",
            va="top",
            rotation=90,
            fontsize=8.5,
        )
    axes.set(xscale="log", yscale="log", title=title)
    axes.set_xlabel("distinct coalitions used per video")
    axes.set_ylabel(f"mean absolute error of ESVs ({unit})")
    if lines:
        axes.legend(loc="lower left", handlelength=2.8, fontsize="small")
    return figure


def _cycle(count: int) -> list[dict[str, Any]]:
    styles = [_LINE_STYLES[i % len(_LINE_STYLES)] for i in range(count)]
    return [{"color": colour, "ls": ls, "marker": marker} for colour, ls, marker in styles]


def draw_algorithm_1(rows: Sequence[Mapping[str, Any]], unit: str) -> Figure:
    """Agreement of Algorithm 1 with exact values.

    Args:
        rows: of one model, as the stage ``convergence`` writes them; None stands for NaN.
        unit: of the class score.
    """
    of_method = [row for row in rows if row["method"] == ALGORITHM_1]
    iterations = sorted({row["iterations"] for row in of_method})
    budget = sorted({row["m"] * row["iterations"] for row in of_method})
    measures: dict[str, dict[str, tuple[NDArray[Any], NDArray[Any]]]] = {}
    for measure, column in (
        ("pearson", "pearson"),
        ("error", "mean_absolute_error"),
        ("rank", "kendall"),
    ):
        measures[measure] = {}
        for i in iterations:
            mean, error = np.full(len(budget), np.nan), np.full(len(budget), np.nan)
            for row in of_method:
                if row["iterations"] == i:
                    place = budget.index(row["m"] * i)
                    mean[place] = np.nan if row[column] is None else row[column]
                    error[place] = _half_interval(row, column)
            measures[measure][f"{i}"] = (mean, error)
    return draw_approximation(np.array(budget), measures, unit=unit, grouped_by="iterations i")


def draw_methods(model: str, rows: Sequence[Mapping[str, Any]], unit: str) -> Figure:
    """Error of every method against its evaluations; Algorithm 1 with one iteration.

    Args:
        model: the model of the rows.
        rows: as the stage ``convergence`` writes them; None stands for NaN.
        unit: of the class score.
    """
    lines: dict[str, ErrorLine] = {}
    of_one = [row for row in rows if row["method"] != ALGORITHM_1 or row["iterations"] == 1]
    for method in dict.fromkeys(row["method"] for row in of_one):
        of_method = [row for row in of_one if row["method"] == method]
        of_method.sort(key=lambda row: row["evaluations"])
        lines[method] = _error_line(of_method)
    frames = rows[0]["frames"]
    title = f"Error of estimated values, {MODEL_NAMES[model]} with {frames} frames"
    return draw_estimators(lines, unit=unit, exact_at=2**frames, title=title)


def _error_line(rows: Sequence[Mapping[str, Any]]) -> ErrorLine:
    error = np.array([row["mean_absolute_error"] for row in rows])
    reach = np.nan_to_num(np.array([_half_interval(row, "mean_absolute_error") for row in rows]))
    evaluations = np.array([row["evaluations"] for row in rows])
    return ErrorLine(evaluations, error, error - reach, error + reach)


def _half_interval(row: Mapping[str, Any], column: str) -> float:
    """Half the length of the 95 % interval of a mean over repeats."""
    sd, repeats = row[f"{column}_sd"], row["repeats"]
    return float("nan") if sd is None else float(half_interval(sd / np.sqrt(repeats), repeats))
