"""Stage: Effective Shapley values against permutation sampling at equal evaluations (Fig. 2)."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.baselines.params import RatiosParams
from pipeline.studies.baselines.ratios import (
    COLUMNS,
    COUNT_COLUMNS,
    VALUE_COLUMNS,
    compare,
    everything,
)
from pipeline.studies.baselines.surrogates import one_thread
from pipeline.studies.baselines.tables import networks_of, read_networks

VERSION = 3


def main(
    *,
    receipts: list[Path],
    checkpoints: list[Path],
    params: RatiosParams,
    out: Path,
    table: Path,
    values: Path,
    counts: Path,
) -> None:
    """Ratios of Shapley values by Effective Shapley values and other methods, and their errors.

    ``receipts`` belong to the tables of the games, ``checkpoints`` to all their networks. ``out``
    is JSON. ``table`` (CSV) has one row per game, kind of instance, method and number of coalitions
    drawn. ``values`` (CSV) has one row per player and method at the largest number. ``counts``
    (CSV) has one row per nonempty cell d_jk of Algorithm 1, for the utility functions at the
    largest number in the first repeat.
    """
    networks = read_networks(checkpoints)
    found = []
    for receipt in receipts:
        # On one thread, so that sums do not depend on the number of threads.
        with believing(receipt) as store, one_thread():
            found.append(compare(store, networks_of(store, networks), params))
    content = everything(found)
    write_table(values, VALUE_COLUMNS, content["values"])
    write_table(counts, COUNT_COLUMNS, [row for compared in found for row in compared.counts])
    write_table(table, COLUMNS, content["rows"])
    write_json(out, plain(content))
