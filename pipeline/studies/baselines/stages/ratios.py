"""Stage: Effective Shapley values beside permutation sampling at equal evaluations (Fig. 2).

All values are read from the stores of complete tables: an estimator that asks for a coalition is
given what is stored, and what it asked for is counted. A network's estimates are compared with the
exact values of that network, not with those of the function that it stands in for.
"""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.baselines.estimates import EFFECTIVE, GRADIENTS, PLAIN
from pipeline.studies.baselines.figures import utilities as drawing
from pipeline.studies.baselines.params import RatiosParams
from pipeline.studies.baselines.ratios import (
    COLUMNS,
    COUNT_COLUMNS,
    VALUE_COLUMNS,
    compare,
    error_panels,
    ratio_panels,
    rows_of_stage,
    value_rows,
    verdicts,
)
from pipeline.studies.baselines.surrogates import one_thread
from pipeline.studies.baselines.tables import networks_of, read_networks

VERSION = 1


def main(
    *,
    receipts: list[Path],
    checkpoints: list[Path],
    params: RatiosParams,
    out: Path,
    table: Path,
    values: Path,
    counts: Path,
    figure: Path,
    error_figure: Path,
    threads: int = 1,  # noqa: ARG001  one alone is used, so that values do not depend on it
) -> None:
    """Ratios of Shapley values by Effective Shapley values and others, and their errors.

    ``receipts``: of the tables of the games; ``checkpoints``: of all their networks. ``out`` is
    JSON; ``table`` CSV with a row a game, kind of instance, method and number of coalitions drawn;
    ``values`` CSV with a row a player and method at the largest number; ``counts`` CSV with a row
    for each cell d_jk of Algorithm 1 that holds any coalition: of the utility functions, at the
    largest number, in the first repeat. The figures are PNG, each with an SVG beside it.
    """
    networks = read_networks(checkpoints)
    found = []
    for receipt in receipts:
        with believing(receipt) as store, one_thread():
            found.append(compare(store, networks_of(store, networks), params))
    rows = [row for compared in found for row in rows_of_stage(compared)]
    shares = [row for compared in found for row in value_rows(compared)]
    with figure_style():
        save(drawing.draw_ratios([p for c in found for p in ratio_panels(c)]), figure)
        save(drawing.draw_errors(error_panels(rows)), error_figure)
    write_table(values, VALUE_COLUMNS, shares)
    write_table(counts, COUNT_COLUMNS, [row for compared in found for row in compared.counts])
    write_table(table, COLUMNS, rows)
    content = {
        "methods": EFFECTIVE | PLAIN | GRADIENTS,
        "compared_with": "exact values of the same instance",
        "evaluations": "distinct coalitions; of gradients, points at which they were evaluated",
        "standard_deviation": "over repeats of one instance, a mean over instances",
        "standard_error": "of the mean over instances and repeats, over repeats",
        "verdicts_against_permutation": verdicts(rows, "verdict"),
        "verdicts_against_effective": verdicts(rows, "verdict_effective"),
        "rows": rows,
        "values": shares,
    }
    write_json(out, plain(content))
