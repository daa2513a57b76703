"""The pictures that are explained, and the score that the coalitions of their areas get.

Two models, as in the paper's experiments ("Effective Coalitions of Shapley Value for Integrated
Gradients", section 5):

* ``classifier``: the score of the class that is predicted for a picture;
* ``distance``: the squared distance between the embeddings of two pictures. The areas are those of
  the first; the second stays unchanged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.models import checkpoints
from pipeline.models.pictures import Distance, Probability
from pipeline.store import CoalitionStore, GameRecord
from pipeline.studies.baselines.areas import Areas, Scores
from pipeline.studies.baselines.chosen import (
    choose,
    load_pictures,
    mean_picture,
    pair,
    players_of,
)
from pipeline.studies.baselines.params import PictureGameParams, PicturesParams
from pipeline.studies.baselines.picture_networks import (
    batch_size,
    described,
    outputs_of,
    read_classifier,
    read_embedding,
)

Model = Literal["classifier", "distance"]
MODELS: tuple[Model, ...] = ("classifier", "distance")


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture, and its score to explain."""

    scores: Scores
    """(batch, *shape) → (batch, 1)"""
    picture: Tensor
    """(*shape)"""
    areas: Areas
    """the player of every feature, (*shape) or its last axes"""
    absent: Tensor
    """(*shape): what absent areas show"""


@dataclass(frozen=True, eq=False)
class Explained:
    """Pictures whose areas are players, and the model that scores their coalitions."""

    model: Model
    scores: nn.Module
    """(batch, channel, height, width) → scores of all classes, or embeddings; in evaluation mode"""
    network: dict[str, Any]
    """the network's description besides its weights"""
    weights_sha256: str
    instances: tuple[str, ...]
    numbers: NDArray[np.int64]
    """(picture,) indices in the split"""
    labels: NDArray[np.int64]
    """(picture,) classes"""
    classes: tuple[str, ...]
    pictures: Tensor
    """(picture, channel, height, width) float32 on the model's device"""
    seconds: Tensor | None
    """of the same shape: what each picture is compared with; None for a classifier"""
    second_labels: NDArray[np.int64] | None
    absent: Tensor
    """(channel, height, width) what absent areas show"""
    areas: Areas

    def shown(self, picture: int, target: int = 0) -> Shown:
        """One of the pictures, with the score to explain.

        Args:
            picture: index of the picture.
            target: the explained class, for a classifier.
        """
        return Shown(
            _score_of(self, picture, target), self.pictures[picture], self.areas, self.absent
        )

    def batch_size(self, *, gradients: bool = False) -> int:
        """The best number of pictures for one call of the model."""
        return batch_size(self.scores, self.pictures[0], gradients=gradients)


def read_explained(
    model: str,
    weights: Path,
    pictures: PicturesParams,
    params: PictureGameParams,
    device: torch.device,
) -> Explained:
    """Read pictures and model; the result is the same in every process.

    Args:
        model: ``classifier`` or ``distance``.
        weights: checkpoint of the classifier, or of the embedding.
        pictures: where pictures come from, and how large areas are.
        params: number of explained pictures, and the game.
        device: device of the model.

    Raises:
        InputError: another model, weights that do not fit the pictures, a single area or more than
            a complete game allows, more pictures than the split has, and as the datasets' own
            functions.
    """
    kind = _known(model)
    split = load_pictures(pictures, "test")
    areas = players_of(split, pictures)
    chosen = choose(split.labels, params.explained)
    network = (read_classifier if kind == "classifier" else read_embedding)(weights, split)
    is_probability = kind == "classifier" and params.score == "probability"
    scores = Probability(network) if is_probability else network
    absent = torch.zeros(split.pixels.shape[1:])
    if params.absent == "mean":
        absent = mean_picture(load_pictures(pictures, "train"))
    weights_sha256 = checkpoints.state_digest(network)
    partners = pair(split.labels, chosen) if kind == "distance" else None
    shown = torch.from_numpy(split.pixels)
    names = [f"{split.split}-{number}" for number in chosen]
    if partners is not None:
        names = [f"{a}_{split.split}-{b}" for a, b in zip(names, partners, strict=True)]
    return Explained(
        model=kind,
        # A convolution over few channels is twice as fast if a pixel's channels lie together.
        scores=scores.to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]
        network=described(network),
        weights_sha256=weights_sha256,
        instances=tuple(names),
        numbers=chosen,
        labels=split.labels[chosen],
        classes=split.classes,
        pictures=shown[chosen].to(device),
        seconds=None if partners is None else shown[partners].to(device),
        second_labels=None if partners is None else split.labels[partners],
        absent=absent.to(device),
        areas=areas,
    )


def predict(explained: Explained) -> NDArray[np.int64]:
    """The class of highest score of each picture: (picture,)."""
    scores = outputs_of(explained.scores, explained.pictures)
    return scores.argmax(dim=1).cpu().numpy()


def targets_of(store: CoalitionStore) -> NDArray[np.int64]:
    """The explained class of each picture in a planned store; 0 for a distance."""
    if store.output_classes is None:
        return np.zeros(len(store), dtype=np.int64)
    return store.output_classes[:, 0].astype(np.int64)


def unit_of(record: GameRecord) -> str:
    """Unit of the values in a game of pictures."""
    return str(record.specification.get("score", "squared distance"))


def _score_of(explained: Explained, picture: int, target: int) -> Scores:
    if explained.seconds is not None:
        return Distance(explained.scores, explained.seconds[picture])

    def score(pictures: Tensor) -> Tensor:
        column: Tensor = explained.scores(pictures)[:, target, None]
        return column

    return score


def _known(model: str) -> Model:
    for known in MODELS:
        if model == known:
            return known
    raise InputError(f"model {model!r}: must be one of {', '.join(MODELS)}")
