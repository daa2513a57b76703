"""Files of the study of frames: the inputs of its rules, and the games in its stores."""

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.rules import GameRule, Need, but, given
from pipeline.data.something import VIDEOS, is_plain_folder, label_files
from pipeline.studies.frames.params import BackboneWeights, Params

RENDERED = "data/frames/moving-digits"
MADE = "results/frames"
MODELS = ("trn", "tsn")
SPLITS = ("train", "validation")

INTERMEDIATE = ("videos", "backbone", "features")
"""Stages whose files may be removed once all results exist."""


FIGURES = {
    "figures": ("accuracy", "summary"),
    "discard": ("discard_attribution", "discard_plain", "discard_methods"),
    "patterns": ("contributions", "most_alike", "least_alike", "confusions"),
    "interactions": ("interactions",),
    "localisation": ("localisation",),
    "lengths": ("lengths",),
    "shift": ("shift",),
    "removal": ("removal",),
    "convergence": ("algorithm_1_trn", "algorithm_1_tsn", "estimators_trn", "estimators_tsn"),
}
"""Figures by the analysis that they show."""

JUDGED = ("accuracy", "discard", "patterns", "lengths", "shift", "convergence", "runtime")
"""Results, besides the summary, that decide the claims."""

PLOTS = [
    {
        "frames_accuracy": {
            "x": "frames",
            "y": {"results/frames/accuracy.csv": ["trn", "tsn"]},
            "x_label": "frames",
            "y_label": "accuracy",
            "title": "Accuracy against the number of frames",
        }
    }
]
"""What `dvc plots` draws besides the figures."""


def is_own(frames: Params) -> bool:
    """Whether a model of the user's is explained instead of the TRN and the TSN."""
    return frames.model is not None and frames.model not in MODELS


def models(frames: Params) -> tuple[str, ...]:
    """The models that are explained, as file names have them."""
    if frames.model is None:
        return MODELS
    return (re.sub(r"[^A-Za-z0-9]+", "_", frames.model).strip("_"),)


def compares(frames: Params) -> bool:
    """Whether the TRN is compared with the TSN."""
    return frames.model is None


def left_out(frames: Params) -> str:
    """What is not made with a single model, and why; empty if all is made."""
    if compares(frames):
        return ""
    found = f"frames.model: {frames.model}: made are values, discarding curves, interactions, "
    found += "figures of videos and a summary. "
    compared = "accuracy, patterns, localisation, lengths, shift, removal, convergence, runtime"
    found += f"Left out, since they compare the TRN with the TSN: {compared} and claims"
    if is_own(frames):
        found += ". Left out, since they need the TRN's or TSN's features: GradCAM and Integrated "
        found += "Gradients"
    return found


def model_files(frames: Params) -> list[str]:
    """Files of the user's model: its module, if it lies in the working directory, and weights."""
    module = Path(*str(frames.model).partition(":")[0].split("."))
    places = [module.with_suffix(".py"), module / "__init__.py"]
    weights = [frames.own_model.weights] if frames.own_model.weights else []
    return [*(str(place) for place in places if place.is_file()), *weights]


def check(frames: Params) -> None:
    """Check that all files named by parameters exist. Raises InputError."""
    named = {"dataset.root": frames.dataset.root, "features.classes": frames.features.classes}
    named["own_model.weights"] = frames.own_model.weights
    weights = frames.backbone.weights
    for model in MODELS:
        files = getattr(frames.features, model)
        for split in SPLITS:
            named[f"features.{model}.{split}"] = files and feature_source(frames, model, split)[0]
        if isinstance(weights, BackboneWeights):
            named[f"backbone.weights.{model}"] = getattr(weights, model)
    for name, path in named.items():
        if path is not None and not Path(path).exists():
            raise InputError(f"parameter frames.{name}: there is no {path}")
    if has_videos(frames):
        dataset_files(frames)


def domains(frames: Params) -> dict[str, list[str]]:
    """Possible values of the wildcards in the study's rules."""
    return {
        "model": list(models(frames)),
        "split": list(SPLITS),
        "scale": [str(scale) for scale in range(1, frames.scales.n_max + 1)],
    }


def dataset_root(frames: Params) -> str:
    """Folder of the videos."""
    return frames.dataset.root or RENDERED


def dataset_files(frames: Params) -> list[str]:
    """Files that stages reading the videos depend on.

    For a user's data set these include each label file: a change inside a folder does not change
    the folder's time.
    """
    root = frames.dataset.root
    if root is None:
        return [RENDERED]
    if is_own(frames) and is_plain_folder(Path(root)):
        return [root]
    return [*map(str, label_files(Path(root))), str(Path(root, VIDEOS))]


def has_videos(frames: Params) -> bool:
    """Whether the videos of the features are available; they supply pictures and class names."""
    given = frames.features.trn is not None and not is_own(frames)
    return not given or frames.dataset.root is not None


def videos_at_hand(frames: Params) -> list[str]:
    """:func:`dataset_files` if the videos are available, otherwise an empty list."""
    return dataset_files(frames) if has_videos(frames) else []


def given_weights(frames: Params, model: str) -> list[str]:
    """The checkpoint that a backbone starts from, if there is one."""
    weights = frames.backbone.weights
    return [getattr(weights, model)] if isinstance(weights, BackboneWeights) else []


def class_files(frames: Params) -> list[str]:
    """Files that hold the names of the classes."""
    if frames.features.classes is not None:
        return [frames.features.classes]
    return videos_at_hand(frames)


def feature_source(frames: Params, model: str, split: str) -> tuple[str, str]:
    """File and group of features made elsewhere; ``file.h5::train`` names a group."""
    path, _, group = getattr(getattr(frames.features, model), split).partition("::")
    return path, group


def are_grouped(frames: Params) -> bool:
    """Whether any features made elsewhere are in groups of their files."""
    if frames.features.trn is None:
        return False
    return any(feature_source(frames, model, split)[1] for model in MODELS for split in SPLITS)


def feature_file(frames: Params, model: str, split: str) -> str:
    """Path of a model's features of a split."""
    if frames.features.trn is None:
        return f"{MADE}/features/{model}_{split}.h5"
    path, group = feature_source(frames, model, split)
    return f"{MADE}/features/given_{model}_{split}.h5" if group else path


def model_weights(frames: Params, model: str) -> list[str]:
    """Checkpoints of the model that is explained."""
    if model == "tsn":
        return [f"{MADE}/tsn.pt"]
    return [f"{MADE}/scales/{s}.pt" for s in range(1, frames.scales.n_max + 1)]


def both_models(frames: Params) -> dict[str, str | list[str]]:
    """Inputs of stages that evaluate both models on the validation clips."""
    return {
        "trn_features": feature_file(frames, "trn", "validation"),
        "tsn_features": feature_file(frames, "tsn", "validation"),
        "scales": model_weights(frames, "trn"),
        "tsn": model_weights(frames, "tsn")[0],
        "priors": f"{MADE}/priors.json",
    }


COUNTED = {"count": given(None, "frames.scales.n_max")}
"""For stages that read the single-scale models: their folder may hold more than n_max."""


def receipts(frames: Params, kind: str = "") -> list[str]:
    """Receipts of the games of one kind, in the order of the models."""
    return [f"{MADE}/receipts/{model}{kind}.json" for model in models(frames)]


def figures(frames: Params) -> dict[str, tuple[str, ...]]:
    """:data:`FIGURES` that are drawn of the models that are explained."""
    missing = set() if compares(frames) else {"accuracy"}
    if is_own(frames):
        missing.add("discard_methods")
    return {k: tuple(n for n in names if n not in missing) for k, names in FIGURES.items()}


def drawn(analysis: str) -> list[str]:
    """Figures of an analysis, as PNG."""
    return [f"{MADE}/figures/{name}.png" for name in FIGURES[analysis]]


VIEW_NEEDS = ("model", "dataset.root", "features")
"""Parameters that the study's view in the report depends on."""


def viewed(frames: Params) -> list[str]:
    """Files that the study's view in the report reads, besides receipts and stores."""
    found = [f"{MADE}/values/{model}.h5" for model in models(frames)]
    found.append(f"{MADE}/{'clips' if is_own(frames) else 'priors'}.json")
    if not is_own(frames):
        found += [f"{MADE}/gradients/{model}.h5" for model in models(frames)]
    if compares(frames):
        found += [feature_file(frames, model, "validation") for model in MODELS]
        found.append(f"{MADE}/attributions.h5")
    return [*found, *videos_at_hand(frames)]


def label_need(frames: Params) -> dict[str, str]:
    """The parameter ``label``, if features are given: it names their class numbers."""
    return {} if frames.features.trn is None else {"label": "frames.features.label"}


def root_need(frames: Params) -> dict[str, object]:
    """The folder of the videos, as a parameter of stages that read them."""
    root = dataset_root(frames) if has_videos(frames) else None
    return {"root": given(root, "frames.dataset.root")}


def games(frames: Params) -> dict[str, GameRule]:
    """The games whose coalitions are all evaluated, by name (``trn``, ``trn_lengths``, …)."""
    if is_own(frames):
        return {models(frames)[0]: _own_game(frames)}
    score, n = "frames.coalitions.score", "frames.coalitions.n"
    kinds: dict[str, Mapping[str, str | Need]] = {
        "": {"coalitions": "frames.coalitions"},
        "_lengths": {"lengths": "frames.lengths", "score": score},
        "_shift": {"shift": "frames.shift", "n": n, "score": score},
        "_removal": {
            "removal": "frames.removal",
            "score": score,
            "short_videos": "frames.coalitions.short_videos",
        },
        "_convergence": {
            # Methods and budgets do not change the games on which they are tried.
            "convergence": but(
                "frames.convergence", "repeats", "m", "iterations", "budgets", "seed"
            ),
            "score": score,
            "short_videos": "frames.coalitions.short_videos",
        },
    }
    return {
        f"{model}{kind}": GameRule(
            files={
                "features": feature_file(frames, model, "validation"),
                "weights": model_weights(frames, model),
                "priors": f"{MADE}/priors.json",
            },
            needs={**needs, **label_need(frames), **(COUNTED if model == "trn" else {})},
        )
        for model in models(frames)
        for kind, needs in kinds.items()
        if compares(frames) or kind == ""
    }


def _own_game(frames: Params) -> GameRule:
    return GameRule(
        files={"clips": f"{MADE}/clips.json"},
        needs={
            "model": "frames.model",
            "own_model": "frames.own_model",
            "coalitions": "frames.coalitions",
        },
        waits_for=[*dataset_files(frames), *model_files(frames)],
    )
