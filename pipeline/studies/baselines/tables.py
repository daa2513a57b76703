"""Stores of utility functions and of their networks, for analyses."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.models import checkpoints
from pipeline.store import CoalitionStore
from pipeline.studies.baselines.surrogate import Surrogate
from pipeline.studies.baselines.surrogates import read_surrogate
from pipeline.studies.baselines.utilities import UTILITIES

UTILITY = "utility"
"""The instance of the utility function itself; the others are ``network 1``, …"""


def game_of(store: CoalitionStore) -> str:
    """The utility function of a store. Raises InputError if it has none."""
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

    Raises InputError if one of them is missing from ``networks``.
    """
    result = {}
    for instance, digest in zip(store.instances, store.input_sha256, strict=True):
        if instance == UTILITY:
            continue
        if digest not in networks:
            raise InputError(
                f"{store.path}: no checkpoint holds the weights behind the values of {instance!r}; "
                "run baselines_plan with the same checkpoints first"
            )
        result[instance] = networks[digest]
    return result
