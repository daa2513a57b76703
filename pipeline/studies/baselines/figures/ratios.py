"""Draw ratios between Shapley values, and the errors of their estimates (Fig. 2)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.statistics import half_interval
from pipeline.studies.baselines.estimates import GRADIENTS, PERMUTATION
from pipeline.studies.baselines.figures.style import (
    LABELS,
    STYLES,
    Row,
    by_player,
    column,
    exact_bars,
    game_name,
    grouped,
    plain_ticks,
    shifts,
)
from pipeline.studies.baselines.tables import UTILITY

SHOWN = ("effective", "effective_printed", PERMUTATION, *GRADIENTS)
"""Methods whose ratios are drawn."""


def draw_ratios(values: Sequence[Row]) -> Figure:
    """Ratios by player: the exact ones as bars, estimates as points with their spread.

    One row of panels per game: the utility function, and its first network.

    Args:
        values: rows of a player, an instance and a method, as the stage ratios writes them.
    """
    games = {game: _panels(rows) for game, rows in grouped(values, "game").items()}
    n_columns = max(map(len, games.values()))
    figure, all_axes = plt.subplots(
        len(games), n_columns, figsize=(7.6 * n_columns, 2.5 * len(games) + 0.8), squeeze=False
    )
    shown: dict[str, Any] = {}
    for line, (game, panels) in zip(all_axes, games.items(), strict=True):
        for axes in line[len(panels) :]:
            axes.set_visible(False)
        for axes, (instance, rows) in zip(line, panels.items(), strict=False):
            _draw_ratios(axes, grouped(rows, "method"), shown)
            what = "utility function" if instance == UTILITY else instance
            axes.set(title=f"{game_name(game)}: {what}")
        line[0].set_ylabel("value /\nsum of absolute values")
    for axes in all_axes[-1]:
        axes.set_xlabel("player")
    title = "points: mean over repeats, with bars of ± 1 standard deviation"
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=3, title=title)
    return figure


def _panels(rows: Sequence[Row]) -> Mapping[str, Sequence[Row]]:
    """Rows of the utility function and of the first network of a game."""
    instances = grouped(rows, "instance")
    networks = [instance for instance in instances if instance != UTILITY]
    names = [name for name in (UTILITY, *networks[:1]) if name in instances]
    return {name: instances[name] for name in names}


def _draw_ratios(axes: Axes, methods: Mapping[str, Sequence[Row]], shown: dict[str, Any]) -> None:
    exact = column(next(iter(methods.values())), "exact_ratio")
    players = np.arange(len(exact))
    shown["exact"] = exact_bars(axes, players, exact)
    drawn = {name: rows for name, rows in methods.items() if name in SHOWN}
    for shift, (name, rows) in zip(shifts(len(drawn)), drawn.items(), strict=True):
        style = {k: v for k, v in STYLES[name].items() if k in ("color", "marker")}
        shown[LABELS[name]] = axes.errorbar(
            players + shift,
            column(rows, "ratio"),
            column(rows, "ratio_sd"),
            ls="none",
            capsize=2,
            elinewidth=1.2,
            ms=4.5,
            **style,
        )
    by_player(axes, players)


def draw_errors(rows: Sequence[Row]) -> Figure:
    """Error of the ratios against evaluations; one panel per game, one row per kind of instance.

    Args:
        rows: of a game, kind of instance, method and number of coalitions, as the stage ratios
            writes them.
    """
    # Without the second sampling the line is the same, up to rounding.
    drawn = [r for r in rows if r["per_size"] is not None and r["method"] != "effective_unsampled"]
    panels = grouped(drawn, "game", "of")
    kinds, games = list(grouped(drawn, "of")), list(grouped(drawn, "game"))
    figure, all_axes = plt.subplots(
        len(kinds), len(games), figsize=(3.5 * len(games), 3.3 * len(kinds) + 0.9), squeeze=False
    )
    shown: dict[str, Any] = {}
    for (game, of), of_panel in panels.items():
        axes = all_axes[kinds.index(of), games.index(game)]
        for name, line in grouped(of_panel, "method").items():
            shown[LABELS[name]] = _draw_errors(axes, name, line)
        what = "utility function" if of == UTILITY else "its networks"
        axes.set(xscale="log", yscale="log", title=f"{game_name(game)}:\n{what}")
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
    for axes in all_axes[-1]:
        axes.set_xlabel("distinct coalitions evaluated")
    for axes in all_axes[:, 0]:
        axes.set_ylabel("L1 distance to exact ratios\n(mean, 95 % interval)")
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=3, handlelength=3)
    return figure


def _draw_errors(axes: Axes, method: str, rows: Sequence[Row]) -> Any:
    ordered = sorted(rows, key=lambda row: int(row["per_size"]))
    evaluations, error = column(ordered, "evaluations"), column(ordered, "ratio_distance")
    of_mean = column(ordered, "ratio_distance_se"), column(ordered, "repeats")
    reach = np.nan_to_num(half_interval(*of_mean))
    # An error of 0 has no place on a logarithmic axis.
    on = error > 0
    below = np.minimum(reach, 0.9 * error)
    return axes.errorbar(
        evaluations[on],
        error[on],
        yerr=np.stack([below, reach])[:, on],
        capsize=2,
        elinewidth=1,
        **{"ms": 4.5, "lw": 1.4, **STYLES[method]},
    )
