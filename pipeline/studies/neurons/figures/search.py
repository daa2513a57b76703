"""Figures of the cost of estimates and searches, and of truncation (Figs. 3a, 5 and 8)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pipeline.core.digits import apart
from pipeline.core.plotting import BLUE, GREEN, GREY, ORANGE, VERMILION

COLOURS = {"plain": BLUE, "dropout": ORANGE}


def draw_search(content: Mapping[str, Any]) -> Figure:
    """Evaluations until the filters of largest values are known, and samples of each filter."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9))
    found = content["searches"]
    places = np.arange(len(found))[::-1]
    colours = [BLUE if row["decided"] else GREY for row in found]
    counts = np.array([row["evaluations"] for row in found]) / 1e6
    left.barh(places, counts, color=colours, height=0.6)
    texts = zip(apart(*counts), apart(*(row["recall"] for row in found)), strict=True)
    for place, count, row, (told, recall) in zip(places, counts, found, texts, strict=True):
        state = "" if row["decided"] else ", undecided"
        text = f" {told}, recall {recall}{state}"
        left.annotate(text, (count, place), va="center", fontsize=8.5)
    left.set_yticks(places, [_short(row["method"]) for row in found])
    left.set(
        title=f"cost of finding the {content['k']} largest values",
        xlabel="evaluations of single images (millions)",
        xlim=(0, 1.8 * counts.max()),
    )
    left.grid(visible=False, axis="y")
    for row, colour, style in zip(found[:2], (GREY, BLUE), ("--", "-"), strict=True):
        order = np.argsort(-np.array(row["values"]), kind="stable")
        samples = np.array(row["samples"])[order]
        right.plot(np.arange(1, len(samples) + 1), samples, color=colour, ls=style,
                   label=_short(row["method"]))  # fmt: skip
    right.axvline(content["k"] + 0.5, color=VERMILION, lw=1, ls=":", label="limit of the k largest")
    right.set(
        title="samples of each filter",
        xlabel="filter, by rank of its value",
        ylabel=f"samples (batches of {content['batch']} images)",
        ylim=(0, None),
    )
    right.legend(fontsize=8.5)
    return figure


def _short(method: str) -> str:
    return method.replace("comparable contributions, ", "comparable\ncontributions, ").replace(
        "1, not truncated", "1,\nnot truncated"
    )


def draw_truncation(content: Mapping[str, Any]) -> Figure:
    """Accuracy while filters are removed in random orders, and what truncation drops (Fig. 5)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.6))
    curve = content["truncation"]["curve"]
    removed, mean, low, high = (
        np.array([row[name] for row in curve]) for name in ("removed", "mean", "low", "high")
    )
    left.plot(removed, 100 * mean, color=BLUE, label="mean of all iterations")
    left.fill_between(
        removed, 100 * low, 100 * high, color=BLUE, alpha=0.15, label="90 % of iterations"
    )
    left.set(
        title="filters removed in random orders",
        xlabel="filters removed",
        ylabel=f"accuracy on {content['batch']} images (%)",
        ylim=(-3, 103),
    )
    left.legend(fontsize=8.5)
    rows = content["truncation"]["thresholds"]
    thresholds = [100 * row["threshold"] for row in rows]
    right.plot(thresholds, [100 * row["evaluations"] for row in rows], "o-", color=BLUE,
               label="evaluations still made")  # fmt: skip
    right.plot(thresholds, [100 * row["dropped"] for row in rows], "s--", color=VERMILION,
               label="accuracy credited to no filter")  # fmt: skip
    right.set(
        title="what truncation saves and drops",
        xlabel="threshold of accuracy (%)",
        ylabel="share (%)",
        ylim=(min(-5, 100 * min(row["dropped"] for row in rows) - 3), 103),
    )
    right.legend(fontsize=8.5)
    return figure


def draw_spread(content: Mapping[str, Any]) -> Figure:
    """Values with and without filter dropout, and accuracy while filters are removed (Fig. 4)."""
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.6))
    networks = content["networks"]
    every = np.concatenate([row["values"] for row in networks])
    bins = np.linspace(every.min(), every.max(), 25)
    for row, style in zip(networks, ("-", "--"), strict=True):
        colour, name = COLOURS[row["network"]], row["network"]
        axes[0].hist(row["values"], bins=bins, histtype="step", lw=1.8, color=colour, ls=style,
                     label=name)  # fmt: skip
        for place, method in ((1, "largest"), (2, "least")):
            chosen = [r for r in content["curves"] if r["of"] == name and r["method"] == method]
            removed = [r["removed"] for r in chosen]
            values = [100 * r["value"] for r in chosen]
            axes[place].plot(removed, values, color=colour, ls=style, label=name)
    axes[0].set(
        title="distribution of values",
        xlabel="Shapley value (accuracy)",
        ylabel="number of filters",
    )
    axes[1].set(title="largest values removed first", xlabel="filters removed")
    axes[2].set(title="least values removed first", xlabel="filters removed")
    for place in (1, 2):
        axes[place].set(ylabel="held-out accuracy (%)", ylim=(-3, 103))
    axes[0].legend(title="training", fontsize=8.5)
    return figure


def draw_costs(content: Mapping[str, Any]) -> Figure:
    """How many times fewer evaluations estimators need for the same error."""
    figure, axes = plt.subplots(figsize=(5.6, 2.4))
    rows = [row for row in content["costs"] if row["gain"] is not None]
    places = np.arange(len(rows))[::-1]
    gains = [row["gain"] for row in rows]
    axes.barh(places, gains, color=[GREY, BLUE, GREEN][: len(rows)], height=0.6)
    for place, gain, text in zip(places, gains, apart(*gains), strict=True):
        axes.annotate(f" {text}", (gain, place), va="center", fontsize=9)
    axes.set_yticks(places, [row["method"] for row in rows])
    axes.set(
        title="evaluations saved at equal errors",
        xlabel=f"times fewer evaluations than\nshared orders of {content['batch']} images",
        xlim=(0, 1.15 * max([1, *gains])),
    )
    axes.grid(visible=False, axis="y")
    return figure
