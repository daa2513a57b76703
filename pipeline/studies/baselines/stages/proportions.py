"""Stage: the probability of a proportional sample, printed, normalised and simulated (Theorem 2).

The four utility functions are looked at with all their players, of whom hardly any sample is
exactly proportional, and with the two and the three players for whom it is most probable; and a
small game in which the numbers can be counted by hand.
"""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.baselines.figures import utilities as drawing
from pipeline.studies.baselines.params import ProportionsParams
from pipeline.studies.baselines.proportional import effective_counts, most_probable
from pipeline.studies.baselines.proportions import (
    COLUMNS,
    EXAMPLE,
    SETS,
    panels_of_stage,
    rows_of_stage,
    texts,
)
from pipeline.studies.baselines.tables import UTILITY, game_of
from pipeline.studies.baselines.utilities import complete_table

VERSION = 1


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
    rows = rows_of_stage("example", "example", example, (0, 1, 2), params)
    for game, counts in effective.items():
        population = 2 ** (len(counts) - 1)
        for size, name in SETS.items():
            chosen = most_probable(counts, population, params.drawn, size)
            if chosen is not None:
                rows += rows_of_stage(game, name, counts, chosen, params)
        rows += rows_of_stage(game, "all players", counts, range(len(counts)), params)
    with figure_style():
        save(drawing.draw_proportions(panels_of_stage(rows)), figure)
    write_table(table, COLUMNS, [{**row, **texts(row)} for row in rows])
    content = {
        "sets": "of two and of three players the most probable set of each game",
        "effective_coalitions": {"example": example, **effective},
        "rows": rows,
    }
    write_json(out, plain(content))
