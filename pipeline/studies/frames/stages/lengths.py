"""Stage: how many frames support the class, by the number of frames (Figs. 6b, 11b).

Exact values of the same videos with 1 … max_frames frames each, read from the coalition stores.
"""

from pathlib import Path
from typing import Any

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.frames.lengths import (
    COLUMNS,
    length_rows,
    supporting_by_length,
    values_by_length,
)
from pipeline.studies.frames.paths import MODELS

VERSION = 1


def main(*, receipts: list[Path], out: Path, table: Path) -> None:
    """Percentage of frames with a positive value for the true class, by number of frames.

    ``receipts`` belong to the games of TRN and TSN, in this order. ``out`` is JSON, ``table`` CSV.
    """
    found: dict[str, Any] = {}
    for model, receipt in zip(MODELS, receipts, strict=True):
        with believing(receipt) as store:
            frames = list(range(1, store.record.n_players + 1))
            found[model] = supporting_by_length(values_by_length(store))
    rows = [row for model in MODELS for row in length_rows(model, frames, found[model])]
    write_table(table, COLUMNS, rows)
    write_json(out, plain({"frames": frames, **found}))
