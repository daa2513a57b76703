"""Files of the study of Shapley explanation networks, and the games it fills stores with."""

from functools import lru_cache
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.rules import GameRule
from pipeline.data import tables
from pipeline.studies.shapnets.image_paths import IMAGE_MODELS, picture_files
from pipeline.studies.shapnets.params import OwnTableParams, Params

TABLES = ("synthetic", "interactions", "breast_cancer", "yeast", "own")
"""Tables that there may be."""

EXPLAINED_GROUPS = ("compared", "regularised")
"""Networks that are trained together, of which some are explained."""

GROUPS = (*EXPLAINED_GROUPS, "learned")
"""Networks that are trained together, and sections of the parameters."""

ENUMERABLE = 16
"""Features of which all coalitions are evaluated, at most."""

OF_TABLES = (
    *("accuracy", "distances", "consistent", "regularised", "learned", "timing"),
    "representations",
)
"""Figures of networks for tables."""

INTERMEDIATE: tuple[str, ...] = ()
"""Stages whose files may be removed once everything is made."""

FIGURES: dict[str, tuple[str, ...]] = {}
"""Figures by the analysis that they show."""

METRICS: list[str] = []
"""What `dvc metrics` shows."""

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
    """Tables that there are."""
    left_out = {
        name
        for name, given in (("yeast", shapnets.yeast), ("own", shapnets.table))
        if given is None
    }
    return [name for name in TABLES if name not in left_out]


def enumerable(shapnets: Params) -> list[str]:
    """Tables of so few features that all coalitions are evaluated."""
    large = {"breast_cancer"}
    if shapnets.table is not None and own_features(shapnets.table) > ENUMERABLE:
        large.add("own")
    return [name for name in sources(shapnets) if name not in large]


def checkpoints(shapnets: Params, source: str) -> list[str]:
    """Checkpoints of a table's networks.

    Explanations are drawn to Shapley values where these are computed.
    """
    found = [f"results/shapnets/networks/{source}_{group}.pt" for group in EXPLAINED_GROUPS]
    consistent = f"results/shapnets/consistent/{source}.pt"
    return [*found, consistent] if source in enumerable(shapnets) else found


def numbers(shapnets: Params) -> list[str]:
    """How all networks for tables do."""
    paths = []
    for source in sources(shapnets):
        paths += [*checkpoints(shapnets, source), f"results/shapnets/networks/{source}_learned.pt"]
    return [path.replace(".pt", ".json") for path in paths]


def receipt(shapnets: Params, source: str) -> list[str]:
    """The receipt of a table's game, where there is one."""
    known = source in enumerable(shapnets)
    return [f"results/shapnets/receipts/{source}.json"] if known else []


def distances(shapnets: Params) -> list[str]:
    """Explanations beside exact values, of all tables."""
    return [f"results/shapnets/distances/{source}.json" for source in sources(shapnets)]


def given_files(shapnets: Params, source: str) -> list[str]:
    """Files of the user's that a table is read from."""
    if source == "yeast" and shapnets.yeast not in (None, "fetch"):
        return [str(Path(shapnets.yeast or "", "yeast.data"))]
    return [shapnets.table.path] if source == "own" and shapnets.table else []


def games(shapnets: Params) -> dict[str, GameRule]:
    """The games of which coalitions are evaluated, by name."""
    return {
        source: GameRule(
            {"networks": checkpoints(shapnets, source)}, NEEDS, given_files(shapnets, source)
        )
        for source in enumerable(shapnets)
    }


@lru_cache
def own_features(own: OwnTableParams) -> int:
    """Features of the user's table, which is read for it. Raises InputError if it cannot be."""
    found = tables.own(Path(own.path), own.target, kind=own.kind, missing=own.missing)
    return len(found.names)


def check(shapnets: Params) -> None:
    """Refuse files that are not there, and tables that cannot be used. Raises InputError."""
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
