"""Paths of the study of baselines."""

from pathlib import Path

from pipeline.errors import InputError
from pipeline.params.baselines import BaselinesParams, ClassifierParams, EmbeddingParams

UTILITIES = ("synergies_12", "rules_12", "synergies_20", "rules_20")
"""The utility functions of the study of baselines: a game each."""

PICTURED = ("classifier", "distance")
"""What is explained of pictures in the study of baselines: a game each."""

DIGITS = {"train": 1258, "test": 180}
"""How many digits each split has."""

PICTURE_FIGURES = (
    "pictures_classifier",
    "pictures_distance_positive",
    "pictures_distance_negative",
)


def repeats(baselines: BaselinesParams) -> range:
    """Numbers of the networks that stand in for a utility function, from 1."""
    return range(1, baselines.surrogates.repeats + 1)


def surrogates(baselines: BaselinesParams, utility: str) -> list[str]:
    """Checkpoints of the networks that stand in for a utility function."""
    return [f"results/baselines/surrogates/{utility}/{i}.pt" for i in repeats(baselines)]


def picture_files(baselines: BaselinesParams) -> list[str]:
    """What stages that read the pictures depend on, where they are the user's files."""
    pictures = baselines.pictures
    if pictures.root is None or pictures.download:
        return []
    parts = {"mnist": ["MNIST"], "cifar10": ["cifar-10-batches-bin"], "folder": ["train", "test"]}
    return [str(Path(pictures.root, part)) for part in parts.get(pictures.source, [])]


def given_network(network: ClassifierParams | EmbeddingParams) -> list[str]:
    """The checkpoint that is taken as it is, if there is one."""
    return [] if network.weights in (None, "imagenet") else [str(network.weights)]


def pictured_weights(pictured: str) -> str:
    """The network that a game of pictures is played with."""
    network = {"classifier": "classifier", "distance": "embedding"}[pictured]
    return f"results/baselines/{network}.pt"


def files_named(baselines: BaselinesParams) -> dict[str, str | None]:
    """What parameters name on disk, by the parameters' names."""
    pictures = baselines.pictures
    return {
        "baselines.pictures.root": None if pictures.download else pictures.root,
        "baselines.classifier.weights": next(iter(given_network(baselines.classifier)), None),
        "baselines.embedding.weights": next(iter(given_network(baselines.embedding)), None),
    }


def check(baselines: BaselinesParams) -> None:
    """Refuse, before anything is trained, what could only fail afterwards.

    Raises InputError for areas that are too many or too few, and for more pictures than there are,
    as far as the parameters tell.
    """
    pictures = baselines.pictures
    if pictures.side is not None:
        pictures.check_areas(pictures.side, pictures.side)
    is_digits = pictures.source == "digits"
    explained = baselines.coalitions.explained
    if is_digits and explained > DIGITS["test"]:
        raise InputError(
            f"baselines.coalitions.explained: {explained} pictures; the test split of the digits "
            f"has {DIGITS['test']}"
        )
    known = [count for count in (pictures.train, DIGITS["train"] if is_digits else None) if count]
    random = baselines.attributions.random_baselines
    if known and random > min(known):
        raise InputError(
            f"baselines.attributions.random_baselines: {random} are drawn without repeats from the "
            f"training pictures, and {min(known)} of these are read; give {min(known)} at most"
            f"{', or a larger baselines.pictures.train' if pictures.train == min(known) else ''}"
        )
