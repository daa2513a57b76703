"""Evaluates the missing values of a store and writes a receipt of what was evaluated."""

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import write_json
from pipeline.core.progress import progress
from pipeline.store import CoalitionStore, DamagedShard, MissingInstance, UnusableValues
from pipeline.store.claims import Claims, claiming

log = logging.getLogger(__name__)

RECEIPT_FORMAT = "evaluation-receipt"
RECEIPT_VERSION = 1
CHECK_BYTES = 64 << 20
"""Bytes of stored values that a check reads at once."""
KEEP_SECONDS = 5.0
"""Seconds after which evaluated instances are stored although their shards are not complete."""

Tables = Callable[[Sequence[int]], NDArray[np.floating[Any]]]
"""Evaluates instances, given by index: returns (len(indices), coalition, output) floats."""


@dataclass(frozen=True)
class Receipt:
    """What one run evaluated, and what it reused from the store.

    One evaluation is one coalition of one instance, with all outputs.
    """

    study: str
    game: str
    store: str
    """Path of the store, as given."""
    identity: str
    partition: tuple[int, int]
    """(index, number of partitions)."""
    instances: int
    """Number of instances in the partition."""
    instances_evaluated: int
    instances_reused: int
    instances_damaged: tuple[str, ...]
    """Ids of the instances that were found damaged and evaluated again."""
    evaluations_made: int
    evaluations_reused: int
    seconds: float
    device: str
    format: str = RECEIPT_FORMAT
    format_version: int = RECEIPT_VERSION


def play(
    store: CoalitionStore,
    tables: Tables,
    *,
    batch_size: int,
    partition: tuple[int, int] = (0, 1),
    description: str = "",
    device: str = "",
    evaluations: Callable[[int], int] | None = None,
) -> Receipt:
    """Evaluate the instances of a partition that are missing or damaged, and store their values.

    First reads and checks the values that are stored. A damaged instance is evaluated again, with a
    warning. A shard is stored as soon as all its instances are evaluated; every few seconds, also
    those that are not complete yet. Partitions are contiguous and take whole shards. They may run
    in any order, any number of times, several at once.

    Other processes may play the same instances at the same time: one of them evaluates each shard.
    This one waits for shards that another has begun, and evaluates them if the other dies. On
    return the whole partition is done. Only one thread of a process may play a store at a time.

    Args:
        store: opened for writing.
        tables: evaluates a batch of instances.
        batch_size: instances per batch.
        partition: (index, number of partitions).
        description: label of the progress bar.
        device: device of the evaluations, for the receipt.
        evaluations: number of coalitions evaluated for an instance, by its index; default: all.

    Raises:
        UnusableValues: some values are not finite; names their instances. The rest of the batch is
            stored first.
        InputError: no such partition; the disk is full; the store was planned again meanwhile.
    """
    start = time.perf_counter()
    owned = partition_of(store, partition)
    if batch_size < 1:
        raise InputError(f"batch size {batch_size}: must be at least 1")
    missing, suspects = _looked_through(store, owned, description)
    rows = evaluations or (lambda _: store.record.rows)
    damaged, evaluated = _fill(store, missing, suspects, tables, batch_size, rows, description)
    made = sum(map(rows, evaluated))
    return Receipt(
        study=store.record.study,
        game=store.record.game,
        store=store.path,
        identity=store.record.identity,
        partition=partition,
        instances=len(owned),
        instances_evaluated=len(evaluated),
        instances_reused=len(owned) - len(evaluated),
        instances_damaged=tuple(store.instances[i] for i in damaged),
        evaluations_made=made,
        evaluations_reused=sum(map(rows, owned)) - made,
        seconds=round(time.perf_counter() - start, 3),
        device=device,
    )


def partition_indices(n_instances: int, partition: tuple[int, int]) -> range:
    """Indices of a partition's instances: contiguous, in sizes that differ by at most one.

    Some partitions are empty if there are more partitions than instances.
    """
    index, count = partition
    if count < 1 or not 0 <= index < count:
        raise InputError(
            f"partition {index} of {count}: the index must be from 0 to the number of partitions "
            f"minus 1"
        )
    size, larger = divmod(n_instances, count)
    first = index * size + min(index, larger)
    return range(first, first + size + (index < larger))


def partition_of(store: CoalitionStore, partition: tuple[int, int]) -> range:
    """Indices of a partition's instances, which are those of whole shards.

    Raises InputError as :func:`partition_indices`.
    """
    shards = partition_indices(store.n_shards, partition)
    first, end = (
        min(number * store.per_shard, len(store)) for number in (shards.start, shards.stop)
    )
    return range(first, end)


def _looked_through(
    store: CoalitionStore, owned: range, description: str
) -> tuple[list[int], list[int]]:
    """Indices without values, and indices whose values cannot be read."""
    done = store.done()
    with progress(f"{description} check".strip(), int(done[owned].sum()), "instances") as advance:
        suspects = _unreadable(store, [i for i in owned if done[i]], advance)
    return [i for i in owned if not done[i]], suspects


def _fill(
    store: CoalitionStore,
    missing: Sequence[int],
    suspects: Sequence[int],
    tables: Tables,
    batch_size: int,
    rows: Callable[[int], int],
    description: str,
) -> tuple[list[int], list[int]]:
    """Evaluate what is missing or damaged; return the damaged and the evaluated instances."""
    evaluated: list[int] = []
    # Claims need a writable folder, so a complete store is played without: it may be read-only.
    unclaimed = nullcontext(Claims(Path(store.path), None))
    with claiming(store.path) if missing or suspects else unclaimed as claims:
        damaged, erased = _erase_damaged(store, suspects, claims)
        missing = sorted([*missing, *erased])
        with (
            progress(description, sum(map(rows, missing)), "evaluations") as advance,
            _keeping(store, claims) as unkept,
        ):
            for batch, found in _claimed_batches(store, claims, missing, batch_size, unkept):
                if batch:
                    unkept.keep(batch, np.asarray(tables(batch)))
                evaluated += batch
                advance(sum(map(rows, [*batch, *found])))
    return damaged, evaluated


def _unreadable(
    store: CoalitionStore, indices: Sequence[int], advance: Callable[[int], None]
) -> list[int]:
    """Read the values of these instances; return the indices that cannot be read."""
    bad: list[int] = []
    at_once = max(1, CHECK_BYTES // (store.shape[0] * store.shape[1] * 4))
    for first in range(0, len(indices), at_once):
        some = indices[first : first + at_once]
        try:
            store.read_many(some)
        except (DamagedShard, MissingInstance):
            bad += [i for i in some if _damage(store, i) is not None]
        advance(len(some))
    return bad


def _damage(store: CoalitionStore, i: int) -> DamagedShard | MissingInstance | None:
    try:
        store.read(i)
    except (DamagedShard, MissingInstance) as error:
        return error
    return None


def _erase_damaged(
    store: CoalitionStore, suspects: Sequence[int], claims: Claims
) -> tuple[list[int], list[int]]:
    """Erase and report instances that are still damaged.

    Another process may have found the same damage, and have erased or repaired it since. So this
    one erases only what it finds damaged while it holds the claim.

    Returns:
        The damaged instances, and all instances that now lack values.
    """
    damaged, gone = [], []
    for shard, members in _by_shard(store, suspects).items():
        claims.wait(shard)
        found = {i: _damage(store, i) for i in members}
        for i, error in found.items():
            if isinstance(error, DamagedShard):
                log.warning("%s", error)
                store.erase(i)
                damaged.append(i)
            if error is not None:
                gone.append(i)
        claims.release([shard])
    return damaged, gone


def _by_shard(store: CoalitionStore, indices: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for i in indices:
        found.setdefault(i // store.per_shard, []).append(i)
    return found


class _Unkept:
    """Values that were evaluated and are not stored yet, by shard. Made by :func:`_keeping`."""

    def __init__(self, store: CoalitionStore, claims: Claims) -> None:
        self._store = store
        self._claims = claims
        self._awaited: dict[int, int] = {}
        self._tables: dict[int, dict[int, NDArray[np.float32]]] = {}
        self._kept_at = time.monotonic()

    def expect(self, shard: int, count: int) -> None:
        """Note that so many instances of a claimed shard are going to be evaluated."""
        self._awaited[shard] = count

    def keep(self, batch: Sequence[int], values: NDArray[np.floating[Any]]) -> None:
        """Store the shards that are complete now, and all if that is due.

        Raises UnusableValues, naming all instances of the batch whose values are not finite.
        """
        if len(values) != len(batch):
            raise ValueError(
                f"{self._store.path}: tables of {len(values)} instances for {len(batch)} given"
            )
        refused = []
        for i, table in zip(batch, values, strict=True):
            shard = i // self._store.per_shard
            try:
                self._tables.setdefault(shard, {})[i] = self._store.usable(i, table)
            except UnusableValues as error:
                refused.append((self._store.instances[i], error))
            self._awaited[shard] -= 1
        due = time.monotonic() - self._kept_at >= KEEP_SECONDS
        self.write(None if refused or due else [s for s, left in self._awaited.items() if not left])
        if refused:
            others = ", ".join(repr(instance) for instance, _ in refused[1:6])
            text = str(refused[0][1]) + (f". The same holds for {others}" if others else "")
            raise UnusableValues(text) from refused[0][1]

    def write(self, shards: Sequence[int] | None = None) -> None:
        """Store what was evaluated of some shards (by default all); release complete ones."""
        if shards is None:
            shards = list(self._awaited)
            self._kept_at = time.monotonic()
        for shard in shards:
            self._store.write_many(self._tables.pop(shard, {}))
            if not self._awaited[shard]:
                del self._awaited[shard]
                self._claims.release([shard])


@contextmanager
def _keeping(store: CoalitionStore, claims: Claims) -> Iterator[_Unkept]:
    """Collect values for their shards; whatever happens, what was evaluated is stored."""
    unkept = _Unkept(store, claims)
    try:
        yield unkept
    except BaseException:
        try:
            unkept.write()
        except (InputError, OSError) as error:
            # Only log it: the exception that ended the block matters more.
            log.debug("the last evaluated values could not be stored: %s", error)
        raise


def _claimed_batches(
    store: CoalitionStore,
    claims: Claims,
    missing: Sequence[int],
    batch_size: int,
    unkept: _Unkept,
) -> Iterator[tuple[list[int], list[int]]]:
    """Batches to evaluate, each with the instances that others turned out to have evaluated.

    A shard stays claimed until ``unkept`` has stored all of it. Shards that others have claimed
    come last: this waits for their owners, and puts what an owner did not finish into a batch. Each
    instance appears once.
    """
    wanted = _by_shard(store, missing)
    todo, later, waiting = deque(wanted), list[int](), deque[int]()
    while todo or later or waiting:
        if not todo and not waiting:
            log.info("waiting for %d shards that other processes are evaluating", len(later))
            claims.wait(later[0])
            todo, later = deque(later), []
        found: list[int] = []
        while todo and len(waiting) < batch_size:
            shard = todo.popleft()
            absent = _absent(store, shard, wanted[shard])
            if absent:
                if not claims.take(shard):
                    later.append(shard)
                    continue
                # Its owner may have finished just before the claim.
                absent = _absent(store, shard, absent)
            kept = set(absent)
            found += [i for i in wanted[shard] if i not in kept]
            if absent:
                unkept.expect(shard, len(absent))
                waiting += absent
            else:
                claims.release([shard])
        batch = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
        yield batch, found


def _absent(store: CoalitionStore, shard: int, members: Sequence[int]) -> list[int]:
    """Those members of a shard that have no values."""
    done, first = store.done_in(shard), shard * store.per_shard
    return [i for i in members if not done[i - first]]


def write_receipt(receipt: Receipt, path: str | os.PathLike[str]) -> None:
    """Write a receipt as JSON, whole or not at all."""
    write_json(Path(path), asdict(receipt))


def read_receipt(path: str | os.PathLike[str]) -> Receipt:
    """The inverse of :func:`write_receipt`. Raises InputError unless the file is a receipt."""
    try:
        content = json.loads(Path(path).read_bytes())
        if content["format"] != RECEIPT_FORMAT or content["format_version"] > RECEIPT_VERSION:
            raise ValueError(f"format {content['format']} {content['format_version']}")
        for name in ("partition", "instances_damaged"):
            content[name] = tuple(content[name])
        return Receipt(**content)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no receipt; evaluate the game first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not an {RECEIPT_FORMAT} of version {RECEIPT_VERSION} ({error}); remove it "
            f"and evaluate the game again: stored values are kept"
        ) from None


def merge_receipts(receipts: Iterable[Receipt]) -> Receipt:
    """Merge the receipts of all partitions of a game; counts and seconds are sums.

    Raises InputError unless there is exactly one receipt for each partition of the same game.
    """
    parts = sorted(receipts, key=lambda receipt: receipt.partition)
    games = sorted({f"{r.study}/{r.game} {r.identity[:16]} in {r.store}" for r in parts})
    if len(games) != 1:
        raise InputError(f"only receipts of one game can be merged; these are of {games}")
    count = parts[0].partition[1]
    found = [receipt.partition for receipt in parts]
    if found != [(index, count) for index in range(count)]:
        raise InputError(
            f"{games[0]}: receipts of partitions {found}; there must be one for each of {count}"
        )
    return Receipt(
        study=parts[0].study,
        game=parts[0].game,
        store=parts[0].store,
        identity=parts[0].identity,
        partition=(0, 1),
        instances=sum(r.instances for r in parts),
        instances_evaluated=sum(r.instances_evaluated for r in parts),
        instances_reused=sum(r.instances_reused for r in parts),
        instances_damaged=tuple(name for r in parts for name in r.instances_damaged),
        evaluations_made=sum(r.evaluations_made for r in parts),
        evaluations_reused=sum(r.evaluations_reused for r in parts),
        seconds=round(sum(r.seconds for r in parts), 3),
        device=", ".join(sorted({r.device for r in parts if r.device})),
    )
