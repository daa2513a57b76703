"""Draw networks beside the utility functions that they replace (Figs. 8 and 9)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.plotting import BLUE, GREEN, VERMILION
from pipeline.studies.baselines.figures.style import (
    NETWORK_STYLES,
    Floats,
    by_player,
    exact_bars,
    game_name,
    shifts,
)


def draw_surrogates(games: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Shapley values of networks beside those of the functions that they replace (Fig. 8).

    Args:
        games: by game ``utility``, values (player,), and ``networks``, the same by network.
    """
    n_rows = -(-len(games) // 2)
    figure, all_axes = plt.subplots(n_rows, 2, figsize=(14.5, 2.7 * n_rows + 0.6), squeeze=False)
    shown: dict[str, Any] = {}
    for axes in all_axes.ravel()[len(games) :]:
        axes.set_visible(False)
    for axes, (game, values) in zip(all_axes.ravel(), games.items(), strict=False):
        utility = np.array(values["utility"])
        players = np.arange(len(utility))
        shown["utility function"] = exact_bars(axes, players, utility)
        _network_points(axes, list(map(np.array, values["networks"].values())), shown)
        axes.set(
            title=game_name(game), xlabel="player", ylabel="Shapley value\n(unit of the utility)"
        )
        by_player(axes, players)
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=6)
    return figure


def _network_points(axes: Axes, networks: Sequence[Floats], shown: dict[str, Any]) -> None:
    for number, (values, shift) in enumerate(zip(networks, shifts(len(networks)), strict=True)):
        colour, marker = NETWORK_STYLES[number % len(NETWORK_STYLES)]
        (shown[f"network {number + 1}"],) = axes.plot(
            np.arange(len(values)) + shift, values, ls="none", marker=marker, ms=5, color=colour
        )


def draw_connected(games: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Theorem 3: both quantities by player, their difference and the gradient's range (Fig. 9).

    Args:
        games: by game and network the result of :meth:`connections.Connected.by_player`, (player,)
            each.
    """
    figure, all_axes = plt.subplots(
        2, len(games), figsize=(4.6 * len(games), 6.4), squeeze=False, sharex="col"
    )
    shown: dict[str, Any] = {}
    for (upper, lower), (game, networks) in zip(all_axes.T, games.items(), strict=True):
        first = next(iter(networks.values()))
        players = np.arange(len(first["marginal"]))
        shown["marginal contribution, network 1"] = exact_bars(upper, players, first["marginal"])
        label = "Integrated Gradients, network 1"
        (shown[label],) = upper.plot(
            players, first["integrated"], ls="none", marker="o", color=BLUE
        )
        upper.set_title(game_name(game))
        _draw_sizes(lower, list(networks.values()), shown)
        for axes in (upper, lower):
            axes.set_xticks(players[:: 1 if len(players) <= 12 else 2])
            axes.grid(visible=False, axis="x")
    all_axes[0, 0].set_ylabel("mean contribution\n(unit of the utility)")
    all_axes[1, 0].set_ylabel("mean size, every network\n(unit of the utility)")
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=3)
    return figure


def _draw_sizes(axes: Axes, networks: Sequence[Mapping[str, Any]], shown: dict[str, Any]) -> None:
    measures = {
        "|Integrated Gradients − marginal|": ("difference", VERMILION, "s"),
        "gradient's range from S to S ∪ i": ("spread", GREEN, "^"),
        "|marginal contribution|": ("magnitude", "black", "_"),
    }
    for label, (name, colour, marker) in measures.items():
        for network, shift in zip(networks, shifts(len(networks)), strict=True):
            values = np.array(network[name])
            # A difference of exactly 0 has no place on a logarithmic axis.
            on = values > 0
            (shown[label],) = axes.plot(
                np.arange(len(values))[on] + shift,
                values[on],
                ls="none",
                marker=marker,
                ms=4.5,
                color=colour,
            )
    axes.set(yscale="log", xlabel="player")
