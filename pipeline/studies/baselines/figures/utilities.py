"""Figures of the human-defined utility functions and of their networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from pipeline.core.plotting import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

Floats = NDArray[np.float64]

EXACT_FILL, EXACT_EDGE = "#DDDDDD", "#555555"

LABELS = {
    "effective": "Effective Shapley, weighted counts",
    "effective_printed": "Effective Shapley, Eq. 5 as printed",
    "effective_averages": "Effective Shapley, to the letter (averages alone)",
    "effective_unsampled": "Effective Shapley without second sampling",
    "permutation": "permutation sampling, single orders",
    "permutation_pairs": "permutation sampling, antithetic pairs",
    "stratified": "stratified sampling",
    "regression": "regression (Leverage SHAP)",
    "msr": "maximum sample reuse",
    "gradients_zero": "Integrated Gradients, empty coalition",
    "gradients_mean": "Integrated Gradients, mean membership",
    "gradients_random": "Integrated Gradients, random coalitions",
}
_STYLES: dict[str, dict[str, Any]] = {
    "effective": {"color": BLUE, "marker": "o", "ls": "-"},
    "effective_printed": {"color": SKY, "marker": "P", "ls": (0, (5, 1))},
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
}
_NETWORK_STYLES = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "^"), (PURPLE, "D"), (ORANGE, "v"))


@dataclass(frozen=True)
class RatioPanel:
    """Ratios of one instance's Shapley values."""

    game: str
    instance: str
    exact: Floats
    """(player,)"""
    estimated: Mapping[str, tuple[Floats, Floats]]
    """by method: mean and standard deviation over repeats, (player,) each"""


@dataclass(frozen=True)
class ErrorLine:
    """One method's errors; all (point,)."""

    evaluations: Floats
    error: Floats
    reach: Floats
    """half the length of the bar; NaN where there is none"""


@dataclass(frozen=True)
class ErrorPanel:
    """Errors of the estimates of one game, of the utility function or of the networks."""

    game: str
    of: str
    lines: Mapping[str, ErrorLine]
    """by method"""


def game_name(game: str) -> str:
    """As ``rules_12`` is to be read."""
    kind, _, players = game.rpartition("_")
    return f"{kind}, {players} players"


def draw_ratios(panels: Sequence[RatioPanel]) -> Figure:
    """Ratios by player: the exact ones as bars, estimates as points with their spread (Fig. 2).

    A row a game; its first panel stands left of the others.
    """
    games = list(dict.fromkeys(panel.game for panel in panels))
    of_games = [[panel for panel in panels if panel.game == game] for game in games]
    n_columns = max(map(len, of_games))
    figure, all_axes = plt.subplots(
        len(games), n_columns, figsize=(7.6 * n_columns, 2.5 * len(games) + 0.8), squeeze=False
    )
    shown: dict[str, Any] = {}
    for row, of_game in zip(all_axes, of_games, strict=True):
        for axes in row[len(of_game) :]:
            axes.set_visible(False)
        for axes, panel in zip(row, of_game, strict=False):
            players = np.arange(len(panel.exact))
            shown["exact"] = _exact_bars(axes, players, panel.exact)
            shifts = _shifts(len(panel.estimated))
            for shift, (name, (mean, sd)) in zip(shifts, panel.estimated.items(), strict=True):
                style = {k: v for k, v in _STYLES[name].items() if k != "ls"}
                shown[LABELS[name]] = axes.errorbar(
                    players + shift, mean, sd, ls="none", ms=4.5, capsize=2, elinewidth=1.2, **style
                )
            what = "utility function" if panel.instance == "utility" else panel.instance
            axes.set(title=f"{game_name(panel.game)}: {what}")
            _by_player(axes, players)
        row[0].set_ylabel("value /\nsum of absolute values")
    for axes in all_axes[-1]:
        axes.set_xlabel("player")
    title = "points: mean over repeats, with bars of ± 1 standard deviation"
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=3, title=title)
    return figure


def draw_errors(panels: Sequence[ErrorPanel]) -> Figure:
    """Error of the ratios against evaluations; a panel a game, a row for each kind of instance."""
    kinds = list(dict.fromkeys(panel.of for panel in panels))
    games = list(dict.fromkeys(panel.game for panel in panels))
    figure, all_axes = plt.subplots(
        len(kinds), len(games), figsize=(3.5 * len(games), 3.3 * len(kinds) + 0.9), squeeze=False
    )
    shown: dict[str, Any] = {}
    for panel in panels:
        axes = all_axes[kinds.index(panel.of), games.index(panel.game)]
        for name, line in panel.lines.items():
            # What is exact has no place on a logarithmic axis.
            on = line.error > 0
            reach = np.nan_to_num(line.reach[on])
            below = np.minimum(reach, 0.9 * line.error[on])
            shown[LABELS[name]] = axes.errorbar(
                line.evaluations[on],
                line.error[on],
                yerr=np.stack([below, reach]),
                ms=4.5,
                capsize=2,
                elinewidth=1,
                lw=1.4,
                **_STYLES[name],
            )
        what = "utility function" if panel.of == "utility" else "its networks"
        axes.set(xscale="log", yscale="log", title=f"{game_name(panel.game)}:\n{what}")
        _plain_ticks(axes.xaxis)
        _plain_ticks(axes.yaxis)
    for axes in all_axes[-1]:
        axes.set_xlabel("distinct coalitions evaluated")
    for axes in all_axes[:, 0]:
        axes.set_ylabel("L1 distance of ratios\n(mean, 95 % interval)")
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=3, handlelength=3)
    return figure


@dataclass(frozen=True)
class ReplacedPanel:
    """Shapley values of a utility function and of its networks."""

    game: str
    utility: Floats
    """(player,)"""
    networks: Floats
    """(network, player)"""


def draw_replaced(panels: Sequence[ReplacedPanel]) -> Figure:
    """Shapley values of networks beside those of what they stand in for (Fig. 8)."""
    figure, all_axes = plt.subplots(
        -(-len(panels) // 2), 2, figsize=(14.5, 2.7 * -(-len(panels) // 2) + 0.6), squeeze=False
    )
    shown: dict[str, Any] = {}
    for axes in all_axes.ravel()[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(all_axes.ravel(), panels, strict=False):
        players = np.arange(len(panel.utility))
        shown["utility function"] = _exact_bars(axes, players, panel.utility)
        _network_points(axes, players, panel.networks, shown)
        axes.set(title=game_name(panel.game), xlabel="player", ylabel="Shapley value")
        _by_player(axes, players)
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=6)
    return figure


@dataclass(frozen=True)
class ConnectionPanel:
    """Marginal contributions and Integrated Gradients of one game's networks, (network, player)."""

    game: str
    marginals: Floats
    """mean over coalitions"""
    integrated: Floats
    """mean over coalitions"""
    magnitude: Floats
    """mean absolute marginal contribution"""
    difference: Floats
    """mean absolute difference of both"""
    spread: Floats
    """mean over coalitions of largest less smallest partial derivative on the way"""


def draw_connected(panels: Sequence[ConnectionPanel]) -> Figure:
    """Theorem 3: both quantities by player, and by how much they and the gradient vary (Fig. 9)."""
    figure, all_axes = plt.subplots(
        2, len(panels), figsize=(4.6 * len(panels), 6.4), squeeze=False, sharex="col"
    )
    shown: dict[str, Any] = {}
    for (upper, lower), panel in zip(all_axes.T, panels, strict=True):
        players = np.arange(panel.marginals.shape[1])
        first = panel.marginals[0]
        shown["marginal contribution, network 1"] = _exact_bars(upper, players, first)
        label = "Integrated Gradients, network 1"
        (shown[label],) = upper.plot(
            players, panel.integrated[0], ls="none", marker="o", color=BLUE
        )
        upper.set_title(game_name(panel.game))
        measures = {
            "|Integrated Gradients − marginal|": (panel.difference, VERMILION, "s"),
            "gradient's range from S to S ∪ i": (panel.spread, GREEN, "^"),
            "|marginal contribution|": (panel.magnitude, "black", "_"),
        }
        for label, (values, colour, marker) in measures.items():
            for network, shift in zip(values, _shifts(len(values)), strict=True):
                # A difference of exactly 0 has no place on a logarithmic axis.
                on = network > 0
                (shown[label],) = lower.plot(
                    players[on] + shift, network[on], ls="none", marker=marker, ms=4.5, color=colour
                )
        lower.set(yscale="log", xlabel="player")
        for axes in (upper, lower):
            axes.set_xticks(players[:: 1 if len(players) <= 12 else 2])
            axes.grid(visible=False, axis="x")
    all_axes[0, 0].set_ylabel("mean over the coalitions\n(unit of the utility)")
    all_axes[1, 0].set_ylabel("mean over the coalitions,\nof each network (unit of the utility)")
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=3)
    return figure


@dataclass(frozen=True)
class ProportionLine:
    """Probabilities of a proportional sample of some players; all (point,)."""

    name: str
    drawn: NDArray[np.integer]
    """coalitions drawn, a player"""
    probability: Floats
    simulated: Floats
    low: Floats
    """of the simulation's 95 % interval"""
    high: Floats


def draw_proportions(panels: Mapping[str, Sequence[ProportionLine]]) -> Figure:
    """Theorem 2: the normalised probability against coalitions drawn, and what is simulated."""
    figure, all_axes = plt.subplots(
        -(-len(panels) // 3), 3, figsize=(13.2, 3.5 * -(-len(panels) // 3)), squeeze=False
    )
    for axes in all_axes.ravel()[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, lines) in zip(all_axes.ravel(), panels.items(), strict=False):
        styles = zip(lines, _NETWORK_STYLES, ("-", "--", "-.", ":", "-"), strict=False)
        for line, (colour, marker), dashes in styles:
            axes.plot(line.drawn, line.probability, color=colour, ls=dashes, lw=1.5)
            below, above = line.simulated - line.low, line.high - line.simulated
            axes.errorbar(
                line.drawn,
                line.simulated,
                yerr=np.maximum(0, np.stack([below, above])),
                ls="none",
                marker=marker,
                ms=5,
                mfc="white",
                capsize=3,
                color=colour,
                label=line.name,
            )
        highest = max((line.high.max() for line in lines if len(line.high)), default=1.0)
        top = min(1.04, 1.5 * highest)  # leaves room for the legend
        axes.set(title=title, xlabel="coalitions drawn, a player", ylim=(-0.04 * top, top))
        axes.legend(fontsize=8.5, title_fontsize=8.5, title="players (effective coalitions)")
    for axes in all_axes[:, 0]:
        axes.set_ylabel("probability of\na proportional sample")
    figure.suptitle(
        "Lines: Theorem 2, normalised. Markers: simulation, with 95 % intervals", fontsize=11
    )
    return figure


def _network_points(
    axes: Axes, players: NDArray[np.integer], networks: Floats, shown: dict[str, Any]
) -> None:
    for number, (values, shift) in enumerate(zip(networks, _shifts(len(networks)), strict=True)):
        colour, marker = _NETWORK_STYLES[number % len(_NETWORK_STYLES)]
        (shown[f"network {number + 1}"],) = axes.plot(
            players + shift, values, ls="none", marker=marker, ms=5, color=colour
        )


def _plain_ticks(axis: Axis) -> None:
    """Numbers at 1, 2, 5, 10, … of a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def _exact_bars(axes: Axes, players: NDArray[np.integer], heights: Floats) -> Any:
    bars = axes.bar(
        players, heights, width=0.86, color=EXACT_FILL, edgecolor=EXACT_EDGE, lw=0.8, zorder=1
    )
    axes.axhline(0, color="black", lw=0.8)
    return bars


def _by_player(axes: Axes, players: NDArray[np.integer]) -> None:
    axes.set_xticks(players)
    axes.set_xlim(-0.6, len(players) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _shifts(count: int) -> Floats:
    """Places of so many points beside each other within a bar."""
    return np.linspace(-0.33, 0.33, count) if count > 1 else np.zeros(count)
