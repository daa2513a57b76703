"""Checks the plan before the evaluation of a game, and the receipts after it."""

from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.store import CoalitionStore, open_store
from pipeline.store.evaluation import (
    merge_receipts,
    partition_of,
    read_receipt,
    write_receipt,
)
from pipeline.store.opening import OpenGame


def merge(parts: list[Path], out: Path) -> None:
    """Merge the receipts ``parts`` into ``out``.

    A partition's receipt that the store does not match is removed, so that the next run evaluates
    what is missing. Raises InputError then.
    """
    receipts = {path: read_receipt(path) for path in parts}
    merged = merge_receipts(receipts.values())
    store = open_store(merged.store)
    if store.record.identity != merged.identity or len(store) != merged.instances:
        wrong = list(receipts)
    else:
        done = store.done()
        wrong = [
            path
            for path, receipt in receipts.items()
            if not done[list(partition_of(store, receipt.partition))].all()
        ]
    if wrong:
        for path in wrong:
            path.unlink()
        raise InputError(
            f"{merged.store}: does not hold what {', '.join(map(str, wrong))} said; removed. "
            "Run the same command again: it evaluates only what is missing"
        )
    write_receipt(merged, out)


def refuse_other(
    store: CoalitionStore, opened: OpenGame, partition: tuple[int, int], *, remedy: str
) -> None:
    """Raise InputError unless a store was planned for exactly this game and these inputs.

    Args:
        store: the planned store.
        opened: the game.
        partition: (index, number of partitions) whose instances are compared.
        remedy: advice for the error message.
    """
    if store.record.identity != opened.record.identity:
        raise InputError(f"{store.path}: is planned for another game; {remedy}")
    if store.instances != opened.instances:
        raise InputError(f"{store.path}: is planned for other instances; {remedy}")
    for i in partition_of(store, partition):
        classes = None if store.output_classes is None else store.output_classes[i]
        if store.input_sha256[i] != opened.digest(i, classes):
            raise InputError(
                f"{store.path}: is planned for another input of {store.instances[i]!r}; {remedy}"
            )
