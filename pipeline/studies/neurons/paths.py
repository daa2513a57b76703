"""Files of the study of neurons: what its rules read, and which games it fills stores with."""

from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.rules import GameRule, Need
from pipeline.studies.neurons.params import Params

NETWORKS = ("plain", "dropout", "tinted")
"""Networks whose filters are valued."""

SUBJECTS = (*NETWORKS, "attacked")
"""Networks and the images that they see: ``attacked`` is the plain network under attack."""

ATTACKS = "results/neurons/attacks/plain.h5"

INTERMEDIATE = ("attacks",)
"""Stages whose files may be removed once everything is made."""

FIGURES: dict[str, tuple[str, ...]] = {}
"""Figures by the analysis that they show."""

METRICS: list[str] = []
"""What `dvc metrics` shows."""


DECEIVED = ("plain", "dropout")
"""Networks that images are changed to deceive."""


def domains(neurons: Params) -> dict[str, list[str]]:  # noqa: ARG001  as other studies' are called
    """Values that the wildcards of the study's rules take."""
    return {"network": list(NETWORKS), "subject": list(SUBJECTS), "deceived": list(DECEIVED)}


def network_of(subject: str) -> str:
    """The checkpoint of a subject's network."""
    return f"results/neurons/networks/{'plain' if subject == 'attacked' else subject}.pt"


def attacks_of(wildcards: Any) -> dict[str, str]:
    """The attacked images that a subject sees, if it does."""
    return {"attacks": ATTACKS} if wildcards.subject == "attacked" else {}


def given_weights(neurons: Params) -> list[str]:
    """The checkpoint of a given network, if it is the user's file."""
    weights = neurons.networks.plain.weights
    return [weights] if weights is not None and Path(weights).suffix else []


def games(neurons: Params) -> dict[str, GameRule]:
    """The games of which coalitions are evaluated, by name."""
    found = {}
    for subject in SUBJECTS:
        files: dict[str, str | list[str]] = {"checkpoint": network_of(subject)}
        needs: dict[str, str | Need] = {
            "images": "neurons.images",
            "coalitions": "neurons.coalitions",
        }
        if subject == "attacked":
            files["attacks"] = ATTACKS
        if subject == "tinted":
            needs["tint"] = "neurons.networks.tinted"
        if subject in ("plain", "attacked"):
            needs["modules"] = "neurons.networks.plain.modules"
        for kind in ("pairs", "walks", "shared") if subject == "plain" else ("pairs",):
            drawn = {**needs, "drawn": f"neurons.{kind}"}
            found[f"{subject}_{kind}"] = GameRule(files, drawn, picture_files(neurons))
    return found


def picture_files(neurons: Params) -> list[str]:
    """What stages that read the images depend on, where they are the user's files."""
    images = neurons.images
    if images.root is None or images.download:
        return []
    parts = {"mnist": ["MNIST"], "cifar10": ["cifar-10-batches-bin"], "folder": ["train", "test"]}
    return [str(Path(images.root, part)) for part in parts.get(images.source, [])]


def check(neurons: Params) -> None:
    """Refuse parameters that name files that are not there. Raises InputError."""
    named = {
        "images.root": None if neurons.images.download else neurons.images.root,
        "networks.plain.weights": next(iter(given_weights(neurons)), None),
    }
    for name, path in named.items():
        if path is not None and not Path(path).exists():
            raise InputError(f"parameter neurons.{name}: there is no {path}")
