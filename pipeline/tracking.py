"""What DVC tracks: for each stage its files, its parameters, and what it is made from.

``dvc.yaml`` is written from here by ``python -m pipeline dvc-yaml``, and the paths come from the
functions that the Snakefile asks. A stage's command stands in the Snakefile alone; DVC calls
Snakemake for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.params.frames import FramesParams
from pipeline.workflow import (
    RENDERED,
    class_files,
    dataset_files,
    feature_file,
    figures,
    given_weights,
    has_videos,
    model_weights,
    skipped_files,
)

MODELS = ("trn", "tsn")
SPLITS = ("train", "validation")
VERSIONS = "pipeline/versions.yaml"
HEADER = """\
# What DVC tracks. A stage's command stands in the Snakefile; here is what depends on what, so that
# `dvc repro` runs what a change touches, and nothing else. Written by `python -m pipeline
# dvc-yaml`: write it again if the videos or features are your own.
"""


@dataclass(frozen=True)
class Tracked:
    """A stage as DVC sees it. Paths are relative to the folder that holds ``dvc.yaml``."""

    files: tuple[str, ...]
    """what the Snakefile's rule gives out, file by file"""
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    """what is kept: directories where their files depend on parameters"""
    params: tuple[str, ...]
    """dotted names in params.yaml"""
    versions: tuple[str, ...]
    """dotted names in versions.yaml"""
    rules: tuple[str, ...] = ()
    """rules that make the files, if they are more than the one that the stage is named for"""
    metrics: tuple[str, ...] = ()
    """those of ``outs`` that are metrics"""


def stages(params: Params) -> dict[str, Tracked]:
    """All stages by name, each after those that it depends on."""
    return {f"frames_{name}": stage for name, stage in _frames(params.frames).items()}


def _frames(frames: FramesParams) -> dict[str, Tracked]:
    found: dict[str, Tracked] = {}
    dataset = tuple(dataset_files(frames)) if has_videos(frames) else ()
    root = ("frames.dataset.root",)
    given = frames.features.trn is not None
    label = ("frames.features.label",) if given else ()
    made = "results/frames"

    def add(name: str, files: list[str], deps: list[str] | tuple[str, ...], **more: Any) -> None:
        fields = {"outs": files, "params": (), "versions": (f"frames.{name}",), **more}
        fields = {k: tuple(v) for k, v in fields.items()}
        found[name] = Tracked(files=tuple(files), deps=tuple(dict.fromkeys(deps)), **fields)

    features = {m: {s: feature_file(frames, m, s) for s in SPLITS} for m in MODELS}
    if has_videos(frames) and frames.dataset.root is None:
        add("videos", [RENDERED], [], params=["frames.videos"])
    if not given:
        weights = [path for model in MODELS for path in given_weights(frames, model)]
        backbones = [f"{made}/backbone/{model}.pt" for model in MODELS]
        add(
            "backbone",
            backbones,
            [*dataset, *weights],
            params=["frames.backbone", "frames.decoding", "frames.dataset.train_clips", *root],
        )
        tables = [f"{made}/features/skipped_{split}.csv" for split in SPLITS]
        add(
            "features",
            [*(features[m][s] for m in MODELS for s in SPLITS), *tables],
            [*dataset, *backbones],
            params=[
                "frames.decoding",
                "frames.dataset.train_clips",
                "frames.dataset.validation_clips",
                *root,
            ],
        )
        add(
            "skipped",
            skipped_files(frames),
            [*tables, *features["trn"].values()],
            params=["frames.dataset.max_skipped"],
        )
    priors = f"{made}/priors.json"
    named = frames.features.classes is not None  # then no data set is asked for the names
    add(
        "priors",
        [priors],
        [features["trn"]["train"], *class_files(frames)],
        params=[*(() if named else root), "frames.features.classes", *label],
    )
    scales = model_weights(frames, "trn")
    add(
        "scales",
        scales,
        [features["trn"]["train"], priors],
        outs=[f"{made}/scales"],
        params=["frames.scales", *label],
    )
    classifier = model_weights(frames, "tsn")
    add(
        "tsn",
        classifier,
        [features["tsn"]["train"], priors],
        params=["frames.tsn", *label],
    )
    models = [f"{made}/scales", *classifier]
    validation = [features[model]["validation"] for model in MODELS]
    accuracy = f"{made}/accuracy.json"
    add(
        "accuracy",
        [accuracy, f"{made}/accuracy.csv"],
        [*validation, *models, priors, *dataset],
        params=["frames.accuracy", *root, *label],
    )
    stores = [f"results/coalitions/frames/{model}.zarr" for model in MODELS]
    receipts = [f"{made}/receipts/{model}.json" for model in MODELS]
    add(
        "coalitions",
        receipts,
        [*validation, *models, priors],
        outs=[*stores, *receipts],
        params=["frames.coalitions", *label],
        rules=["frames_game", "frames_coalitions", "frames_receipts"],
    )
    values = [f"{made}/values/{model}.h5" for model in MODELS]
    add(
        "values",
        [*values, *(f"{made}/values/{model}.csv" for model in MODELS)],
        [*stores, *validation],
        params=label,
    )
    _add_analyses(add, features, (stores, values), [*models, priors], accuracy, label)
    summary = f"{made}/figures/summary.json"
    add(
        "figures",
        [f"{made}/figures/clips", *_drawn("accuracy", "summary"), summary],
        [*values, accuracy, priors, *dataset],
        metrics=[summary],
        params=["frames.figures", *root],
    )
    return found


def _add_analyses(
    add: Callable[..., None],
    features: Mapping[str, Mapping[str, str]],
    explained: tuple[list[str], list[str]],
    models: list[str],
    accuracy: str,
    label: tuple[str, ...],
) -> None:
    """What is made of the values and the models.

    ``explained``: stores and values. ``models``: their weights, and the classes' priors.
    """
    made = "results/frames"
    stores, values = explained
    priors = models[-1]
    validation = [features[model]["validation"] for model in MODELS]
    players = [f"frames.coalitions.{name}" for name in ("n", "score", "short_videos", "clips")]
    score, short = "frames.coalitions.score", "frames.coalitions.short_videos"
    training = [features[model]["train"] for model in MODELS]
    gradients = [f"{made}/gradients/{model}.h5" for model in MODELS]
    add(
        "gradients",
        gradients,
        [*validation, *training, *models],
        params=["frames.gradients", *players, *label],
    )
    add(
        "discarded",
        [
            *(f"{made}/discarded{part}" for part in (".json", ".csv", "_areas.csv")),
            *_drawn("discarded_attribution", "discarded_plain", "discarded_methods"),
        ],
        [*stores, *values, *gradients],
        params=["frames.discarded"],
    )
    tables = [
        f"{made}/patterns/{name}.csv" for name in ("contributions", "positions", "confusions")
    ]
    add(
        "patterns",
        [
            f"{made}/patterns.json",
            *tables,
            *_drawn("contributions", "most_alike", "least_alike", "confusions"),
        ],
        [*stores, *values, priors],
        params=["frames.patterns"],
    )
    both = [*validation, *models]
    for name, drawn in (("lengths", "supporting"), ("shifted", "shifted")):
        receipts = [f"{made}/receipts/{model}_{name}.json" for model in MODELS]
        files = [f"{made}/{name}.json", f"{made}/{name}.csv", *receipts, *_drawn(drawn)]
        add(
            name,
            files,
            both,
            outs=[*(f"results/coalitions/frames/{m}_{name}.zarr" for m in MODELS), *files],
            params=[
                f"frames.{name}",
                *(("frames.coalitions.n",) if name == "shifted" else ()),
                score,
                *label,
            ],
        )
    games = ("trn_convergence", "tsn_convergence", "tsn_sampled")
    compared = [
        f"{made}/convergence.json",
        f"{made}/convergence.csv",
        *(f"{made}/receipts/{game}.json" for game in games),
        *_drawn("algorithm_1_trn", "algorithm_1_tsn", "estimators_trn", "estimators_tsn"),
    ]
    kept = [f"results/coalitions/frames/{game}.zarr" for game in games]
    add(
        "convergence",
        compared,
        both,
        outs=[*kept, *compared],
        params=["frames.convergence", score, short, *label],
    )
    tried = [
        f"frames.convergence.{name}" for name in ("trn_frames", "tsn_frames", "m", "iterations")
    ]
    add(
        "runtime",
        [f"{made}/runtime{part}" for part in (".json", ".csv", "_grid.csv")],
        both,
        params=["device", "frames.runtime", *tried, *label],
    )
    judged = ("discarded", "patterns", "lengths", "shifted", "convergence", "runtime")
    add(
        "claims",
        [f"{made}/claims.json", f"{made}/claims.csv"],
        [accuracy, *(f"{made}/{name}.json" for name in judged)],
    )


def _drawn(*names: str) -> list[str]:
    """Figures, each as PNG and as SVG."""
    return [path for name in names for kind in ("png", "svg") for path in figures(name, kind=kind)]


def makers_of(stages: Mapping[str, Tracked]) -> dict[str, str]:
    """Which stage makes what is kept: the stage's name by path."""
    return {out: name for name, stage in stages.items() for out in stage.outs}


def command(name: str, stage: Tracked) -> str:
    """How DVC has a stage made."""
    rules = " ".join([*(stage.rules or (name,)), f"{name}_all"])
    return f"snakemake --cores all --allowed-rules {rules} -- {name}_all"


def dvc_yaml(params: Params) -> dict[str, Any]:
    """The content of ``dvc.yaml``.

    Every output persists: DVC does not remove it before the stage runs, and Snakemake, which knows
    the single jobs, makes only those anew that have to be.
    """
    found = {}
    for name, stage in stages(params).items():
        entry: dict[str, Any] = {"cmd": command(name, stage)}
        if stage.deps:
            entry["deps"] = list(stage.deps)
        entry["params"] = [*stage.params, {VERSIONS: list(stage.versions)}]
        entry["outs"] = [{path: {"persist": True}} for path in stage.outs]
        found[name] = entry
    made = "results/frames"
    curve = {
        "x": "frames",
        "y": {f"{made}/accuracy.csv": ["trn", "tsn"]},
        "x_label": "frames",
        "y_label": "accuracy",
        "title": "Accuracy against the number of frames",
    }
    return {
        "stages": found,
        "metrics": [path for stage in stages(params).values() for path in stage.metrics],
        "plots": [
            {"frames_accuracy": curve},
            *(
                path
                for stage in stages(params).values()
                for path in stage.outs
                if path.endswith(".png")
            ),
        ],
    }


def dvc_yaml_text(params: Params) -> str:
    """``dvc.yaml`` as it is written."""
    return HEADER + yaml.safe_dump(dvc_yaml(params), sort_keys=False, width=1000)


def values_of(stage: Tracked, params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a stage's parameters in nested mappings such as ``params.yaml`` holds."""
    return {name: _value(params, name) for name in stage.params}


def _value(params: Mapping[str, Any], name: str) -> Any:
    value: Any = params
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise InputError(f"parameter {name} is missing")
        value = value[part]
    return value


def merged(params: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings with the values of some dotted names replaced."""
    result = dict(params)
    for name, value in values.items():
        first, _, rest = name.partition(".")
        result[first] = merged(result.get(first, {}), {rest: value}) if rest else value
    return result
