"""Checks whether a store still holds what was written into it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipeline.store.access import entries, read_bytes
from pipeline.store.errors import DamagedShard, DamagedStore, MissingInstance
from pipeline.store.layout import ARRAYS, DEBRIS, shard_index
from pipeline.store.shards import CoalitionStore

SMALL_CHUNK = re.compile(r"c(\.0)+")
SHARDED: tuple[Literal["values", "masks"], ...] = ("values", "masks")


@dataclass(frozen=True)
class Damage:
    """A damaged part of a store, or a file that does not belong there."""

    instance: str | None
    """Id of the damaged instance; None if the damage concerns no instance."""
    index: int | None
    """Index of the instance or shard; None if the damage concerns neither."""
    reason: str


def verify(store: CoalitionStore) -> list[Damage]:
    """Read all shards and coordinates of a store, on disk or by URL; list what is damaged.

    Missing evaluations and leftovers of killed writes do not count as damage.

    Raises UnreachableStore if a URL cannot be read, or its files cannot be listed.
    """
    # First, to fail at once if a URL's files cannot be listed.
    store.shards()
    found = [*_foreign(store), *_metadata(store), *_coordinates(store)]
    for array in SHARDED:
        if array in store._group:
            found += _shards(store, array)
    return found


def _shards(store: CoalitionStore, array: Literal["values", "masks"]) -> Iterator[Damage]:
    present = store.shards(array)
    for i in sorted(present if array == "values" else present | set(range(len(store)))):
        if i >= len(store):
            reason = f"{array} shard {i}: the store has {len(store)} instances"
            yield Damage(None, i, reason)
            continue
        try:
            store.read(i) if array == "values" else store.masks(i)
        except MissingInstance:
            # Another process erased it after the listing.
            continue
        except (DamagedShard, OSError) as error:
            yield Damage(store.instances[i], i, str(error))


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


def _foreign(store: CoalitionStore) -> Iterator[Damage]:
    """Files that do not belong to a store, except hidden ones, such as those that desktops make."""
    folders = []
    known = {*ARRAYS, *store.coordinate_names}
    for entry in entries(store.path):
        if entry.is_directory and entry.name in known:
            folders.append(entry.name)
        elif entry.name != "zarr.json" and not _passed_over(entry.name):
            yield _no_part(entry.name)
    for folder in folders:
        for entry in entries(store.path, folder):
            name = entry.name
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
