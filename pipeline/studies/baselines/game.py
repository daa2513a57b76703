"""The games of the study: utility functions with their networks, and pictures' areas.

* A **utility function** is a game with two kinds of instances: the function itself, and each
  network that was trained to replace it. An instance's digest is that of its rules or weights. So
  networks can be added or trained again, and the other instances need no new evaluation.
* A **pictured game** has one instance per explained picture. Its players are the areas of the
  picture, and the value of a coalition is a model's score of the picture with only these areas.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import array_digest
from pipeline.models import checkpoints, devices
from pipeline.shapley.games import Game
from pipeline.store import GameRecord
from pipeline.store.opening import Classes, OpenGame
from pipeline.store.record import canonical_json
from pipeline.studies.baselines.areas import count_players, picture_game
from pipeline.studies.baselines.explained import MODELS, Explained, predict, read_explained
from pipeline.studies.baselines.params import PictureGameParams, PicturesParams
from pipeline.studies.baselines.surrogates import named_utility, one_thread, read_surrogate
from pipeline.studies.baselines.tables import UTILITY
from pipeline.studies.baselines.utilities import UTILITIES, Utility, complete_table

VERSION = 1
"""Part of the games' identity: values stored under another version are evaluated again."""

OUTPUT = {"classifier": "predicted class", "distance": "distance"}


def open_game(
    name: str,
    *,
    device: str,
    weights: list[Path],
    coalitions: PictureGameParams | None = None,
    pictures: PicturesParams | None = None,
) -> OpenGame:
    """Open a utility function, or a game of pictures.

    Args:
        name: of a utility function, ``classifier`` or ``distance``.
        device: for pictures; utility functions are evaluated on the CPU.
        weights: checkpoints of the networks that replace the utility function; or the checkpoint of
            the classifier, or of the embedding.
        coalitions: the game of the pictures' areas.
        pictures: where pictures come from, and how large areas are.

    Raises:
        InputError: another name, or files or parameters that do not fit it.
    """
    if name in UTILITIES:
        return utility_game(name, weights)
    if name not in MODELS:
        raise InputError(f"game {name!r}: must be one of {', '.join([*UTILITIES, *MODELS])}")
    if coalitions is None or pictures is None or len(weights) != 1:
        raise InputError(f"game {name}: needs one checkpoint, and parameters of the pictures")
    found = read_explained(name, weights[0], pictures, coalitions, devices.resolve(device))
    return pictured_game(found, coalitions)


def utility_game(name: str, paths: Sequence[Path]) -> OpenGame:
    """A utility function and the networks that replace it, as instances of one game.

    Raises InputError if there is no such function, or if a checkpoint belongs to another function.
    """
    utility = named_utility(name)
    games: dict[str, Game] = {UTILITY: utility}
    digests = [rules_digest(utility)]
    for number, path in enumerate(paths, start=1):
        of_game, surrogate = read_surrogate(path)
        if of_game != name:
            raise InputError(f"{path}: is a network for {of_game}; networks for {name} are needed")
        games[f"network {number}"] = surrogate
        digests.append(checkpoints.state_digest(surrogate.network))
    playable = list(games.values())

    def tables(indices: Sequence[int], _classes: Classes) -> NDArray[np.floating[Any]]:
        # On one thread, so that values do not depend on the number of threads.
        with one_thread():
            return np.stack([complete_table(playable[i]) for i in indices])

    return OpenGame(
        record=_utility_record(name, utility),
        instances=tuple(games),
        digest=lambda i, _classes: digests[i],
        tables=tables,
        device="cpu",
    )


def rules_digest(utility: Utility) -> str:
    """sha256 of a utility function's players and rules, as hex."""
    return hashlib.sha256(canonical_json(asdict(utility)).encode()).hexdigest()


def pictured_game(explained: Explained, params: PictureGameParams) -> OpenGame:
    """The game of each picture's areas.

    Args:
        explained: the pictures and the model.
        params: the parameters with which they were read.
    """
    record = _pictured_record(explained, params)

    def digest(i: int, classes: Classes) -> str:
        arrays = [explained.pictures[i].cpu().numpy()]
        if explained.seconds is not None:
            arrays.append(explained.seconds[i].cpu().numpy())
        elif classes is not None:
            arrays.append(classes.astype(np.int64))
        return array_digest(arrays)

    def tables(indices: Sequence[int], classes: Classes) -> NDArray[np.floating[Any]]:
        # A power of two, so that all batches have the same size: the last bits of a product depend
        # on its shape.
        at_once = explained.batch_size()
        everyone = np.arange(2**record.n_players, dtype=np.uint64)
        found = []
        for place, i in enumerate(indices):
            shown = explained.shown(i, 0 if classes is None else int(classes[place, 0]))
            game = picture_game(
                shown.scores,
                shown.picture,
                shown.areas,
                baseline=shown.absent,
                outputs=record.outputs,
                batch_size=at_once,
            )
            found.append(game(everyone))
        return np.stack(found)

    coordinates = {"number": explained.numbers, "true_class": explained.labels}
    if explained.second_labels is not None:
        coordinates["second_class"] = explained.second_labels
    return OpenGame(
        record=record,
        instances=explained.instances,
        digest=digest,
        tables=tables,
        device=devices.describe(explained.pictures.device),
        output_classes=None
        if explained.seconds is not None
        else lambda: predict(explained)[:, None],
        coordinates=coordinates,
    )


def _utility_record(name: str, utility: Utility) -> GameRecord:
    """The game's record; rules and weights are left to the instances' digests."""
    return GameRecord(
        study="baselines",
        game=name,
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
        evaluator_version=VERSION,
        versions=_versions(),
    )


def _pictured_record(explained: Explained, params: PictureGameParams) -> GameRecord:
    model = explained.model
    specification: dict[str, Any] = {
        "model": model,
        "network": explained.network,
        "absent": array_digest([explained.absent.cpu().numpy()]),
        "areas": array_digest([explained.areas]),
    }
    nobody = {"zero": "zeros", "mean": "the mean of the training pictures"}[params.absent]
    if model == "classifier":
        specification["score"] = params.score
        value = f"the {params.score} of the class that is predicted for the whole picture"
    else:
        value = "the squared distance of the picture's embedding, of length 1, to that of another"
    return GameRecord(
        study="baselines",
        game=model,
        n_players=count_players(explained.areas),
        player="an area of the picture, row after row",
        outputs=(OUTPUT[model],),
        value=f"{value}, where areas that are not in the coalition show {nobody}",
        specification=specification,
        weights_sha256=explained.weights_sha256,
        evaluator_version=VERSION,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__}
