"""What DVC tracks: for each stage its files, its parameters, and what it is made from.

``dvc.yaml`` is written from here by ``python -m pipeline dvc-yaml``, and the paths come from the
functions that the Snakefile asks. A stage's command stands in the Snakefile alone; DVC calls
Snakemake for it.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.core.errors import InputError
from pipeline.workflow.params import Params
from pipeline.workflow.tracking import baselines, frames
from pipeline.workflow.tracking.tracked import Tracked

__all__ = [
    "VERSIONS",
    "Tracked",
    "dvc_yaml",
    "dvc_yaml_text",
    "makers_of",
    "results",
    "stages",
    "values_of",
]

VERSIONS = "pipeline/versions.yaml"
HEADER = """\
# What DVC tracks. A stage's command stands in the Snakefile; here is what depends on what, so that
# `dvc repro` runs what a change touches, and nothing else. Written by `python -m pipeline
# dvc-yaml`: write it again if the videos or features are your own, or the studies others.
"""


def stages(params: Params, *, every: bool = False) -> dict[str, Tracked]:
    """All stages of the studies asked for, or of every one, each after those it depends on."""
    found = {
        "frames": lambda: frames.stages(params.frames),
        "baselines": lambda: baselines.stages(params.baselines),
    }
    return {
        name: stage
        for study in (found if every else params.studies)
        for name, stage in found[study]().items()
    }


INTERMEDIATE = ("videos", "backbone", "features", "surrogates")
"""Stages whose files may be removed once all is made."""


def results(params: Params, study: str) -> list[str]:
    """Files that a study is made for."""
    left_out = {f"{study}_{name}" for name in INTERMEDIATE}
    return [
        file
        for name, stage in stages(params, every=True).items()
        if name.startswith(f"{study}_") and name not in left_out
        for file in stage.files
    ]


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
    curve = {
        "x": "frames",
        "y": {"results/frames/accuracy.csv": ["trn", "tsn"]},
        "x_label": "frames",
        "y_label": "accuracy",
        "title": "Accuracy against the number of frames",
    }
    return {
        "stages": found,
        "metrics": [path for stage in stages(params).values() for path in stage.metrics],
        "plots": [
            *([{"frames_accuracy": curve}] if "frames" in params.studies else []),
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
