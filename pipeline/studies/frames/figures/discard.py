"""Draw the class score that is left as frames are discarded (Figs. 3 and 12)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.core.plotting import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    model_name,
)
from pipeline.studies.frames.discard import MEASURES
from pipeline.studies.frames.summaries import Floats


@dataclass(frozen=True)
class DiscardLine:
    """One order's curves, means over videos after 0 … n − 1 discarded frames."""

    score: Floats
    """(discarded,) class score of the true class"""
    score_error: Floats
    """(discarded,) standard error over videos; not drawn if it holds NaN"""
    accuracy: Floats | None = None
    """(discarded,) share of videos whose true class is the highest, in [0, 1]"""
    accuracy_error: Floats | None = None


_ASCENDING: dict[str, Any] = {"ls": "-", "marker": "^"}
_DESCENDING: dict[str, Any] = {"ls": "--", "marker": "v"}
_ATTRIBUTIONS = {
    "esv": ("ESV", BLUE),
    "gc": ("GradCAM", GREEN),
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
"""Style of each order, by its name; in ascending order the lowest attribution goes first."""

DISCARD_GROUPS: dict[str, tuple[str, ...]] = {
    "attribution": ("esv_ascending", "random", "esv_descending"),
    "plain": ("random", "first_to_last", "last_to_first", "edges_inward", "centre_outward"),
    "methods": tuple(f"{a}_{d}" for a in ("esv", "gc", "ig") for d in ("ascending", "descending")),
}
"""Orders of Play Fair's Figs. 3 and 12: (a), (b), (c)."""


def draw_discard(
    lines: Mapping[str, Mapping[str, DiscardLine]],
    orders: Sequence[str],
    *,
    unit: str,
    explained: str = "true class",
) -> Figure:
    """Class score and accuracy against discarded frames, one column per model (Figs. 3 and 12).

    Args:
        lines: for each model, for each order by its name in ``ORDER_STYLES``.
        orders: which of them are drawn; those that a model lacks are left out.
        unit: of the class score.
        explained: whose score it is: the true class or the predicted class.
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
        axes[0][column].set_title(model_name(model))
        for order, line in of_model.items():
            _draw_order(axes[0][column], order, line.score, line.score_error)
            if line.accuracy is not None:
                error = line.accuracy_error
                error = None if error is None else 100 * error
                _draw_order(axes[1][column], order, 100 * line.accuracy, error)
        axes[-1][column].set_xlabel("frames discarded")
        axes[-1][column].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel(f"score of the {explained} ({unit})")
    if accurate:
        is_true = explained == "true class"
        axes[1][0].set_ylabel("accuracy (%)" if is_true else "predictions that stay (%)")
        axes[1][0].set_ylim(bottom=0)
    _add_legend(figure, axes[0])
    return figure


def _add_legend(figure: Figure, row: Iterable[Axes]) -> None:
    """One legend for all panels, below them."""
    labelled: dict[str, Any] = {}
    for panel in row:
        handles, labels = panel.get_legend_handles_labels()
        labelled |= dict(zip(labels, handles, strict=True))
    columns = 3 if len(labelled) != 4 else 4
    # Legends fill columns: ascending and descending of a method are one below the other.
    figure.legend(
        labelled.values(),
        labelled.keys(),
        loc="outside lower center",
        ncols=min(len(labelled), columns),
        handlelength=2.8,
    )


def _draw_order(axes: Axes, order: str, mean: Floats, error: Floats | None) -> None:
    discarded = np.arange(len(mean))
    axes.plot(discarded, mean, ms=4.5, **ORDER_STYLES[order])
    if error is not None and not np.isnan(error).any():
        colour = ORDER_STYLES[order]["color"]
        reach = 1.96 * error
        axes.fill_between(discarded, mean - reach, mean + reach, color=colour, alpha=0.15, lw=0)


def lines_of(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[str, DiscardLine]]:
    """The curves of each model and order.

    Args:
        rows: of the table that the stage ``discard`` writes, in the order of discarded frames.
    """
    columns: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        of_order = columns.setdefault(row["model"], {}).setdefault(row["order"], {})
        for name in MEASURES:
            of_order.setdefault(name, []).append(float(row[name] or "nan"))
    return {
        model: {order: _line(of_order) for order, of_order in orders.items()}
        for model, orders in columns.items()
    }


def _line(columns: Mapping[str, Sequence[float]]) -> DiscardLine:
    score, score_error, accuracy, accuracy_error = (np.array(columns[name]) for name in MEASURES)
    if np.isnan(accuracy).any():
        return DiscardLine(score, score_error)
    return DiscardLine(score, score_error, accuracy, accuracy_error)
