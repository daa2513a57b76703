"""Stage: what the choice of removal changes, for TRN beside TSN.

Absent frames are deleted, or replaced by the nearest present frame, the mean or nothing. All values
are read from the stores.
"""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.store.vouching import believing
from pipeline.studies.frames.figures.removal import draw_removal
from pipeline.studies.frames.paths import MODELS
from pipeline.studies.frames.removals import COLUMNS, compared

VERSION = 1


def main(*, receipts: list[Path], out: Path, table: Path, figure: Path) -> None:
    """Agreement of the values between removals, over the videos in the stores.

    ``receipts`` belong to the games of TRN and TSN, in this order. ``out`` is JSON, ``table`` is
    CSV with one row per model and pair of removals.
    """
    rows = []
    for model, receipt in zip(MODELS, receipts, strict=True):
        with believing(receipt) as store:
            rows += compared(model, store)
    write_table(table, COLUMNS, rows)
    with figure_style():
        save(draw_removal(rows), figure)
    write_json(out, plain({"rows": rows}))
