"""What the Snakefile asks of Python: validated parameters, options of stages, paths."""

import json
import shlex
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.core.errors import InputError
from pipeline.data.something import VIDEOS, label_files
from pipeline.studies.baselines.paths import check, files_named
from pipeline.studies.frames.params import BackboneWeights, FramesParams
from pipeline.workflow.params import Params, typed, validate

RENDERED = "data/frames/moving-digits"


def read_config(config: Mapping[str, Any]) -> Params:
    """The merged configuration as parameters; what the studies asked for need on disk must exist.

    Raises:
        InputError: as :func:`pipeline.workflow.params.validate`, for a path that is not there, or for
            pictures that cannot be explained as asked for.
    """
    params = validate(typed(config), "parameters")
    frames = params.frames
    named = {"frames.dataset.root": frames.dataset.root}
    named["frames.features.classes"] = frames.features.classes
    for model in ("trn", "tsn"):
        files = getattr(frames.features, model)
        weights = frames.backbone.weights
        for split in ("train", "validation"):
            named[f"frames.features.{model}.{split}"] = files and getattr(files, split)
        if isinstance(weights, BackboneWeights):
            named[f"frames.backbone.weights.{model}"] = getattr(weights, model)
    named |= files_named(params.baselines)
    for name, path in named.items():
        is_asked_for = name.split(".")[0] in params.studies
        if is_asked_for and path is not None and not Path(path).exists():
            raise InputError(f"parameter {name}: there is no {path}")
    if "baselines" in params.studies:
        check(params.baselines)
    if "frames" in params.studies and has_videos(frames):
        dataset_files(frames)
    return params


def option(section: BaseModel, *, without: Set[str] = frozenset()) -> str:
    """A section of the parameters as the option of a stage (JSON), without what it has no use for.

    Sorted: Snakemake runs a job again when its options change, and their order means nothing.
    """
    return json.dumps(section.model_dump(mode="json", exclude=set(without)), sort_keys=True)


def device(params: Params) -> str:
    """The device as stages are told it: where ``auto`` can only mean the CPU, that."""
    return "cpu" if params.device == "auto" and not gpus(params) else params.device


def gpus(params: Params) -> int:
    """GPUs that a job that uses one asks the scheduler for: 0 where it will run on the CPU."""
    if params.device == "auto":
        return int(any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev", "dxg").exists())
    return int(params.device.startswith("cuda"))


def dataset_root(frames: FramesParams) -> str:
    """Where the videos are."""
    return frames.dataset.root or RENDERED


def dataset_files(frames: FramesParams) -> list[str]:
    """What stages that read the videos depend on.

    Of a data set of the user's the files of labels one by one, since a change inside a folder is no
    change of the folder.
    """
    root = frames.dataset.root
    if root is None:
        return [RENDERED]
    return [*map(str, label_files(Path(root))), str(Path(root, VIDEOS))]


def given_weights(frames: FramesParams, model: str) -> list[str]:
    """The checkpoint that a backbone starts from, if there is one."""
    weights = frames.backbone.weights
    return [getattr(weights, model)] if isinstance(weights, BackboneWeights) else []


def class_files(frames: FramesParams) -> list[str]:
    """What tells the names of the classes."""
    if frames.features.classes is not None:
        return [frames.features.classes]
    return dataset_files(frames) if has_videos(frames) else []


def limit_option(count: int | None) -> str:
    """Option that limits a split to its first so many clips."""
    return "" if count is None else f"--clips {count}"


def skipped_files(frames: FramesParams) -> list[str]:
    """The list of videos that could not be decoded, where videos are decoded."""
    return ["results/frames/skipped.csv"] if frames.features.trn is None else []


def feature_file(frames: FramesParams, model: str, split: str) -> str:
    """Where a model's features of a split are."""
    given = getattr(frames.features, model)
    if given is not None:
        return getattr(given, split)
    return f"results/frames/features/{model}_{split}.h5"


def model_weights(frames: FramesParams, model: str) -> list[str]:
    """Checkpoints of the model that is explained."""
    if model == "tsn":
        return ["results/frames/tsn.pt"]
    return [f"results/frames/scales/{s}.pt" for s in range(1, frames.scales.n_max + 1)]


def figures(*names: str, kind: str = "png", study: str = "frames") -> list[str]:
    """Where figures of a study are."""
    return [f"results/{study}/figures/{name}.{kind}" for name in names]


def partition_receipts(params: Params, study: str, model: str) -> list[str]:
    """Receipts of the jobs that share out the evaluation of a game."""
    count = params.partitions
    return [f"results/{study}/coalitions/{model}/{part}_of_{count}.json" for part in range(count)]


def class_options(frames: FramesParams) -> str:
    """Options that tell ``priors`` where classes have their names."""
    if frames.features.classes is not None:
        return f"--classes {shlex.quote(frames.features.classes)}"
    return root_option(frames)


def label_option(frames: FramesParams) -> str:
    """Option that tells which labels of given features hold class numbers."""
    label = frames.features.label
    if label is None or frames.features.trn is None:
        return ""
    return f"--label {shlex.quote(label)}"


def has_videos(frames: FramesParams) -> bool:
    """Whether the features are of videos at hand: then there are pictures, and names of classes."""
    return frames.features.trn is None or frames.dataset.root is not None


def root_option(frames: FramesParams) -> str:
    """Option that tells where the videos are, if they are at hand."""
    return f"--root {shlex.quote(dataset_root(frames))}" if has_videos(frames) else ""
