"""Stage: the probability of a proportional sample, printed, normalised and simulated (Theorem 2).

The four utility functions are looked at with all their players, of whom hardly any sample is
exactly proportional, and with the two and the three players for whom it is most probable; and a
small game in which the numbers can be counted by hand.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.baselines import drawing_utilities as drawing
from pipeline.baselines.proportional import (
    Proportion,
    effective_counts,
    interval,
    most_probable,
    proportions,
)
from pipeline.baselines.tables import UTILITY, game_of
from pipeline.baselines.utilities import Rule, Utility, complete_table
from pipeline.files import write_json
from pipeline.params.baselines import ProportionsParams
from pipeline.plotting import figure_style, save
from pipeline.stage import run
from pipeline.tables import plain, write_table
from pipeline.vouching import believing

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


def main(
    *,
    receipts: list[Path],
    params: ProportionsParams,
    out: Path,
    table: Path,
    figure: Path,
    threads: int = 1,  # noqa: ARG001
) -> None:
    """Theorem 2 for the utility functions that ``receipts`` vouch for, and a worked example.

    ``out`` is JSON and ``table`` CSV with a row a set of players and number of coalitions drawn;
    ``figure`` is PNG, with an SVG beside it.
    """
    effective: dict[str, list[int]] = {}
    for receipt in receipts:
        with believing(receipt) as store:
            effective[game_of(store)] = effective_counts(store.read(UTILITY)[:, 0])
    example = effective_counts(complete_table(EXAMPLE)[:, 0])
    rows = _rows("example", "example", example, (0, 1, 2), params)
    for game, counts in effective.items():
        population = 2 ** (len(counts) - 1)
        for size, name in SETS.items():
            chosen = most_probable(counts, population, params.drawn, size)
            if chosen is not None:
                rows += _rows(game, name, counts, chosen, params)
        rows += _rows(game, "all players", counts, range(len(counts)), params)
    with figure_style():
        save(drawing.draw_proportions(_panels(rows)), figure)
    write_table(table, COLUMNS, [{**row, **_texts(row)} for row in rows])
    content = {
        "sets": "of two and of three players the most probable set of each game",
        "effective_coalitions": {"example": example, **effective},
        "rows": rows,
    }
    write_json(out, plain(content))


def _rows(
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


def _texts(row: dict[str, Any]) -> dict[str, str]:
    return {name: " ".join(map(str, row[name])) for name in ("players", "effective")}


def _panels(rows: list[dict[str, Any]]) -> dict[str, list[drawing.ProportionLine]]:
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


if __name__ == "__main__":
    run(main)
