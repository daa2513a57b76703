"""Stage: compare attributions of pictures with exact Shapley values of their areas.

Insertion and deletion curves are read from the stores too, without evaluations.
"""

from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.store.stored_game import StoredGame
from pipeline.store.vouching import believing
from pipeline.studies.baselines.agreement import (
    PICTURE_COLUMNS,
    Compared,
    all_measures,
    compare,
    picture_rows,
    summary_columns,
)
from pipeline.studies.baselines.attribution_files import Attributions, read_attributions
from pipeline.studies.baselines.params import AgreementParams

VERSION = 2


def main(
    *,
    attributions: list[Path],
    receipts: list[Path],
    params: AgreementParams,
    out: Path,
    table: Path,
    pictures: Path,
) -> None:
    """Compare all methods of each model.

    ``attributions`` and ``receipts`` belong to the same models in the same order. ``out`` is JSON,
    ``table`` CSV with one row per model and method, ``pictures`` CSV with one row per picture and
    method.
    """
    if len(attributions) != len(receipts):
        raise InputError(
            f"{len(attributions)} files of attributions and {len(receipts)} receipts: one receipt "
            "per file is needed"
        )
    found: list[tuple[Attributions, list[Compared]]] = []
    for path, receipt in zip(attributions, receipts, strict=True):
        known = read_attributions(path)
        with believing(receipt) as store:
            if store.record.identity != known.identity or store.instances != known.instances:
                raise InputError(
                    f"{path}: holds attributions of other pictures or another game than "
                    f"{store.path}; run baselines_attributions first"
                )
            games = [StoredGame(store, i) for i in range(len(store))]
            found.append((known, compare(known, games, params.ink)))
    content = all_measures(found)
    write_table(table, summary_columns(), content["rows"])
    write_table(pictures, PICTURE_COLUMNS, [row for pair in found for row in picture_rows(*pair)])
    write_json(out, plain(content))
