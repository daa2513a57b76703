"""Stage: train networks for a table, and measure them."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.studies.shapnets import networks
from pipeline.studies.shapnets.params import (
    ComparedParams,
    ConsistentParams,
    LearnedParams,
    NetworksParams,
    OwnTableParams,
    RegularisedParams,
    TablesParams,
    TrainingParams,
)
from pipeline.studies.shapnets.table_data import read_split
from pipeline.studies.shapnets.trained import MEASURES, recipes, train_all

VERSION = 3

COLUMNS = ["network", "parameters", *(n for m in MEASURES for n in (m, f"{m} error"))]


def main(
    *,
    source: str,
    group: str,
    tables: TablesParams,
    training: TrainingParams,
    sizes: NetworksParams,
    section: ComparedParams | RegularisedParams | ConsistentParams | LearnedParams,
    out: Path,
    numbers: Path,
    table: Path,
    yeast: str | None = None,
    own: OwnTableParams | None = None,
) -> None:
    """Train the networks of a ``group`` on the table ``source``.

    ``out`` holds the networks of the first run, ``numbers`` (JSON) and ``table`` (CSV) the measures
    of all runs.
    """
    splits = [
        read_split(source, tables, yeast, own, round_number)
        for round_number in range(training.rounds)
    ]
    split = splits[0]
    most = section.folds if isinstance(section, ConsistentParams) else training.folds
    made = recipes(split, sizes, section, training.seed, bias=source == "own")
    rows, found, pairs = train_all(splits, made, training, source, most)
    networks.save(out, found)
    write_table(table, COLUMNS, rows)
    content = {
        "source": source,
        "group": group,
        "measure": "loss" if split.train.classes is None else "accuracy",
        "runs": training.rounds * min(most, training.folds),
        "features": list(split.train.names),
        "outputs": list(split.outputs),
        "rows": rows,
        "pairs": pairs,
    }
    write_json(numbers, plain(content))
