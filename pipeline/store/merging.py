"""One receipt for all partitions of a game, once all its instances are in the store."""

from pathlib import Path

import numpy as np

from pipeline.core.errors import InputError
from pipeline.store import open_store
from pipeline.store.evaluation import (
    Receipt,
    merge_receipts,
    partition_indices,
    read_receipt,
    write_receipt,
)


def merge(parts: list[Path], out: Path) -> None:
    """Merge the receipts ``parts`` into ``out``.

    A receipt of a partition that is not in the store as it says is removed: then the next run
    evaluates what is missing.
    """
    receipts = {path: read_receipt(path) for path in parts}
    merged = merge_receipts(receipts.values())
    store = open_store(merged.store)
    if store.record.identity != merged.identity or len(store) != merged.instances:
        wrong = list(receipts)
    else:
        done = store.done()
        wrong = [path for path, receipt in receipts.items() if not _is_done(receipt, done)]
    if wrong:
        for path in wrong:
            path.unlink()
        raise InputError(
            f"{merged.store}: does not hold what {', '.join(map(str, wrong))} said; removed. "
            "Run the same command again to evaluate what is missing, and only that"
        )
    write_receipt(merged, out)


def _is_done(receipt: Receipt, done: np.ndarray) -> bool:
    return bool(done[list(partition_indices(len(done), receipt.partition))].all())
