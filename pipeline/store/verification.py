"""Checks whether a store still holds what was written into it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

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
    """Index of the instance or shard; None if the damage concerns neither."""
    reason: str


@dataclass(frozen=True)
class Verification:
    """What reading a store has shown."""

    damages: list[Damage]
    done: int
    """Number of listed instances that have a shard."""
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
            named = None
            if contents is not None:
                named = shard_indices(entry.name for entry in contents.get(array, []))
            for i, damage in _shards(store, array, named):
                done += array == "values" and i < len(store)
                found += [damage] if damage is not None else []
    return Verification(found, done, contents is not None)


def _shards(
    store: CoalitionStore, array: Literal["values", "masks"], present: frozenset[int] | None
) -> Iterator[tuple[int, Damage | None]]:
    """Indices of the shards that exist, each with its damage.

    ``present``: those that a listing shows; None if there is none.
    """
    asked = frozenset(range(len(store)))
    # Every instance has masks, and those have values that a listing shows, if there is one.
    if present is None:
        present = asked
    elif array == "masks":
        present |= asked
    for i in sorted(present - asked):
        yield i, Damage(None, i, f"{array} shard {i}: the store has {len(store)} instances")
    for batch in _batches(store, sorted(present & asked), array):
        if len(batch) > 1 and _are_sound(store, batch):
            yield from ((i, None) for i in batch)
            continue
        for i in batch:
            try:
                store.read(i) if array == "values" else store.masks(i)
            except MissingInstance:
                # It has not been evaluated, or another process erased it after the listing.
                continue
            except UnreachableStore:
                raise
            except (DamagedShard, OSError) as error:
                yield i, Damage(store.instances[i], i, str(error))
            else:
                yield i, None


def _batches(
    store: CoalitionStore, indices: list[int], array: Literal["values", "masks"]
) -> Iterator[list[int]]:
    """Instances to read at once: single ones of a disk, several values from a URL."""
    count = 1
    if array == "values" and is_remote(store.path):
        rows, outputs = store.shape
        count = max(1, min(MOST_AT_ONCE, BYTES_AT_ONCE // (4 * rows * outputs)))
    return (indices[start : start + count] for start in range(0, len(indices), count))


def _are_sound(store: CoalitionStore, batch: list[int]) -> bool:
    try:
        store.read_many(batch)
    except (DamagedShard, MissingInstance):
        return False
    return True


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
