"""Files of the study of Shapley explanation networks, and the games in its stores."""

from functools import lru_cache
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.rules import GameRule
from pipeline.data import tables
from pipeline.studies.shapnets.image_paths import IMAGE_MODELS, picture_files
from pipeline.studies.shapnets.params import OwnTableParams, Params

TABLES = ("synthetic", "interactions", "breast_cancer", "yeast", "own")
"""All tables of the study; some are optional."""

EXPLAINED_GROUPS = ("compared", "regularised")
"""Groups of networks that are trained together and include explained networks."""

GROUPS = (*EXPLAINED_GROUPS, "learned")
"""Groups of networks that are trained together; also their sections of the parameters."""

ENUMERABLE = 16
"""Largest number of features for which all coalitions are evaluated."""

OF_TABLES = (
    *("accuracy", "distances", "consistent", "regularised", "learned", "timing"),
    "representations",
)
"""Figures of networks for tables."""

INTERMEDIATE: tuple[str, ...] = ()
"""Stages whose files may be removed once everything is made."""

FIGURES: dict[str, tuple[str, ...]] = {}
"""Figures by the analysis that they show."""

NEEDS = {
    "tables": "shapnets.tables",
    "sizes": "shapnets.networks",
    "compared": "shapnets.compared",
    "explained": "shapnets.explained",
    "yeast": "shapnets.yeast",
    "own": "shapnets.table",
}
"""Parameters that tables and the networks for them are made from."""


def domains(shapnets: Params) -> dict[str, list[str]]:
    """Values that the wildcards of the study's rules take."""
    return {"source": sources(shapnets), "group": list(GROUPS), "image_model": list(IMAGE_MODELS)}


def sources(shapnets: Params) -> list[str]:
    """Tables that are used under these parameters."""
    left_out = {
        name
        for name, given in (("yeast", shapnets.yeast), ("own", shapnets.table))
        if given is None
    }
    return [name for name in TABLES if name not in left_out]


def enumerable(shapnets: Params) -> list[str]:
    """Tables with few enough features to evaluate all coalitions."""
    large = {"breast_cancer"}
    if shapnets.table is not None and own_features(shapnets.table) > ENUMERABLE:
        large.add("own")
    return [name for name in sources(shapnets) if name not in large]


def checkpoints(shapnets: Params, source: str) -> list[str]:
    """Checkpoints of a table's networks.

    Networks with explanations drawn to Shapley values exist only for :func:`enumerable` tables.
    """
    found = [f"results/shapnets/networks/{source}_{group}.pt" for group in EXPLAINED_GROUPS]
    consistent = f"results/shapnets/consistent/{source}.pt"
    return [*found, consistent] if source in enumerable(shapnets) else found


def numbers(shapnets: Params) -> list[str]:
    """JSON files with the scores of all networks for tables."""
    paths = []
    for source in sources(shapnets):
        paths += [*checkpoints(shapnets, source), f"results/shapnets/networks/{source}_learned.pt"]
    return [path.replace(".pt", ".json") for path in paths]


def receipt(shapnets: Params, source: str) -> list[str]:
    """The receipt of a table's game; none if the table is not enumerable."""
    known = source in enumerable(shapnets)
    return [f"results/shapnets/receipts/{source}.json"] if known else []


def distances(shapnets: Params) -> list[str]:
    """JSON files of all tables with distances of explanations from exact values."""
    return [f"results/shapnets/distances/{source}.json" for source in sources(shapnets)]


def given_files(shapnets: Params, source: str) -> list[str]:
    """The user's files that a table is read from."""
    if source == "yeast" and shapnets.yeast not in (None, "fetch"):
        return [str(Path(shapnets.yeast or "", "yeast.data"))]
    return [shapnets.table.path] if source == "own" and shapnets.table else []


def games(shapnets: Params) -> dict[str, GameRule]:
    """The games whose coalitions are evaluated, by name."""
    return {
        source: GameRule(
            {"networks": checkpoints(shapnets, source)}, NEEDS, given_files(shapnets, source)
        )
        for source in enumerable(shapnets)
    }


@lru_cache
def own_features(own: OwnTableParams) -> int:
    """Number of features of the user's table, which is read. Raises InputError if that fails."""
    found = tables.own(Path(own.path), own.target, kind=own.kind, missing=own.missing)
    return len(found.names)


def check(shapnets: Params) -> None:
    """Raise InputError for missing files, and for tables that cannot be used."""
    for source in sources(shapnets):
        for file in given_files(shapnets, source):
            if not Path(file).exists():
                name = "yeast" if source == "yeast" else "table.path"
                raise InputError(f"parameter shapnets.{name}: there is no {file}")
    for file in picture_files(shapnets.images):
        if not Path(file).exists():
            raise InputError(f"parameter shapnets.images.root: there is no {file}")
    if shapnets.table is not None:
        own_features(shapnets.table)


def viewed(_: Params) -> list[str]:
    """Files that the study's view in the report reads, besides receipts and stores."""
    return ["results/shapnets/images.h5"]
