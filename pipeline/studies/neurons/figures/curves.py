"""Figures of metrics while filters are removed (Figs. 1 to 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.core.plotting import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from pipeline.core.statistics import half_interval

Rows = Sequence[Mapping[str, Any]]

STYLES: dict[str, dict[str, Any]] = {
    "shapley": {"label": "Shapley value", "color": BLUE, "marker": "o"},
    "shapley of probabilities": {
        "label": "Shapley value, probabilities",
        "color": SKY,
        "marker": "D",
    },
    "shapley of the subgroup": {
        "label": "Shapley value, conflicting only",
        "color": SKY,
        "marker": "D",
    },
    "shapley of accuracy": {"label": "Shapley value, accuracy", "color": PURPLE, "marker": "P"},
    "conductance": {"label": "conductance", "color": VERMILION, "marker": "s", "ls": "--"},
    "leave one out": {"label": "leave one out", "color": GREEN, "marker": "^", "ls": "-."},
    "response": {"label": "response norm", "color": ORANGE, "marker": "v", "ls": "--"},
    "weights": {"label": "weight norm", "color": PURPLE, "marker": "P", "ls": "-."},
    "random": {"label": "random", "color": GREY, "marker": "x", "ls": ":"},
}
"""How each order of removal is drawn, by its name."""

ABOVE: Any = {"loc": "outside upper center", "ncols": 4, "handlelength": 3}
"""Options of the legend of orders of removal."""

MANY = 10_000
"""Assumed number of images behind a standard error: so many that its interval is a normal one."""


def line(rows: Rows, of: str, method: str, metric: str) -> tuple[Any, Any, Any]:
    """Numbers of removed filters, values in %, and half of their 95 % intervals in %."""
    chosen = [
        row
        for row in rows
        if row["of"] == of and row["method"] == method and row["metric"] == metric
    ]
    removed = np.array([row["removed"] for row in chosen])
    values = 100 * np.array([row["value"] for row in chosen])
    errors = np.array([row["standard_error"] or 0.0 for row in chosen], dtype=float)
    return removed, values, 100 * half_interval(errors, MANY)


def methods_of(rows: Rows, of: str) -> list[str]:
    """Orders of removal that have curves."""
    return list(dict.fromkeys(row["method"] for row in rows if row["of"] == of))


def draw_line(axes: Axes, found: tuple[Any, Any, Any], **style: Any) -> Any:
    """One curve with its band; few of its points have a marker."""
    removed, values, reach = found
    every = max(1, len(removed) // 8)
    (drawn,) = axes.plot(removed, values, markevery=every, ms=5, lw=1.6, **style)
    axes.fill_between(removed, values - reach, values + reach, color=style["color"], alpha=0.12)
    return drawn


def draw_panels(
    rows: Rows,
    panels: Sequence[tuple[str, str, str]],
    *,
    columns: int,
    label: str = "accuracy (%)",
) -> Figure:
    """Panels with one curve per order of removal.

    Args:
        rows: rows of the table of curves.
        panels: for each panel, the column ``of`` of its curves, the metric and the title.
        columns: number of panels in a row.
        label: label of the vertical axes.
    """
    n_rows = -(-len(panels) // columns)
    figure, all_axes = plt.subplots(
        n_rows,
        columns,
        figsize=(3.7 * columns, 2.9 * n_rows + 0.8),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    shown: dict[str, Any] = {}
    for axes, (of, metric, title) in zip(all_axes.flat, panels, strict=False):
        for method in methods_of(rows, of):
            style = STYLES[method]
            shown[style["label"]] = draw_line(axes, line(rows, of, method, metric), **style)
        axes.set(title=title, ylim=(-3, 103))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in all_axes.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in all_axes[-2, len(panels) - columns * (n_rows - 1) :] if n_rows > 1 else []:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("filters removed")
    for axes in all_axes[-1]:
        axes.set_xlabel("filters removed")
    for axes in all_axes[:, 0]:
        axes.set_ylabel(label)
    figure.legend(shown.values(), shown, **{**ABOVE, "ncols": 3})
    return figure


def draw_overall(content: Mapping[str, Any]) -> Figure:
    """Accuracy without the filters that matter most, and which layers these are in (Fig. 1)."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.2, 4.4), gridspec_kw={"width_ratios": [1.5, 1]}
    )
    draw_removal(left, content)
    figure.legend(*left.get_legend_handles_labels(), **ABOVE)
    draw_layers(right, content)
    return figure


def draw_removal(axes: Axes, content: Mapping[str, Any]) -> None:
    """Accuracy while filters are removed, one curve per order of removal, and chance level."""
    rows = content["overall"]
    for method in methods_of(rows, "accuracy"):
        draw_line(axes, line(rows, "accuracy", method, "accuracy"), **STYLES[method])
    axes.axhline(
        100 / len(content["classes"]), color="black", lw=0.8, ls=(0, (1, 2)), label="chance"
    )
    axes.set(
        title=f"filters removed one by one ({content['filters']} in all)",
        xlabel="filters removed",
        ylabel=f"accuracy on {content['images']} held-out images (%)",
        ylim=(-3, 103),
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_layers(axes: Axes, content: Mapping[str, Any]) -> None:
    """Which layers the filters of largest values are in, for accuracy and for single classes."""
    layers = content["layers"]
    kinds = [("for accuracy", BLUE, "", layers)]
    if "class_layers" in content:
        kinds.append(("for a class (mean)", ORANGE, "//", content["class_layers"]))
    width = 0.75 / len(kinds)
    for number, (label, colour, hatch, counted) in enumerate(kinds):
        places = np.arange(len(layers)) + (number - (len(kinds) - 1) / 2) * width
        share = [100 * layer["top"] / layer["filters"] for layer in counted]
        axes.bar(places, share, width, color=colour, hatch=hatch, edgecolor="white", label=label)
    names = [f"{layer['layer']}\n({layer['filters']})" for layer in layers]
    many = len(names) >= 9
    axes.set_xticks(np.arange(len(names)), names, rotation=90 if many else 0, fontsize=8.5)
    axes.set(
        title=f"layers of the {content['top']} largest values",
        xlabel="convolution (number of filters)",
        ylabel="share of the layer's filters (%)",
    )
    axes.grid(visible=False, axis="x")
    if len(kinds) > 1:
        axes.legend(fontsize=8)


def draw_classes(content: Mapping[str, Any]) -> Figure:
    """Recall of some classes, and accuracy, without filters that matter for the class (Fig. 2)."""
    rows = content["of_classes"]
    classes = list(dict.fromkeys(row["of"] for row in rows))
    panels = [(name, "recall", f"recall of class {name}") for name in classes]
    panels += [(name, "accuracy", f"accuracy without filters of {name}") for name in classes]
    return draw_panels(rows, panels, columns=len(classes), label="share of held-out images (%)")


def draw_repair(content: Mapping[str, Any]) -> Figure:
    """Accuracy of each subgroup while filters of negative value are removed (Fig. 3b)."""
    titles = {
        "conflicting": "conflicting tints",
        "aligned": "aligned tints",
        "both": "both subgroups",
    }
    panels = [("tinted", metric, title) for metric, title in titles.items()]
    return draw_panels(content["curves"], panels, columns=3)


def draw_vulnerable(content: Mapping[str, Any]) -> Figure:
    """Success of attacks and accuracy while filters are removed (Fig. 3c)."""
    panels = [
        ("attacked", "success, made with plain", "attack succeeds"),
        ("attacked", "right, made with plain", "right despite the attack"),
        ("attacked", "clean", "right without an attack"),
        ("attacked", "success, made with foreign", "foreign attack succeeds"),
        ("attacked", "right, made with foreign", "right despite a foreign attack"),
    ]
    return draw_panels(content["curves"], panels, columns=3, label="share of held-out images (%)")
