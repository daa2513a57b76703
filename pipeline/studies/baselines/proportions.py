"""The probability of a proportional sample, printed, normalised and simulated (Theorem 2).

Each of the four utility functions is used with three sets of players: all players, for whom almost
no sample is exactly proportional, and the two and the three players with the highest probability.
In a small game the numbers can be counted by hand.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipeline.core.statistics import interval
from pipeline.studies.baselines.params import ProportionsParams
from pipeline.studies.baselines.proportional import (
    Proportion,
    effective_counts,
    most_probable,
    proportions,
)
from pipeline.studies.baselines.utilities import Rule, Utility, complete_table

EXAMPLE = Utility(6, (Rule(1.0, all_of=(0,), any_of=((1, 2),)),))
"""1 for player 0 with one of 1 and 2, and three null players: of 32 coalitions 24 are effective for
player 0, and 8 for each of 1 and 2."""

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


def theorem_2(effective: Mapping[str, list[int]], params: ProportionsParams) -> dict[str, Any]:
    """Theorem 2 of the worked example and of games, for a JSON file.

    Args:
        effective: effective coalitions of each player, by game.
        params: numbers of coalitions drawn, and number of simulated samples.
    """
    example = effective_counts(complete_table(EXAMPLE)[:, 0])
    rows = rows_of("example", "example", example, (0, 1, 2), params)
    for game, counts in effective.items():
        population = 2 ** (len(counts) - 1)
        for size, name in SETS.items():
            chosen = most_probable(counts, population, params.drawn, size)
            if chosen is not None:
                rows += rows_of(game, name, counts, chosen, params)
        rows += rows_of(game, "all players", counts, range(len(counts)), params)
    return {
        "sets": "of two and of three players the most probable set of each game",
        "effective_coalitions": {"example": example, **effective},
        "rows": rows,
    }


def rows_of(
    game: str, name: str, counts: list[int], players: Sequence[int], params: ProportionsParams
) -> list[dict[str, Any]]:
    """One row for each number of coalitions drawn, for some players of a game.

    Args:
        game: its name.
        name: of the set of players.
        counts: effective coalitions of each player of the game.
        players: of the set.
        params: as for :func:`theorem_2`.
    """
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
        # As text: JSON readers may round numbers above 2**53 and reject those above 1e308.
        "printed": f"{Decimal(found.printed):.6g}",
        "printed_log10": found.printed_log10,
        "probability": found.probability,
        "simulated": found.simulated.frequency,
        "standard_error": found.simulated.standard_error,
        "low": low,
        "high": high,
    }


def texts(row: Mapping[str, Any]) -> dict[str, str]:
    """Columns that are lists, as text for a CSV file."""
    return {name: " ".join(map(str, row[name])) for name in ("players", "effective")}
