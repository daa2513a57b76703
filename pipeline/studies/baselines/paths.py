"""Files of the study of baselines: the inputs of its rules, and the games in its stores."""

from itertools import islice
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.rules import GameRule, given
from pipeline.data.picture_files import could_be_picture
from pipeline.studies.baselines.params import (
    ClassifierParams,
    EmbeddingParams,
    Params,
    PicturesParams,
)

UTILITIES = ("synergies_12", "rules_12", "synergies_20", "rules_20")
"""The utility functions of the study of baselines, one game each."""

PICTURED = ("classifier", "distance")
"""Models of pictures in the study of baselines, one game each."""

SIZES = {
    "digits": {"train": 1258, "test": 180},
    "mnist": {"train": 60_000, "test": 10_000},
    "cifar10": {"train": 50_000, "test": 10_000},
}
"""How many pictures each split of the data sets has."""

INTERMEDIATE = ("surrogates",)
"""Stages whose files may be removed once all results exist."""


COUNTED = {"count": given(None, "baselines.surrogates.repeats")}
"""For stages that read the surrogates: their folders may hold more than ``repeats``."""


def domains(baselines: Params) -> dict[str, list[str]]:  # noqa: ARG001  as other studies' are called
    """Possible values of the wildcards in the study's rules."""
    return {"utility": list(UTILITIES), "pictured": list(PICTURED)}


def games(baselines: Params) -> dict[str, GameRule]:
    """The games whose coalitions are all evaluated, by name."""
    of_utilities = {
        utility: GameRule(files={"weights": surrogates(baselines, utility)}, needs=COUNTED)
        for utility in UTILITIES
    }
    players = {"coalitions": "baselines.coalitions", "pictures": "baselines.pictures"}
    of_pictures = {
        pictured: GameRule(
            files={"weights": [pictured_weights(pictured)]},
            needs=players,
            waits_for=picture_files(baselines),
        )
        for pictured in PICTURED
    }
    return {**of_utilities, **of_pictures}


def repeats(baselines: Params) -> range:
    """Numbers of the networks that replace a utility function, from 1."""
    return range(1, baselines.surrogates.repeats + 1)


def surrogates(baselines: Params, utility: str) -> list[str]:
    """Checkpoints of the networks that replace a utility function."""
    return [f"results/baselines/surrogates/{utility}/{i}.pt" for i in repeats(baselines)]


def all_surrogates(baselines: Params) -> list[str]:
    """Checkpoints of the networks that replace any utility function."""
    return [path for utility in UTILITIES for path in surrogates(baselines, utility)]


def picture_files(baselines: Params) -> list[str]:
    """Files that stages reading the pictures depend on, if they are the user's files."""
    pictures = baselines.pictures
    if pictures.root is None or pictures.download:
        return []
    parts = {"mnist": ["MNIST"], "cifar10": ["cifar-10-batches-bin"], "folder": ["train", "test"]}
    return [str(Path(pictures.root, part)) for part in parts.get(pictures.source, [])]


def given_network(network: ClassifierParams | EmbeddingParams) -> list[str]:
    """The user's checkpoint, if one is given."""
    return [] if network.weights in (None, "imagenet") else [str(network.weights)]


def pictured_weights(pictured: str) -> str:
    """The network of a game of pictures."""
    network = {"classifier": "classifier", "distance": "embedding"}[pictured]
    return f"results/baselines/{network}.pt"


def check(baselines: Params) -> None:
    """Check, before anything is trained, what could otherwise only fail later.

    Raises InputError for a missing file, for too many or too few areas, and for more pictures than
    there are, as far as the parameters and the names of files show this.
    """
    pictures = baselines.pictures
    named = {"pictures.root": None if pictures.download else pictures.root}
    for name in ("classifier", "embedding"):
        named[f"{name}.weights"] = next(iter(given_network(getattr(baselines, name))), None)
    for name, path in named.items():
        if path is not None and not Path(path).exists():
            raise InputError(f"parameter baselines.{name}: there is no {path}")
    if pictures.side is not None:
        pictures.check_areas(pictures.side, pictures.side)
    explained = baselines.coalitions.explained
    held = count_pictures(pictures, "test", up_to=explained)
    if explained > held:
        raise InputError(
            f"baselines.coalitions.explained: {explained} pictures; {_split(pictures, 'test')} has "
            f"{held}"
        )
    random = baselines.attributions.random_baselines
    known = count_pictures(pictures, "train", up_to=random)
    read = known if pictures.train is None else min(known, pictures.train)
    if random > read:
        raise InputError(
            f"baselines.attributions.random_baselines: {random} are drawn without repeats from the "
            f"training pictures, and {read} of these are read; give at most {read}"
            f"{', or a larger baselines.pictures.train' if read == pictures.train else ''}"
        )


def _split(pictures: PicturesParams, split: str) -> str:
    if pictures.source == "folder":
        return f"{pictures.root}/{split}/<class>/"
    return f"the {split} split of {pictures.source}"


def count_pictures(pictures: PicturesParams, split: str, *, up_to: int) -> int:
    """How many pictures a split has, at most ``up_to``.

    The pictures of a folder are counted by the names of its files, only as far as needed.
    """
    if pictures.source != "folder":
        return min(up_to, SIZES[pictures.source][split])
    files = Path(str(pictures.root), split).glob("*/*")
    of_pictures = (path for path in files if could_be_picture(path))
    return sum(1 for _ in islice(of_pictures, up_to))


def viewed(_: Params) -> list[str]:
    """Files that the study's view in the report reads, besides receipts and stores."""
    return [f"results/baselines/attributions/{model}.h5" for model in ("classifier", "distance")]
