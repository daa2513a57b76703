"""Stage: the probability of a proportional sample, printed, normalised and simulated (Theorem 2).

The four utility functions are looked at with all their players, of whom hardly any sample is
exactly proportional, and with the two and the three players for whom it is most probable; and a
small game in which the numbers can be counted by hand.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from pipeline.studies.baselines.figures import utilities as drawing
from pipeline.studies.baselines.params import ProportionsParams
from pipeline.studies.baselines.proportional import (
    Proportion,
    interval,
    proportions,
)
from pipeline.studies.baselines.utilities import Rule, Utility

EXAMPLE = Utility(6, (Rule(1.0, all_of=(0,), any_of=((1, 2),)),))
"""1 for player 0 with one of 1 and 2, and three players who are worth nothing: of 32 coalitions 24
are effective for player 0, and 8 for each of 1 and 2."""

SETS = {2: "two players", 3: "three players"}
COLUMNS = (
    "game",
    "set",
    "players",
    "effective",
    "population",
    "drawn",
    "printed",
    "printed_log10",
    "probability",
    "simulated",
    "standard_error",
    "low",
    "high",
)


def rows_of_stage(
    game: str, name: str, counts: list[int], players: Sequence[int], params: ProportionsParams
) -> list[dict[str, Any]]:
    chosen, population = [counts[i] for i in players], 2 ** (len(counts) - 1)
    found = proportions(
        chosen, population, params.drawn, simulations=params.simulations, seed=params.seed
    )
    common = {
        "game": game,
        "set": name,
        "players": list(players),
        "effective": chosen,
        "population": population,
    }
    return [{**common, **_numbers(one, params.simulations)} for one in found]


def _numbers(found: Proportion, simulations: int) -> dict[str, Any]:
    low, high = interval(found.simulated.frequency, simulations)
    return {
        "drawn": found.drawn,
        # As text: past 2**53 readers of JSON would round it, past 1e308 refuse it.
        "printed": f"{Decimal(found.printed):.6g}",
        "printed_log10": found.printed_log10,
        "probability": found.probability,
        "simulated": found.simulated.frequency,
        "standard_error": found.simulated.standard_error,
        "low": low,
        "high": high,
    }


def texts(row: dict[str, Any]) -> dict[str, str]:
    return {name: " ".join(map(str, row[name])) for name in ("players", "effective")}


def panels_of_stage(rows: list[dict[str, Any]]) -> dict[str, list[drawing.ProportionLine]]:
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["game"], row["set"]), []).append(row)
    panels: dict[str, list[drawing.ProportionLine]] = {}
    for (game, _), of_line in lines.items():
        title = "worked example, 6 players" if game == "example" else drawing.game_name(game)
        columns = ("drawn", "probability", "simulated", "low", "high")
        values = [np.array([row[column] for row in of_line]) for column in columns]
        panels.setdefault(title, []).append(drawing.ProportionLine(_named(of_line[0]), *values))
    return panels


def _named(row: dict[str, Any]) -> str:
    """A set of players for a legend; a few with their numbers of effective coalitions."""
    if row["set"] == "all players":
        return row["set"]
    counts = " : ".join(map(str, row["effective"]))
    return f"{', '.join(map(str, row['players']))} ({counts} of {row['population']})"
