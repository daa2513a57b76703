"""Stores of utility functions and of their networks, as analyses read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.models import checkpoints
from pipeline.store import CoalitionStore
from pipeline.studies.baselines.surrogate import Surrogate
from pipeline.studies.baselines.surrogates import read_surrogate
from pipeline.studies.baselines.utilities import UTILITIES

UTILITY = "utility"
"""The instance that is the utility function itself; the others are ``network 1``, …"""


def game_of(store: CoalitionStore) -> str:
    """The utility function that a store is of. Raises InputError if it is of none."""
    record = store.record
    if (
        record.study != "baselines"
        or record.game not in UTILITIES
        or UTILITY not in store.instances
    ):
        raise InputError(
            f"{store.path}: is a store of {record.study}/{record.game}; one of the utility "
            f"functions {', '.join(UTILITIES)} of the study baselines is needed"
        )
    return record.game


def read_networks(paths: Sequence[Path]) -> dict[str, Surrogate]:
    """Networks by the digest of their weights, under which stores list them."""
    found = [read_surrogate(path)[1] for path in paths]
    return {checkpoints.state_digest(surrogate.network): surrogate for surrogate in found}


def networks_of(store: CoalitionStore, networks: Mapping[str, Surrogate]) -> dict[str, Surrogate]:
    """The networks that a store lists, by instance.

    Raises InputError if one of them is not among those that are given.
    """
    result = {}
    for instance, digest in zip(store.instances, store.input_sha256, strict=True):
        if instance == UTILITY:
            continue
        if digest not in networks:
            raise InputError(
                f"{store.path}: the values of {instance!r} are of other weights than any of the "
                "checkpoints holds; run baselines_plan with the same checkpoints first"
            )
        result[instance] = networks[digest]
    return result
