"""What DVC tracks: for each stage its files, its parameters, and what it is made from.

``dvc.yaml`` is written from here by ``python -m pipeline dvc-yaml``, and the paths come from the
functions that the Snakefile asks. A stage's command stands in the Snakefile alone; DVC calls
Snakemake for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.errors import InputError
from pipeline.params import FramesParams, Params
from pipeline.workflow import (
    RENDERED,
    class_files,
    dataset_files,
    feature_file,
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
    figures, summary = f"{made}/figures", f"{made}/figures/summary.json"
    drawn = [
        f"{figures}/{name}.{kind}" for name in ("accuracy", "summary") for kind in ("png", "svg")
    ]
    add(
        "figures",
        [f"{figures}/clips", *drawn, summary],
        [*values, accuracy, priors, *dataset],
        metrics=[summary],
        params=["frames.figures", *root],
    )
    return found


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
            f"{made}/figures/accuracy.png",
            f"{made}/figures/summary.png",
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
