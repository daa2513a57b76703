"""Stage: how well networks replace utility functions (Figs. 8 and 9).

Shapley values, and errors at coalitions outside the training data, come from the stores. Theorem 3
is checked with the networks' gradients at sampled coalitions; all sizes are equally likely.
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
    """Compare networks with their utility functions, and check Theorem 3 on the networks.

    ``receipts`` belong to the tables of the games, ``checkpoints`` to all their networks. ``out``
    is JSON. CSV are ``table`` (one row per network), ``values`` (one row per player and instance)
    and ``connections`` (one row per network: Theorem 3).
    """
    networks = read_networks(checkpoints)
    found = []
    for receipt in receipts:
        # On one thread, so that sums do not depend on the number of threads.
        with believing(receipt) as store, one_thread():
            found.append(look(store, networks_of(store, networks), params))
    content = everything(found)
    write_table(values, VALUE_COLUMNS, [row for of_game in found for row in value_rows(of_game)])
    write_table(connections, CONNECTION_COLUMNS, content["theorem_3"])
    write_table(table, FIT_COLUMNS, content["networks"])
    write_json(out, plain(content))
