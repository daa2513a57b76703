"""Shared by the figures of utility functions: names and signs of methods, bars and axes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from pipeline.core.plotting import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from pipeline.shapley.methods import TITLES

Floats = NDArray[np.float64]
Row = Mapping[str, Any]

EXACT_FILL, EXACT_EDGE = "#DDDDDD", "#555555"

LABELS = {
    "effective": "Effective Shapley, weighted counts",
    "effective_printed": "Effective Shapley, Eq. 5 as printed",
    "effective_averages": "Effective Shapley, averages alone",
    "effective_unsampled": "Effective Shapley without second sampling",
    "permutation": "permutation sampling, single orders",
    "permutation_pairs": "permutation sampling, antithetic pairs",
    **{name: TITLES[name] for name in ("stratified", "regression", "msr")},
    "gradients_zero": "Integrated Gradients, empty coalition",
    "gradients_mean": "Integrated Gradients, mean membership",
    "gradients_random": "Integrated Gradients, random coalitions",
    "gradients_effective": "Shapley Integrated Gradients, effective coalitions",
}
STYLES: dict[str, dict[str, Any]] = {
    "effective": {"color": BLUE, "marker": "o", "ls": "-"},
    # Broad, since other lines may cover it.
    "effective_printed": {"color": SKY, "marker": "o", "ls": "-", "lw": 4, "ms": 9, "alpha": 0.6},
    "effective_averages": {"color": PURPLE, "marker": "D", "ls": ":"},
    "effective_unsampled": {"color": "black", "marker": "*", "ls": ":"},
    "permutation": {"color": VERMILION, "marker": "s", "ls": "--"},
    "permutation_pairs": {"color": VERMILION, "marker": "d", "ls": ":"},
    "stratified": {"color": GREEN, "marker": "^", "ls": "-."},
    "regression": {"color": ORANGE, "marker": "v", "ls": (0, (3, 1, 1, 1))},
    "msr": {"color": GREY, "marker": "X", "ls": "--"},
    "gradients_zero": {"color": GREEN, "marker": "^"},
    "gradients_mean": {"color": ORANGE, "marker": "v"},
    "gradients_random": {"color": PURPLE, "marker": "D"},
    "gradients_effective": {"color": "black", "marker": "*"},
}
NETWORK_STYLES = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "^"), (PURPLE, "D"), (ORANGE, "v"))


def game_name(game: str) -> str:
    """A game such as ``rules_12`` in words."""
    kind, _, players = game.rpartition("_")
    return f"{kind}, {players} players"


def grouped(rows: Iterable[Row], *columns: str) -> dict[Any, list[Row]]:
    """Rows by their values in one column or several, in the order of first occurrence."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        key = tuple(row[column] for column in columns)
        found.setdefault(key if len(key) > 1 else key[0], []).append(row)
    return found


def column(rows: Iterable[Row], name: str) -> Floats:
    """Values of rows in a column: (row,), NaN for null."""
    return np.array([row[name] for row in rows], dtype=np.float64)


def plain_ticks(axis: Axis) -> None:
    """Numbers at 1, 2, 5, 10, … of a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def exact_bars(axes: Axes, players: NDArray[np.integer], heights: Floats) -> Any:
    """Grey bars of exact values, and the line at 0."""
    bars = axes.bar(
        players, heights, width=0.86, color=EXACT_FILL, edgecolor=EXACT_EDGE, lw=0.8, zorder=1
    )
    axes.axhline(0, color="black", lw=0.8)
    return bars


def by_player(axes: Axes, players: NDArray[np.integer]) -> None:
    """Make an axis of players: a tick for each, and no line."""
    axes.set_xticks(players)
    axes.set_xlim(-0.6, len(players) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(5))


def shifts(count: int) -> Floats:
    """Offsets of ``count`` points beside each other within a bar."""
    return np.linspace(-0.33, 0.33, count) if count > 1 else np.zeros(count)
