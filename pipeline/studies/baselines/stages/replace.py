"""Stage: what networks make of the utility functions that they stand in for (Figs. 8 and 9).

Shapley values and errors at coalitions that were not trained on come from the stores. Theorem 3 is
looked at where the networks' gradients are: at sampled coalitions, each size as likely as another.
"""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.baselines.figures import utilities as drawing
from pipeline.studies.baselines.params import ReplaceParams
from pipeline.studies.baselines.replace_stage import (
    CONNECTION_COLUMNS,
    FIT_COLUMNS,
    VALUE_COLUMNS,
    connection_panel,
    connection_rows,
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
    figure: Path,
    connected_figure: Path,
    threads: int = 1,  # noqa: ARG001  one alone is used, so that values do not depend on it
) -> None:
    """Networks beside their utility functions, and Theorem 3 of the networks.

    ``receipts``: of the tables of the games; ``checkpoints``: of all their networks. ``out`` is
    JSON; CSV are ``table`` (a row a network), ``values`` (a row a player and instance) and
    ``connections`` (a row a network: Theorem 3). The figures are PNG, each with an SVG beside it.
    """
    networks = read_networks(checkpoints)
    found = []
    for receipt in receipts:
        with believing(receipt) as store, one_thread():
            found.append(look(store, networks_of(store, networks), params))
    fits = [row for replaced in found for row in replaced.fits]
    held = [row for replaced in found for row in connection_rows(replaced)]
    with figure_style():
        panels = [drawing.ReplacedPanel(r.game, r.utility_values, r.network_values) for r in found]
        save(drawing.draw_replaced(panels), figure)
        save(drawing.draw_connected([connection_panel(r) for r in found]), connected_figure)
    write_table(values, VALUE_COLUMNS, [row for r in found for row in value_rows(r)])
    write_table(connections, CONNECTION_COLUMNS, held)
    write_table(table, FIT_COLUMNS, fits)
    by_game = {
        r.game: {
            "utility": r.utility_values,
            "networks": dict(zip(r.networks, r.network_values, strict=True)),
        }
        for r in found
    }
    content = {"networks": fits, "theorem_3": held, "shapley_values": by_game}
    write_json(out, plain(content))
