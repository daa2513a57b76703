"""Opens stores through their receipts, and fails if the two disagree."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.store import (
    CoalitionStore,
    DamagedShard,
    DamagedStore,
    MissingInstance,
    open_store,
    verify,
)
from pipeline.store.evaluation import read_receipt


@contextmanager
def believing(receipt: Path) -> Iterator[CoalitionStore]:
    """Open the store of a receipt; remove the receipt if the store does not match it.

    The next run then evaluates only what is missing or damaged.

    Raises InputError if the store does not match the receipt, or turns out to be damaged or
    incomplete inside the block.
    """
    try:
        store = _vouched_store(receipt)
    except InputError as error:
        raise _unvouched(receipt, error) from None
    try:
        yield store
    except (DamagedStore, DamagedShard, MissingInstance) as error:
        if isinstance(error, DamagedShard):
            _erase_damaged(store.path)
        raise _unvouched(receipt, error) from None


def _unvouched(receipt: Path, error: InputError) -> InputError:
    receipt.unlink(missing_ok=True)
    return InputError(
        f"{error}. {receipt} does not match the store and is removed: run the same command again, "
        "which evaluates only what is missing"
    )


def _erase_damaged(path: str) -> None:
    """Erase instances that cannot be read back, so that the store does not look complete."""
    store = open_store(path, "r+")
    for damage in verify(store):
        if damage.instance is not None:
            store.erase(damage.instance)


def _vouched_store(receipt: Path) -> CoalitionStore:
    record = read_receipt(receipt)
    store = open_store(record.store)
    if store.record.identity != record.identity:
        raise InputError(f"{record.store}: holds another game than {receipt} says")
    return store
