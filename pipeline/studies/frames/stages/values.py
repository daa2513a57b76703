"""Stage: Element Shapley Values of every frame, read from the coalition store.

Nothing is evaluated here. The result is HDF5 for programs and, for the true and the predicted class
alone, a table (CSV) for people.
"""

from pathlib import Path

from pipeline.store.vouching import believing
from pipeline.studies.frames.values import read_values, stored_values, write_csv, write_hdf5

VERSION = 1


def main(*, model: str, receipt: Path, out: Path, table: Path) -> None:  # noqa: ARG001  in paths
    """Values of all videos in the store that ``receipt`` vouches for.

    If the store does not hold what the receipt says, the receipt is removed: then the next run
    evaluates what is missing.
    """
    with believing(receipt) as store:
        write_hdf5(out, store, stored_values(store))
    write_csv(table, read_values(out))
