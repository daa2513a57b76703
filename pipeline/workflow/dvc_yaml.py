"""Writes ``dvc.yaml``, the stages and dependencies that DVC tracks, from the units of a run."""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.files import replacing
from pipeline.workflow.units import Unit

FILE = Path("dvc.yaml")
HEADER = """\
# The stages and dependencies that DVC tracks: `dvc repro` runs the stages that a change affects.
# Written from the rules by `python -m pipeline dvc-yaml`, and by `snakemake` if it is out of date.
"""


def stages_of(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    """Units by stage; each stage comes after its dependencies."""
    found: dict[str, list[Unit]] = {}
    for unit in units:
        found.setdefault(unit.stage, []).append(unit)
    return found


def content_of(units: Iterable[Unit]) -> dict[str, Any]:
    """The content of ``dvc.yaml``.

    Every output persists: DVC must not remove it before the stage runs, so that jobs whose outputs
    are still good need not run again.
    """
    stages = stages_of(units)
    outs = {out: None for of in stages.values() for unit in of for out in unit.outs}
    studies = dict.fromkeys(name.partition("_")[0] for name in stages)
    files = [importlib.import_module(f"pipeline.studies.{study}.paths") for study in studies]
    return {
        "stages": {name: _stage(name, of) for name, of in stages.items()},
        "metrics": sorted(out for out in outs if Path(out).name == "metrics.json"),
        "plots": [
            *(plot for of in files for plot in getattr(of, "PLOTS", [])),
            *(out for out in outs if out.endswith(".png")),
        ],
    }


def _stage(name: str, units: list[Unit]) -> dict[str, Any]:
    deps = _joined(unit.deps for unit in units)
    code = [{file: ["VERSION"]} for file in _joined(unit.code for unit in units)]
    return {
        "cmd": f"snakemake --cores all -- {name}_all",
        **({"deps": deps} if deps else {}),
        "params": [*_joined(unit.names() for unit in units), *code],
        "outs": [{path: {"persist": True}} for path in _joined(unit.outs for unit in units)],
    }


def _joined(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({item for items in lists for item in items})


def read() -> dict[str, Any]:
    """The file's content; without stages if the file is missing or unreadable."""
    try:
        content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        content = None
    return content if isinstance(content, dict) and content.get("stages") else {"stages": {}}


def write(units: Iterable[Unit], file: Path = FILE) -> None:
    """Write the file, whole or not at all."""
    text = HEADER + yaml.safe_dump(content_of(units), sort_keys=False, width=1000)
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
