"""Receipts vouch for stores: who reads a store by its receipt finds out if it does not hold."""

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
    """The store that a receipt vouches for; if it does not hold, the receipt is removed.

    Then the next run evaluates what is missing or damaged, and only that. Raises InputError.
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
        f"{error}. {receipt} said otherwise and is removed: run the same command again to "
        "evaluate what is missing, and only that"
    )


def _erase_damaged(path: str) -> None:
    """Erase what cannot be read back, so that nobody takes the store for complete."""
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
