"""Stage: Element Shapley Values of every frame, read from the coalition store.

No coalition is evaluated here. The result is an HDF5 file for programs and a table (CSV) for
people, which holds only the true and the predicted class.
"""

from pathlib import Path

from pipeline.store.vouching import believing
from pipeline.studies.frames.values import read_values, write_csv, write_values

VERSION = 2


def main(*, model: str, receipt: Path, out: Path, table: Path) -> None:  # noqa: ARG001  in paths
    """Values of all videos in the store of ``receipt``.

    If store and receipt disagree, the receipt is removed: the next run then evaluates what is
    missing.
    """
    with believing(receipt) as store:
        write_values(out, store)
    write_csv(table, read_values(out))
