"""Checks whether a store still holds what was written into it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np

from pipeline.store.access import Entry, is_remote, read_bytes
from pipeline.store.errors import DamagedShard, DamagedStore, MissingInstance, UnreachableStore
from pipeline.store.layout import DEBRIS, shard_index, shard_indices
from pipeline.store.shards import CoalitionStore

SMALL_CHUNK = re.compile(r"c(\.0)+")
MOST_AT_ONCE = 32
BYTES_AT_ONCE = 1 << 26
"""Shards, and bytes of their values, that are read from a URL at once: requests take long."""

SHARDED: tuple[Literal["values", "masks"], ...] = ("values", "masks")


@dataclass(frozen=True)
class Damage:
    """A damaged part of a store, or a file that does not belong there."""

    instance: str | None
    """Id of the damaged instance; None if the damage concerns no instance."""
    index: int | None
    """Index of the instance, or number of a shard of none; None if the damage concerns neither."""
    reason: str


@dataclass(frozen=True)
class Verification:
    """What reading a store has shown."""

    damages: list[Damage]
    done: int
    """Number of listed instances whose shard holds them."""
    listed: bool
    """Whether its files could be listed. If not, files that do not belong there stay unknown."""


def verify(store: CoalitionStore) -> list[Damage]:
    """Read all shards and coordinates of a store, on disk or by URL; list what is damaged.

    Missing evaluations and leftovers of killed writes do not count as damage.

    Raises UnreachableStore if a URL cannot be read.
    """
    return examine(store).damages


def examine(store: CoalitionStore) -> Verification:
    """Verify a store as :func:`verify` does, and count its evaluated instances.

    If the files behind a URL cannot be listed, each instance is looked up by name.
    """
    try:
        contents = store.contents()
    except UnreachableStore:
        contents = None
    found = [*_foreign(contents or {}), *_metadata(store), *_coordinates(store)]
    done = 0
    for array in SHARDED:
        if array in store._group:
            shards = None
            if contents is not None:
                shards = shard_indices(entry.name for entry in contents.get(array, []))
            found += _strays(store, array, shards)
            for damage in _instances(store, array, shards):
                done += array == "values"
                found += [damage] if damage is not None else []
    return Verification(found, done, contents is not None)


def _strays(
    store: CoalitionStore, array: Literal["values", "masks"], shards: frozenset[int] | None
) -> Iterator[Damage]:
    """Shards of no listed instance. ``shards``: those in a listing; None if there is none."""
    if array == "values":
        numbers = store.strays(shards or ())
    else:
        numbers = frozenset(i for i in shards or () if i >= len(store))
    for number in sorted(numbers):
        yield Damage(None, number, f"{array} shard {number}: the store has {len(store)} instances")


def _instances(
    store: CoalitionStore, array: Literal["values", "masks"], shards: frozenset[int] | None
) -> Iterator[Damage | None]:
    """The damage of each instance that is there. ``shards``: as for :func:`_strays`."""
    # Every instance has masks; those have values whose shard holds them.
    held = np.ones(len(store), dtype=bool)
    if array == "values":
        held = store.done(range(store.n_shards) if shards is None else shards)
    there: list[int] = np.flatnonzero(held).tolist()
    for batch in _batches(store, there, array):
        yield from _read(store, batch, array)


def _read(
    store: CoalitionStore, batch: list[int], array: Literal["values", "masks"]
) -> Iterator[Damage | None]:
    """The damage of each instance of a batch, which is halved until the damaged ones are found."""
    if len(batch) == 1:
        yield from _read_one(store, batch[0], array)
        return
    try:
        store.read_many(batch)
    except MissingInstance:
        # Without a listing, many may be missing.
        parts = [[i] for i in batch]
    except (DamagedShard, OSError):
        middle = len(batch) // 2
        parts = [batch[:middle], batch[middle:]]
    else:
        parts = []
        yield from (None for _ in batch)
    for part in parts:
        yield from _read(store, part, array)


def _read_one(
    store: CoalitionStore, i: int, array: Literal["values", "masks"]
) -> Iterator[Damage | None]:
    try:
        store.read(i) if array == "values" else store.masks(i)
    except MissingInstance:
        # It has not been evaluated, or another process erased it after the listing.
        return
    except (DamagedShard, OSError) as error:
        yield Damage(store.instances[i], i, str(error))
    else:
        yield None


def _batches(
    store: CoalitionStore, indices: list[int], array: Literal["values", "masks"]
) -> Iterator[list[int]]:
    """Instances to read at once: those of one shard of a disk, of several shards from a URL."""
    if array == "masks":
        yield from ([i] for i in indices)
        return
    shards = [list(members) for _, members in groupby(indices, lambda i: i // store.per_shard)]
    count = 1
    if is_remote(store.path):
        rows, outputs = store.shape
        count = BYTES_AT_ONCE // (4 * rows * outputs * store.per_shard)
        count = max(1, min(MOST_AT_ONCE, count))
    for start in range(0, len(shards), count):
        yield [i for members in shards[start : start + count] for i in members]


def _metadata(store: CoalitionStore) -> Iterator[Damage]:
    # The group's metadata hold a copy of the arrays' metadata, from which the store was opened.
    group = json.loads(read_bytes(store.path, "zarr.json"))
    for name, copy in group.get("consolidated_metadata", {}).get("metadata", {}).items():
        try:
            if json.loads(read_bytes(store.path, f"{name}/zarr.json")) != copy:
                yield Damage(None, None, f"{name}/zarr.json: differs from its copy in zarr.json")
        except (OSError, ValueError) as error:
            yield Damage(None, None, f"{name}/zarr.json: {error}")


def _coordinates(store: CoalitionStore) -> Iterator[Damage]:
    for name in store.coordinate_names:
        try:
            store.read_coordinate(name)
        except DamagedStore as error:
            yield Damage(None, None, str(error))


def _foreign(contents: Mapping[str, list[Entry]]) -> Iterator[Damage]:
    """Files that do not belong to a store, except hidden ones, such as those that desktops make."""
    for entry in contents.get("", []):
        known = entry.name in contents if entry.is_directory else entry.name == "zarr.json"
        if not known and not _passed_over(entry.name):
            yield _no_part(entry.name)
    for folder, listed in contents.items():
        for name in (entry.name for entry in listed if folder):
            if folder in SHARDED:
                own = name == "zarr.json" or shard_index(name) is not None
            else:
                own = name == "zarr.json" or SMALL_CHUNK.fullmatch(name) is not None
            if not own and not _passed_over(name):
                yield _no_part(f"{folder}/{name}")


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.endswith(DEBRIS)


def _no_part(name: str) -> Damage:
    return Damage(None, None, f"{name}: not part of a coalition store")
