"""Stage: the probability of a proportional sample (Theorem 2): printed, normalised, simulated."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.baselines.params import ProportionsParams
from pipeline.studies.baselines.proportional import effective_counts
from pipeline.studies.baselines.proportions import COLUMNS, texts, theorem_2
from pipeline.studies.baselines.tables import UTILITY, game_of

VERSION = 1


def main(*, receipts: list[Path], params: ProportionsParams, out: Path, table: Path) -> None:
    """Theorem 2 for the utility functions in the stores of ``receipts``, and a worked example.

    ``out`` is JSON and ``table`` CSV with one row per set of players and number of coalitions
    drawn.
    """
    effective: dict[str, list[int]] = {}
    for receipt in receipts:
        with believing(receipt) as store:
            effective[game_of(store)] = effective_counts(store.read(UTILITY)[:, 0])
    content = theorem_2(effective, params)
    write_table(table, COLUMNS, [{**row, **texts(row)} for row in content["rows"]])
    write_json(out, plain(content))
