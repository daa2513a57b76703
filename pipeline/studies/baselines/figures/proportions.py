"""Draw the probability of a proportional sample (Theorem 2)."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.studies.baselines.figures.style import (
    NETWORK_STYLES,
    Row,
    column,
    game_name,
    grouped,
)


def draw_proportions(rows: Sequence[Row]) -> Figure:
    """Theorem 2: the normalised and the simulated probability against the coalitions drawn.

    One panel per game, one colour per set of players.

    Args:
        rows: of a game, set of players and number drawn, as the stage proportions writes them.
    """
    games = grouped(rows, "game")
    n_rows = -(-len(games) // 3)
    figure, all_axes = plt.subplots(n_rows, 3, figsize=(13.2, 3.5 * n_rows), squeeze=False)
    for axes in all_axes.ravel()[len(games) :]:
        axes.set_visible(False)
    for axes, (game, of_game) in zip(all_axes.ravel(), games.items(), strict=False):
        lines = list(grouped(of_game, "set").values())
        # Side by side, since sets of players may have the same probabilities.
        places = 0.5 * (np.arange(len(lines)) - (len(lines) - 1) / 2)
        for line, (colour, marker), shift in zip(lines, NETWORK_STYLES, places, strict=False):
            _draw_points(axes, line, colour, marker, shift)
        top = min(1.04, 1.5 * column(of_game, "high").max())  # leaves room for the legend
        title = "worked example, 6 players" if game == "example" else game_name(game)
        axes.set(title=title, xlabel="coalitions drawn per player", ylim=(-0.04 * top, top))
        axes.legend(fontsize=8.5, title_fontsize=8.5, title="players (effective coalitions)")
    for axes in all_axes[:, 0]:
        axes.set_ylabel("probability of\na proportional sample")
    figure.suptitle(
        "Crosses: Theorem 2, normalised. Open symbols: simulation with 95 % intervals", fontsize=11
    )
    return figure


def _draw_points(axes: Axes, rows: Sequence[Row], colour: str, marker: str, shift: float) -> None:
    drawn, simulated = column(rows, "drawn") + shift, column(rows, "simulated")
    axes.plot(drawn, column(rows, "probability"), "x", color=colour, ms=5, mew=1.3, zorder=3)
    beyond = np.stack([simulated - column(rows, "low"), column(rows, "high") - simulated])
    axes.errorbar(
        drawn,
        simulated,
        yerr=np.maximum(0, beyond),
        ls="none",
        marker=marker,
        ms=7,
        mfc="white",
        capsize=3,
        color=colour,
        label=_named(rows[0]),
    )


def _named(row: Row) -> str:
    """Label of a set of players; if not all players, with their numbers of effective coalitions."""
    if row["set"] == "all players":
        return str(row["set"])
    counts = " : ".join(map(str, row["effective"]))
    return f"{', '.join(map(str, row['players']))} ({counts} of {row['population']})"
