"""Stage: values of all coalitions of one utility function and of its networks, into the store.

The utility function is one instance, each network another. Since an instance's digest is that of
its rules or of its weights, networks can be added, and one trained anew, without the others being
evaluated again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import zarr

from pipeline.core.errors import InputError
from pipeline.core.files import array_digest
from pipeline.models import checkpoints
from pipeline.shapley.games import Game
from pipeline.store import CoalitionStore, GameRecord
from pipeline.store.record import canonical_json
from pipeline.studies.baselines.surrogate import Surrogate
from pipeline.studies.baselines.surrogates import named_utility, read_surrogate
from pipeline.studies.baselines.utilities import UTILITIES, Utility
from pipeline.workflow.versions import version

UTILITY = "utility"
"""The instance that is the utility function itself; the others are ``network 1``, …"""


def game_record(game: str) -> GameRecord:
    """What identifies the game; neither rules nor weights, which are the instances' own."""
    utility = named_utility(game)
    return GameRecord(
        study="baselines",
        game=game,
        n_players=utility.n_players,
        player="a player of a human-defined utility function",
        outputs=utility.outputs,
        value="the utility of the coalition by the game's rules, or what a network that was "
        "trained in place of them gives; the empty coalition is valued as any other",
        specification={
            "utility": "the sum of what the rules pay that a coalition meets",
            "network": "multi-layer perceptron of membership, 0 or 1, with GELU units (tanh)",
        },
        weights_sha256=array_digest([]),
        evaluator_version=version("baselines", "tables"),
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
    )


def instances_of(game: str, paths: Sequence[Path]) -> tuple[dict[str, Game], list[str]]:
    """The games that are instances, by name, and what their values are computed from (digests).

    Raises InputError if a checkpoint is of a network for another game.
    """
    utility = named_utility(game)
    games: dict[str, Game] = {UTILITY: utility}
    digests = [rules_digest(utility)]
    for number, path in enumerate(paths, start=1):
        of_game, surrogate = read_surrogate(path)
        if of_game != game:
            raise InputError(f"{path}: is a network for {of_game}; networks for {game} are needed")
        games[f"network {number}"] = surrogate
        digests.append(checkpoints.state_digest(surrogate.network))
    return games, digests


def rules_digest(utility: Utility) -> str:
    """sha256 of a utility function's players and rules, as hex."""
    return hashlib.sha256(canonical_json(asdict(utility)).encode()).hexdigest()


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
                "checkpoints holds; run baselines_tables with the same checkpoints first"
            )
        result[instance] = networks[digest]
    return result
