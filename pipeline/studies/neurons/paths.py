"""Files of the study of neurons: the inputs of its rules, and the games in its stores."""

from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.rules import GameRule, Need
from pipeline.studies.neurons.params import Params

NETWORKS = ("plain", "dropout", "tinted")
"""Networks whose filters are valued."""

TRAINED = (*NETWORKS, "foreign")
"""All networks of the study."""

SUBJECTS = (*NETWORKS, "attacked")
"""Networks with the images they are valued on: ``attacked`` is the plain network under attack."""

ATTACKS = "results/neurons/attacks/plain.h5"

INTERMEDIATE = ("attacks",)
"""Stages whose files may be removed once everything is made."""

FIGURES: dict[str, tuple[str, ...]] = {}
"""Figures by the analysis that they show."""


DIGITS, LEAST_TRAINED = 1797, 20
"""Number of scikit-learn's digits, and the least number that networks are trained on."""

DECEIVED = ("plain", "foreign")
"""Networks that adversarial images are made with."""


def domains(neurons: Params) -> dict[str, list[str]]:
    """Values that the wildcards of the study's rules take."""
    found = subjects(neurons)
    known = [name for name in found if name in NETWORKS]
    return {"network": [*known, "foreign"], "subject": found, "deceived": list(DECEIVED)}


def subjects(neurons: Params) -> list[str]:
    """Subjects under these parameters; ``tinted`` is optional."""
    return [s for s in SUBJECTS if s != "tinted" or neurons.networks.tinted is not None]


def network_of(subject: str) -> str:
    """The checkpoint of a subject's network."""
    return f"results/neurons/networks/{'plain' if subject == 'attacked' else subject}.pt"


def given_weights(neurons: Params) -> list[str]:
    """The checkpoint of a given network, if it is the user's file."""
    weights = neurons.networks.plain.weights
    return [weights] if weights is not None and Path(weights).suffix else []


def faces_weights(neurons: Params) -> list[str]:
    """The weights of the network for faces, if they are the user's file."""
    faces = neurons.faces
    return [] if faces is None or faces.weights == "fetch" else [faces.weights]


def games(neurons: Params) -> dict[str, GameRule]:
    """The games whose coalitions are evaluated, by name."""
    found = {}
    for subject in subjects(neurons):
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
            needs["players"] = "neurons.networks.plain.players"
        for kind in ("pairs", "walks", "shared") if subject == "plain" else ("pairs",):
            drawn = {**needs, "drawn": f"neurons.{kind}"}
            found[f"{subject}_{kind}"] = GameRule(files, drawn, picture_files(neurons))
    return found


def picture_files(neurons: Params) -> list[str]:
    """The user's image files that stages depend on; none if images are built in or downloaded."""
    images = neurons.images
    if images.root is None or images.download:
        return []
    parts = {"mnist": ["MNIST"], "cifar10": ["cifar-10-batches-bin"], "folder": ["train", "test"]}
    return [str(Path(images.root, part)) for part in parts.get(images.source, [])]


def check(neurons: Params) -> None:
    """Raise InputError for missing files, and for more digits than there are."""
    images = neurons.images
    seen = images.ranked + images.held_out
    if images.source == "digits" and seen > DIGITS - LEAST_TRAINED:
        raise InputError(
            f"neurons.images: {images.ranked} ranked and {images.held_out} held-out images; there "
            f"are {DIGITS} digits, and at least {LEAST_TRAINED} must be left to train on"
        )
    named = {
        "images.root": None if neurons.images.download else neurons.images.root,
        "networks.plain.weights": next(iter(given_weights(neurons)), None),
        "faces.weights": next(iter(faces_weights(neurons)), None),
    }
    for name, path in named.items():
        if path is not None and not Path(path).exists():
            raise InputError(f"parameter neurons.{name}: there is no {path}")


def viewed(_: Params) -> list[str]:
    """Files that the study's view in the report reads, besides receipts and stores."""
    names = ("values/plain.h5", "removal.json", "pictures.h5")
    return [f"results/neurons/{name}" for name in names]
