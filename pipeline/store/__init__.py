"""Coalition stores: the values of a game's coalitions, evaluated once and kept.

Stores do not depend on models or estimators. ``plan`` lists the instances, ``CoalitionStore.write``
writes their values in any order, ``CoalitionStore.read`` reads them back, and ``verify`` lists what
is damaged. A store is a plain zarr group: ``zarr.open`` and ``xarray.open_zarr`` read it without
this package.
"""

from pipeline.store.errors import (
    DamagedShard,
    DamagedStore,
    MissingInstance,
    UnreachableStore,
    UnusableValues,
)
from pipeline.store.planning import plan
from pipeline.store.record import FORMAT, FORMAT_VERSION, JSON, GameRecord
from pipeline.store.shards import CoalitionStore
from pipeline.store.stores import open_store
from pipeline.store.verification import Damage, verify

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "JSON",
    "CoalitionStore",
    "Damage",
    "DamagedShard",
    "DamagedStore",
    "GameRecord",
    "MissingInstance",
    "UnreachableStore",
    "UnusableValues",
    "open_store",
    "plan",
    "verify",
]
