"""Figures of networks for tables."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.core.digits import significant
from pipeline.core.plotting import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from pipeline.core.statistics import MARGIN
from pipeline.data.tables import INTERACTING
from pipeline.studies.shapnets.trained import LEARNED_PAIRS

Rows = Sequence[Mapping[str, Any]]

NAMES = {
    "synthetic": "synthetic, no interactions",
    "interactions": "synthetic, interactions",
    "breast_cancer": "Breast Cancer",
    "yeast": "Yeast",
    "own": "your table",
}
MODELS = {
    "deep": ("Deep ShapNet", BLUE, "o"),
    "shallow": ("Shallow ShapNet", SKY, "s"),
    "gam": ("GAM", GREEN, "^"),
    "harsanyi": ("HarsanyiNet", PURPLE, "P"),
    "dnn, equal computation": ("DNN, equal computation", GREY, "D"),
    "dnn, equal parameters": ("DNN, equal parameters", GREY, "v"),
}
STYLES = ((BLUE, "o"), (VERMILION, "s"), (ORANGE, "^"), (GREEN, "D"), (PURPLE, "v"), (SKY, "P"))
"""Colours and markers of methods, in the order of the rows."""

LEAST = 1e-8
"""Smaller distances are due to float32, and are drawn at this value."""


def draw_accuracy(contents: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss or accuracy of each network (Table 1), one panel per table."""
    compared = [c for c in contents if c["group"] == "compared"]
    figure, panels = _panels(len(compared), height=2.8)
    for axes, content in zip(panels, compared, strict=True):
        rows = {row["network"]: row for row in content["rows"]}
        shown = [name for name in MODELS if name in rows]
        for place, name in enumerate(shown):
            _, colour, marker = MODELS[name]
            error = MARGIN * (rows[name]["score error"] or 0)
            axes.errorbar(
                rows[name]["score"], place, xerr=error, color=colour, marker=marker, capsize=3
            )
        axes.set_yticks(range(len(shown)), [MODELS[name][0] for name in shown])
        axes.invert_yaxis()
        is_loss = content["measure"] == "loss"
        axes.set(
            title=NAMES[content["source"]],
            xlabel="mean squared error" if is_loss else "accuracy on held-out rows",
        )
        axes.locator_params(axis="x", nbins=5)
    _only_first_names(panels)
    return figure


def draw_distances(contents: Sequence[Mapping[str, Any]]) -> Figure:
    """How far explanations are from exact values (Table 3), one panel per table."""
    figure, panels = _panels(len(contents), height=4.4)
    drawn: dict[str, Any] = {}
    for axes, content in zip(panels, contents, strict=True):
        names = list(dict.fromkeys(row["network"] for row in content["rows"]))
        methods = dict.fromkeys(row["method"] for row in content["rows"])
        for method, (colour, marker) in zip(methods, itertools.cycle(STYLES), strict=False):
            rows = [row for row in content["rows"] if row["method"] == method]
            places = [names.index(row["network"]) for row in rows]
            values = np.maximum([row["relative"] for row in rows], LEAST)
            label = "its own explanation" if method == "ours" else method
            drawn[label] = axes.plot(values, places, color=colour, marker=marker, ls="")[0]
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xscale("log")
        error = content["error of estimates"]
        exact = "exact values"
        if not content["exact"]:
            exact = f"values known to {significant(100 * error, 1)} %"
        axes.set(
            title=f"{NAMES[content['source']]}\n({exact})",
            xlabel="relative distance to exact values",
        )
    figure.legend(drawn.values(), drawn, loc="outside upper center", ncols=3)
    return figure


def draw_consistent(
    distances: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]]
) -> Figure:
    """Networks trained with the term for consistency: distance, score and non-additivity by λ."""
    sources = [c["source"] for c in distances if c["exact"]]
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.6))
    colours = dict(zip(NAMES, (BLUE, ORANGE, PURPLE, GREEN, VERMILION), strict=True))
    for source in sources:
        content = next(c for c in distances if c["source"] == source)
        scores = {r["network"]: r for c in trained if c["source"] == source for r in c["rows"]}
        names = ["deep", *(n for n in scores if n.startswith("deep, consistent"))]
        ours = {r["network"]: r for r in content["rows"] if r["method"] == "ours"}
        places = range(len(names))
        lines = [
            ([ours[n]["relative"] for n in names], [ours[n]["relative error"] for n in names]),
            ([scores[n]["score"] for n in names], [scores[n]["score error"] for n in names]),
            ([content["non-additive"][n] for n in names], [0.0] * len(names)),
        ]
        for axes, (values, errors) in zip(panels, lines, strict=True):
            axes.errorbar(
                places,
                values,
                yerr=[MARGIN * (e or 0) for e in errors],
                color=colours[source],
                marker="o",
                capsize=3,
                label=NAMES[source],
            )
            axes.set_xticks(places, ["0", *(n.rpartition(" ")[2] for n in names[1:])])
            axes.set_xlabel("weight λ of the loss term")
    for axes in panels:
        axes.set_ylim(bottom=0)
    panels[0].set(title="distance of explanations", ylabel="relative distance to exact values")
    panels[1].set(title="error or accuracy", ylabel="mean squared error or accuracy")
    panels[2].set(title="interactions", ylabel="non-additive share of the variance")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def draw_regularised(contents: Sequence[Mapping[str, Any]]) -> Figure:
    """The effect of norms in the loss on explanations (Table 4)."""
    titles = {
        "variation": "coefficient of variation\nof |φ| over features",
        "sparsity": "share of |φ| below 0.01",
    }
    sources = list(dict.fromkeys(c["source"] for c in contents))
    kinds = {"deep": ("none", GREY, ""), "deep, l1": ("ℓ1", BLUE, "//"),
             "deep, l infinity": ("ℓ∞", ORANGE, "\\\\")}  # fmt: skip
    figure, panels = plt.subplots(1, len(titles), figsize=(9, 3.6))
    for axes, (measure, title) in zip(panels, titles.items(), strict=True):
        for number, (name, (label, colour, hatch)) in enumerate(kinds.items()):
            rows = [_row(contents, source, name) for source in sources]
            axes.bar(
                np.arange(len(sources)) + (number - 1) * 0.26,
                [row[measure] for row in rows],
                0.24,
                yerr=[MARGIN * (row[f"{measure} error"] or 0) for row in rows],
                color=colour,
                hatch=hatch,
                edgecolor="white",
                capsize=3,
                label=label,
            )
        axes.set_xticks(range(len(sources)), [NAMES[s].replace(", ", ",\n") for s in sources])
        axes.set(ylabel=title)
        axes.grid(visible=False, axis="x")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="norm in the loss", loc="outside upper center", ncols=3)
    return figure


def draw_learned(contents: Sequence[Mapping[str, Any]]) -> Figure:
    """Pairs of features that networks kept (App. E), one panel per table."""
    learned = [c for c in contents if c["group"] == "learned"]
    figure, panels = _panels(len(learned), height=4.2)
    for axes, content in zip(panels, learned, strict=True):
        n, runs = len(content["features"]), content["pairs"][LEARNED_PAIRS]
        shares = np.full((n, n), np.nan)
        shares[np.triu_indices(n, 1)] = 0
        for first, second in itertools.chain(*runs):
            shares[first, second] += 1 / len(runs)
        image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1)
        if content["source"] == "interactions":
            squares = np.array(sorted(INTERACTING)).T
            axes.plot(
                squares[1], squares[0], ls="", marker="s", ms=9, mfc="none", mec=VERMILION, mew=1.5,
                label="pair interacts in the table",
            )  # fmt: skip
            axes.legend(loc="lower left")
        axes.set(
            title=NAMES[content["source"]],
            xlabel="second feature (number from 0)",
            ylabel="first feature (number from 0)",
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(visible=False)
    figure.colorbar(image, ax=panels, label="share of the runs that kept the pair", shrink=0.8)
    return figure


def draw_timing(content: Mapping[str, Any]) -> Figure:
    """Time of one explanation (Table 5)."""
    rows = content["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, axes = plt.subplots(figsize=(7.5, 3.4))
    styles = {"Deep ShapNet": (BLUE, "o"), "Shallow ShapNet": (SKY, "D"),
              "HarsanyiNet": (PURPLE, "P"), "DNN (eq. comp.)": (ORANGE, "s"),
              "DNN (eq. param.)": (GREEN, "^")}  # fmt: skip
    for name, (colour, marker) in styles.items():
        own = [row for row in rows if row["network"] == name]
        axes.plot(
            [1000 * row["seconds"] for row in own],
            [methods.index(row["method"]) for row in own],
            color=colour,
            marker=marker,
            ls="",
            label=name,
        )
    names = ["its own explanation" if method == "ours" else method for method in methods]
    axes.set_yticks(range(len(methods)), names)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="time of one explanation (ms)")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


FUNCTIONS = {
    "√(x₁² + x₂²)": lambda x, y: np.sqrt(x**2 + y**2),
    "x₁ · sin 4x₂": lambda x, y: x * np.sin(4 * y),
}
"""Functions of Fig. 1. The first is read from a text that is damaged at this point."""


def draw_representations(_content: object = None) -> Figure:
    """Shapley representations of two features (Fig. 1): points, and their representations."""
    side = np.linspace(-1, 1, 41)
    x, y = (a.ravel() for a in np.meshgrid(side, side))
    figure, panels = plt.subplots(2, 3, figsize=(9, 6.2))
    for row, (name, function) in zip(panels, FUNCTIONS.items(), strict=True):
        value = function(x, y)
        row[0].scatter(x, y, c=value, s=9, cmap="viridis")
        row[0].set(title=f"f = {name}", xlabel="x₁", ylabel="x₂", aspect="equal")
        for axes, reference in zip(row[1:], ((0.0, 0.0), (0.5, 0.5)), strict=True):
            first, second = two_players(function, x, y, reference)
            drawn = axes.scatter(first, second, c=value, s=9, cmap="viridis")
            axes.set(
                title=f"reference ({reference[0]:g}, {reference[1]:g})",
                xlabel="value of x₁",
                ylabel="value of x₂",
                aspect="equal",
            )
        figure.colorbar(drawn, ax=row, label="f")
    return figure


def two_players(function: Any, x: Any, y: Any, reference: tuple[float, float]) -> tuple[Any, Any]:
    """Shapley values of both features (Definition 1 with two players)."""
    both, nobody = function(x, y), function(*reference)
    alone, other = function(x, reference[1]), function(reference[0], y)
    return (alone - nobody + both - other) / 2, (other - nobody + both - alone) / 2


def _row(contents: Sequence[Mapping[str, Any]], source: str, name: str) -> Mapping[str, Any]:
    rows = (row for c in contents if c["source"] == source for row in c["rows"])
    return next(row for row in rows if row["network"] == name)


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    figure, panels = plt.subplots(1, count, figsize=(3.6 * count + 1.4, height), squeeze=False)
    return figure, list(panels[0])


def _only_first_names(panels: Sequence[Axes]) -> None:
    for axes in panels[1:]:
        axes.set_yticklabels([])
