"""Stage: how values change when a neighbouring frame replaces a frame (Figs. 6c and 11c).

Exact values of the sequences with one frame replaced, read from the coalition stores.
"""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.frames.paths import MODELS
from pipeline.studies.frames.shift import COLUMNS, ShiftChanges, shift_rows, stored_changes
from pipeline.studies.frames.values import unit_of

VERSION = 1


def main(*, receipts: list[Path], out: Path, table: Path) -> None:
    """|Δφ| of the true class by the distance by which a frame was shifted.

    ``receipts`` belong to the games of TRN and TSN, in this order. ``out`` is JSON, ``table`` CSV.
    """
    found: dict[str, ShiftChanges] = {}
    for model, receipt in zip(MODELS, receipts, strict=True):
        with believing(receipt) as store:
            found[model] = stored_changes(store)
            unit = unit_of(str(store.record.specification["score"]))
    rows = {model: shift_rows(model, changes) for model, changes in found.items()}
    write_table(table, COLUMNS, [row for of_model in rows.values() for row in of_model])
    by_model = {m: {"spread": c.spread, "by_shift": rows[m]} for m, c in found.items()}
    write_json(out, plain({"unit": unit, **by_model}))
