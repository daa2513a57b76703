"""Whether a store still holds what was written into it."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.store.errors import DamagedShard, MissingInstance
from pipeline.store.layout import DEBRIS, shard_index
from pipeline.store.shards import CoalitionStore

ARRAYS = ("values", "instance", "input_sha256", "output", "output_class", "masks")
SHARDED: tuple[Literal["values", "masks"], ...] = ("values", "masks")


@dataclass(frozen=True)
class Damage:
    """Something in a store that cannot be trusted or does not belong there."""

    instance: str | None
    """Id of the instance; None where the damage is to no instance of the store."""
    index: int | None
    """Index of the instance or of the shard; None where it is to neither."""
    reason: str


def verify(store: CoalitionStore) -> list[Damage]:
    """Read every shard of a store on disk and tell what is damaged.

    Instances that have not been evaluated are no damage, nor is what a killed write left.
    """
    found = [*_foreign(Path(store.path)), *_metadata(store)]
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
            # Erased since the directory was listed.
            continue
        except (DamagedShard, OSError) as error:
            yield Damage(store.instances[i], i, str(error))


def _metadata(store: CoalitionStore) -> Iterator[Damage]:
    # The group's metadata hold a copy of the arrays', and the store was opened by that copy.
    group = json.loads(Path(store.path, "zarr.json").read_bytes())
    for name, copy in group.get("consolidated_metadata", {}).get("metadata", {}).items():
        try:
            if json.loads(Path(store.path, name, "zarr.json").read_bytes()) != copy:
                yield Damage(None, None, f"{name}/zarr.json: differs from its copy in zarr.json")
        except (OSError, ValueError) as error:
            yield Damage(None, None, f"{name}/zarr.json: {error}")


def _foreign(path: Path) -> Iterator[Damage]:
    """Files that are no part of a store; hidden ones (desktops leave them) are passed over."""
    for folder, folders, names in os.walk(path):
        here = Path(folder).relative_to(path)
        depth = len(here.parts)
        for name in sorted((*folders, *names)):
            if name.startswith(".") or name.endswith(DEBRIS):
                continue
            if depth == 0:
                own = name == "zarr.json" or name in ARRAYS
            elif str(here) in SHARDED:
                own = name == "zarr.json" or shard_index(name) is not None
            else:
                own = name == "zarr.json" or name in ("c.0", "c.0.0")
            if not own:
                yield Damage(None, None, f"{here / name}: no part of a coalition store")
        folders[:] = [f for f in folders if depth == 0 and f in ARRAYS]
