"""Which pictures are explained, the models that they are explained for, and the games of areas.

Two models, as in the paper's experiments ("Effective Coalitions of Shapley Value for Integrated
Gradients", section 5):

* ``classifier``: the score of the class that is predicted for a picture;
* ``distance``: the squared distance between the embeddings of two pictures. The areas are those of
  the first; the second stays as it is.

The pictures come from the test split in an order that does not depend on how many are asked for:
class after class in turn, and within a class spread over the split. So whoever asks for more gets
those that are there and others. Every second partner in a pair is of the same class.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.core.files import array_digest
from pipeline.data import pictures as datasets
from pipeline.data.pictures import Pictures
from pipeline.models import checkpoints, devices
from pipeline.models import pictures as networks
from pipeline.models.pictures import Distance, PictureClassifier, PictureEmbedding, Probability
from pipeline.store import CoalitionStore, GameRecord
from pipeline.store.evaluation import partition_indices
from pipeline.studies.baselines import resnets
from pipeline.studies.baselines.areas import Areas, Scores, count_players, square_areas
from pipeline.studies.baselines.integrated import baseline_pictures
from pipeline.studies.baselines.params import PictureGameParams, PictureSourceParams, PicturesParams
from pipeline.workflow.versions import version

Model = Literal["classifier", "distance"]
MODELS: tuple[Model, ...] = ("classifier", "distance")
OUTPUT: dict[Model, str] = {"classifier": "predicted class", "distance": "distance"}

CACHED_BYTES = 1 << 24
"""Of a batch's activations on a processor: more would leave its cache."""


@dataclass(frozen=True, eq=False)
class Explained:
    """Pictures whose areas are players, and the model whose score they play for."""

    model: Model
    scores: nn.Module
    """(batch, channel, height, width) → scores of all classes, or embeddings; in evaluation mode"""
    record: GameRecord
    instances: tuple[str, ...]
    numbers: NDArray[np.int64]
    """(picture,) places in the split"""
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


def read_explained(
    model: str,
    weights: Path,
    pictures: PicturesParams,
    params: PictureGameParams,
    device: torch.device,
) -> Explained:
    """What files and parameters tell; the same in every process that reads them.

    Args:
        model: ``classifier`` or ``distance``.
        weights: checkpoint of the classifier, or of the embedding.
        pictures: where pictures come from, and how large areas are.
        params: how many are explained, and of which game.
        device: where the model is to be.

    Raises:
        InputError: another model, weights that do not fit the pictures, one area alone or more
            than can be played completely, more pictures than there are, and as the datasets' own
            functions.
    """
    kind = _known(model)
    split = load_pictures(pictures, "test")
    areas = players_of(split, pictures)
    chosen = choose(split.labels, params.explained)
    if kind == "classifier":
        network: nn.Module = read_classifier(weights, split)
        scores: nn.Module = Probability(network) if params.score == "probability" else network
    else:
        network = scores = read_embedding(weights, split)
    absent = torch.zeros(split.pixels.shape[1:])
    if params.absent == "mean":
        absent = mean_picture(load_pictures(pictures, "train"))
    record = game_record(kind, network, areas, absent, params)
    partners = pair(split.labels, chosen) if kind == "distance" else None
    shown = torch.from_numpy(split.pixels)
    names = [f"{split.split}-{number}" for number in chosen]
    if partners is not None:
        names = [f"{a}_{split.split}-{b}" for a, b in zip(names, partners, strict=True)]
    return Explained(
        model=kind,
        # A convolution over few channels is twice as fast where a pixel's channels lie together.
        scores=scores.to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]
        record=record,
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


def load_pictures(params: PictureSourceParams, split: str) -> Pictures:
    """The pictures of a split, as the parameters describe them: of training pictures a part."""
    return datasets.load(
        params.source,
        split,
        root=params.root,
        download=params.download,
        size=params.size,
        most=params.train if split == "train" else None,
    )


def load_both(params: PictureSourceParams) -> tuple[Pictures, Pictures]:
    """The training and the test pictures.

    Raises InputError, besides what the datasets' own functions do, if their classes or their sizes
    differ.
    """
    train, test = (load_pictures(params, split) for split in ("train", "test"))
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes))
        raise InputError(
            f"{params.root}: train and test have different classes: {', '.join(differing[:8])}"
        )
    sizes = [f"{p.pixels.shape[2]} × {p.pixels.shape[3]}" for p in (train, test)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{params.root}: the pictures of train have {sizes[0]} pixels, those of test "
            f"{sizes[1]}; set baselines.pictures.size, to which all are resized"
        )
    return train, test


def mean_picture(pictures: Pictures) -> Tensor:
    """The mean of pictures: (channel, height, width) float32."""
    return baseline_pictures("mean", torch.from_numpy(pictures.pixels))[0]


def players_of(pictures: Pictures, params: PicturesParams) -> Areas:
    """The areas of the pictures, (height, width).

    Raises InputError if there is one alone, or more than complete games can be played with.
    """
    height, width = pictures.pixels.shape[2:]
    params.check_areas(height, width)
    return square_areas(height, width, params.area)


def read_classifier(path: Path, pictures: Pictures) -> nn.Module:
    """The classifier of a checkpoint of the stage ``classifier``, in evaluation mode.

    Raises InputError if it takes pictures of other channels.
    """
    if checkpoints.load(path)[0].get("network") == resnets.KIND:
        return resnets.load(path)
    network = networks.load(path, PictureClassifier)
    fit_channels(network, pictures, path)
    return network


def read_embedding(path: Path, pictures: Pictures) -> nn.Module:
    """The embedding of a checkpoint of the stage ``embedding``, in evaluation mode.

    Raises InputError if it takes pictures of other channels.
    """
    if checkpoints.load(path)[0].get("network") == resnets.EMBEDDING:
        return resnets.load_embedding(path)
    network = networks.load(path, PictureEmbedding)
    fit_channels(network, pictures, path)
    return network


def fit_channels(network: networks.Convolutional, pictures: Pictures, source: Path) -> None:
    """Raise InputError unless the network takes pictures of so many channels."""
    wanted, found = network.description()["channels"], pictures.pixels.shape[1]
    if wanted != found:
        raise InputError(
            f"{source}: takes pictures of {wanted} channels; these have {found}. Give the "
            "checkpoint that was made for them"
        )


def choose(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pictures of a split, class after class in turn, within a class spread over the split.

    The first of more are those of fewer.

    Args:
        labels: (picture,) of the split.
        count: how many are chosen.

    Returns:
        (count,) places in the split.

    Raises:
        InputError: more than there are.
    """
    if not 1 <= count <= len(labels):
        raise InputError(
            f"baselines.coalitions.explained: {count} pictures; the test split has {len(labels)}"
        )
    return datasets.in_turns(labels)[:count]


def pair(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each chosen picture another one, in turn of the same class and of a different one.

    A picture's partner does not depend on which others are chosen. Where no other picture is of
    the class, or all are, what there is is taken.

    Args:
        labels: (picture,) of the split.
        chosen: (explained,) places in the split, as :func:`choose` gives them.

    Returns:
        (explained,) places in the split.

    Raises:
        InputError: there is one picture alone.
    """
    if len(labels) < 2:
        raise InputError("the test split has one picture; a distance needs two")
    of = np.unique(labels, return_inverse=True)[1]
    turns = np.zeros(len(of.ravel()), dtype=np.int64)
    partners = []
    for number in chosen:
        own = of == of[number]
        is_same = (of[number] + turns[of[number]]) % 2 == 0
        turns[of[number]] += 1
        wanted = own if is_same else ~own
        others = np.arange(len(labels)) != number
        among = np.flatnonzero(wanted & others)
        if not len(among):
            among = np.flatnonzero(others)
        partners.append(int(np.random.default_rng([0, int(number)]).choice(among)))
    return np.array(partners, dtype=np.int64)


def game_record(
    model: Model, network: nn.Module, areas: Areas, absent: Tensor, params: PictureGameParams
) -> GameRecord:
    """What identifies the game that is played."""
    specification: dict[str, Any] = {
        "model": model,
        "network": _described(network),
        "absent": array_digest([absent.numpy()]),
        "areas": array_digest([areas]),
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
        n_players=count_players(areas),
        player="an area of the picture, row after row",
        outputs=(OUTPUT[model],),
        value=f"{value}, where areas that are not in the coalition show {nobody}",
        specification=specification,
        weights_sha256=checkpoints.state_digest(network),
        evaluator_version=version("baselines", "coalitions"),
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
    )


def _described(network: nn.Module) -> dict[str, Any]:
    """What beside the weights makes a network what it is."""
    kind = {"kind": type(network).__name__}
    if isinstance(network, resnets.Resnet):
        return {**kind, "architecture": network.architecture}
    assert isinstance(network, networks.Convolutional)
    return {**kind, **network.description()}


def unit_of(record: GameRecord) -> str:
    """What the game's values are measured in."""
    return str(record.specification.get("score", "squared distance"))


def predict(explained: Explained) -> NDArray[np.int64]:
    """The class of highest score of each picture: (picture,)."""
    scores = outputs_of(explained.scores, explained.pictures)
    return scores.argmax(dim=1).cpu().numpy()


def outputs_of(network: nn.Module, pictures: Tensor) -> Tensor:
    """What a network gives for pictures on its device, in batches and without gradients."""
    at_once = batch_size(network, pictures[0])
    with torch.no_grad():
        return torch.cat([network(part) for part in pictures.split(at_once)])


def score_of(explained: Explained, picture: int, target: int = 0) -> Scores:
    """The score that a picture's areas play for: (batch, *shape) → (batch, 1).

    Args:
        explained: all pictures.
        picture: which of them.
        target: the class, of a classifier.
    """
    if explained.seconds is not None:
        return Distance(explained.scores, explained.seconds[picture])

    def score(pictures: Tensor) -> Tensor:
        column: Tensor = explained.scores(pictures)[:, target, None]
        return column

    return score


def targets_of(store: CoalitionStore) -> NDArray[np.int64]:
    """The class that each picture of a planned store is explained for; 0 for a distance."""
    if store.output_classes is None:
        return np.zeros(len(store), dtype=np.int64)
    return store.output_classes[:, 0].astype(np.int64)


def input_digest(explained: Explained, picture: int, target: int) -> str:
    """Of what a picture's values are computed from, within the game."""
    arrays = [explained.pictures[picture].cpu().numpy()]
    if explained.seconds is None:
        arrays.append(np.array([target], dtype=np.int64))
    else:
        arrays.append(explained.seconds[picture].cpu().numpy())
    return array_digest(arrays)


def refuse_other(
    store: CoalitionStore, explained: Explained, partition: tuple[int, int] = (0, 1)
) -> None:
    """Raise InputError unless the store was planned for just these weights and pictures."""
    remedy = "run baselines_game with the same files and parameters first"
    if store.record.identity != explained.record.identity:
        raise InputError(f"{store.path}: is planned for another game; {remedy}")
    if store.instances != explained.instances:
        raise InputError(f"{store.path}: is planned for other pictures; {remedy}")
    targets = targets_of(store)
    for i in partition_indices(len(store), partition):
        if store.input_sha256[i] != input_digest(explained, i, int(targets[i])):
            raise InputError(
                f"{store.path}: is planned for other pixels of {store.instances[i]!r}; {remedy}"
            )


def batch_size(network: nn.Module, picture: Tensor, *, gradients: bool = False) -> int:
    """Pictures that are best given to a network at once: a power of two.

    On a processor as many as leave the activations in its cache, elsewhere as many as its working
    memory holds. It depends on nothing else, so that results are repeatable.

    Args:
        network: on the picture's device.
        picture: (*shape), one of them.
        gradients: whether gradients are wanted: then activations are kept.
    """
    counts = [picture.numel()]

    def count(_module: nn.Module, _inputs: Any, output: Any) -> None:
        counts.append(output.numel())

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.no_grad():
            network(picture[None])
    finally:
        for hook in hooks:
            hook.remove()
    each = sum(counts) * picture.element_size() * (4 if gradients else 1)
    device = picture.device
    room = CACHED_BYTES if device.type == "cpu" else devices.working_memory(device)
    most = 1 << 14
    return int(min(most, 1 << max(0, (room // each).bit_length() - 1)))


def _known(model: str) -> Model:
    for known in MODELS:
        if model == known:
            return known
    raise InputError(f"model {model!r}: must be one of {', '.join(MODELS)}")
