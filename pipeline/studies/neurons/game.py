"""The games of the study: a network's outputs for images while some filters are absent.

An instance is a *round* of some images. In a round each image has its own coalitions, a function of
the seed, the image's place and the round. So further rounds or images can be evaluated without
repeating earlier ones, and by any number of processes. The coalitions of an image depend on the
game:

* ``<subject>_pairs``: the empty coalition, the grand coalition, and coalitions each followed by its
  complement (:func:`pipeline.shapley.pooled.pairs_of`);
* ``<subject>_walks``: the players that are left while they are removed one by one in a random order
  (:func:`pipeline.shapley.pooled.orders_of`), from all players to none;
* ``<subject>_shared``: the same with one order for all images of a round. Each round draws its
  images again, like an iteration of the paper's Algorithm 1.

Values of a coalition are, for each image, whether the network is right, the probability of the true
class and the predicted class; for attacked images also the probability of the attacker's target
class. Every metric that is a sum over images follows from these without further evaluations.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from pipeline.core.files import array_digest
from pipeline.models import devices
from pipeline.store import GameRecord
from pipeline.store.opening import Classes, OpenGame
from pipeline.studies.neurons.attacks import read_attack
from pipeline.studies.neurons.filters import Filters, read_filters
from pipeline.studies.neurons.images import Images, read_images
from pipeline.studies.neurons.metrics import SAYS
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    ImagesParams,
    PairsParams,
    PlayersParams,
    TintParams,
)
from pipeline.studies.neurons.rounds import (
    DRAWN,
    Drawn,
    Round,
    coalitions_in,
    orders_in,
    rounds_of,
    rows_of,
)

VERSION = 1
"""Part of the games' identity: values stored under another number are evaluated again."""


_PLAYER = {
    "filters": "a filter: an output channel of a convolution",
    "hidden": "a hidden unit: an output of the activation after a linear layer",
    "heads": "a head of an attention",
}


def open_game(
    name: str,
    *,
    device: str,
    checkpoint: Path,
    images: ImagesParams,
    coalitions: CoalitionsParams,
    drawn: Drawn,
    players: PlayersParams | None = None,
    attacks: Path | None = None,
    tint: TintParams | None = None,
) -> OpenGame:
    """Open a game of the ranked images.

    Args:
        name: ``<subject>_pairs``, ``_walks`` or ``_shared``.
        device: where the network runs.
        checkpoint: checkpoint of the network.
        images: source and numbers of the images.
        coalitions: how absent filters are replaced.
        drawn: which coalitions are evaluated, and how many.
        players: which parts of the network are players; None: filters of all convolutions.
        attacks: file of attacked images that replace the clean ones; None: clean images.
        tint: how images are tinted; None: as they are.

    Raises:
        InputError: files or parameters that do not fit together.
    """
    shown, targets = read_images(images, "ranked", tint), None
    references = read_images(images, "train", tint)
    if attacks is not None:
        attack = read_attack(attacks, "ranked")
        shown, targets = shown.showing(attack.pixels), attack.targets
    filters = read_filters(checkpoint, references, coalitions, players, devices.resolve(device))
    return opened(name, filters, shown, targets, coalitions, drawn)


def opened(
    name: str,
    filters: Filters,
    images: Images,
    targets: NDArray[np.int64] | None,
    params: CoalitionsParams,
    drawn: Drawn,
) -> OpenGame:
    """The game of some images."""
    n = len(filters.players)
    rounds = rounds_of(len(images), params, drawn)
    size = max(len(each.images) for each in rounds)

    def digest(i: int, _classes: Classes) -> str:
        some = rounds[i].images
        wanted = some[:0] if targets is None else targets[some]
        return array_digest([images.pixels[some], images.labels[some], some, wanted])

    def tables(indices: Sequence[int], _classes: Classes) -> NDArray[np.floating[Any]]:
        return np.stack([_values(rounds[i]) for i in indices])

    def _values(each: Round) -> NDArray[np.float32]:
        if isinstance(drawn, PairsParams):
            present = coalitions_in(each, n, params, drawn).reshape(-1, n)
            places = np.repeat(each.images, rows_of(n, drawn))
            said = filters.say(images, targets, places, present)
        else:
            walked = filters.walk(images, targets, each.images, orders_in(each, n, params, drawn))
            said = walked.reshape(-1, walked.shape[-1])
        # Pad a smaller block with its first row.
        lacking = (size - len(each.images)) * rows_of(n, drawn)
        return np.concatenate([said, np.broadcast_to(said[0], (lacking, said.shape[1]))])

    return OpenGame(
        record=_record(name, filters, images.classes, size, targets is not None, params, drawn),
        instances=tuple(each.name for each in rounds),
        digest=digest,
        tables=tables,
        device=devices.describe(filters.device),
        coordinates=_coordinates(rounds, images, targets, size),
        evaluations=lambda i: len(rounds[i].images) * rows_of(n, drawn),
    )


def _coordinates(
    rounds: Sequence[Round], images: Images, targets: NDArray[np.int64] | None, size: int
) -> dict[str, NDArray[Any]]:
    """Round of each instance, and places and classes of its images: (instance, image), −1: none."""
    placed = np.full((len(rounds), size), -1)
    for row, each in zip(placed, rounds, strict=True):
        row[: len(each.images)] = each.images
    there = placed >= 0
    found = {
        "round": np.array([each.number for each in rounds]),
        "image": placed,
        "true_class": np.where(there, images.labels[placed], -1),
        "conflicting": np.where(there, images.conflicting[placed].astype(np.int64), -1),
    }
    if targets is not None:
        found["target"] = np.where(there, targets[placed], -1)
    return found


def _record(
    name: str,
    filters: Filters,
    classes: Sequence[str],
    size: int,
    attacked: bool,
    params: CoalitionsParams,
    drawn: Drawn,
) -> GameRecord:
    n = len(filters.players)
    specification = {
        "network": filters.described,
        "players": list(filters.players),
        "classes": list(classes),
        "absent": params.absent,
        "replaced by": filters.replaced_digest(),
        "drawn": f"{DRAWN[type(drawn)]}; seed {params.seed}",
    }
    return GameRecord(
        study="neurons",
        game=name,
        n_players=n,
        player=_PLAYER[filters.kind] + (", all of a module together" if filters.grouped else ""),
        outputs=SAYS if attacked else SAYS[:3],
        value="what the network says about an image while the filters outside the coalition are "
        "replaced: whether it is right, its probability of the true class, and the class that it "
        "predicts",
        specification=specification,
        weights_sha256=filters.weights_sha256,
        evaluator_version=VERSION,
        versions={
            "torch": torch.__version__,
            "numpy": np.__version__,
            "zarr": zarr.__version__,
        },
        n_coalitions=size * rows_of(n, drawn),
    )
