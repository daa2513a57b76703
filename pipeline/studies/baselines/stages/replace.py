"""Stage: what networks make of the utility functions that they stand in for (Figs. 8 and 9).

Shapley values and errors at coalitions that were not trained on come from the stores. Theorem 3 is
looked at where the networks' gradients are: at sampled coalitions, each size as likely as another.
"""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.baselines.params import ReplaceParams
from pipeline.studies.baselines.replace import (
    CONNECTION_COLUMNS,
    FIT_COLUMNS,
    VALUE_COLUMNS,
    everything,
    look,
    value_rows,
)
from pipeline.studies.baselines.surrogates import one_thread
from pipeline.studies.baselines.tables import networks_of, read_networks

VERSION = 1


def main(
    *,
    receipts: list[Path],
    checkpoints: list[Path],
    params: ReplaceParams,
    out: Path,
    table: Path,
    values: Path,
    connections: Path,
) -> None:
    """Networks beside their utility functions, and Theorem 3 of the networks.

    ``receipts``: of the tables of the games; ``checkpoints``: of all their networks. ``out`` is
    JSON; CSV are ``table`` (a row a network), ``values`` (a row a player and instance) and
    ``connections`` (a row a network: Theorem 3).
    """
    networks = read_networks(checkpoints)
    found = []
    for receipt in receipts:
        # On one thread alone, so that sums do not depend on how many there are.
        with believing(receipt) as store, one_thread():
            found.append(look(store, networks_of(store, networks), params))
    content = everything(found)
    write_table(values, VALUE_COLUMNS, [row for of_game in found for row in value_rows(of_game)])
    write_table(connections, CONNECTION_COLUMNS, content["theorem_3"])
    write_table(table, FIT_COLUMNS, content["networks"])
    write_json(out, plain(content))
