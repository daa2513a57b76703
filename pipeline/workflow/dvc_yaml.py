"""``dvc.yaml``, written from the units of a run: what DVC tracks, and what depends on what."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.files import replacing
from pipeline.workflow.units import Unit

FILE = Path("dvc.yaml")
HEADER = """\
# What DVC tracks. A stage's command stands in its rule; here is what depends on what, so that
# `dvc repro` runs what a change touches, and nothing else. Written by `python -m pipeline dvc-yaml`
# from the rules; `snakemake` writes it again where it is out of date.
"""


def stages_of(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    """Units by stage, each stage after those that it depends on."""
    found: dict[str, list[Unit]] = {}
    for unit in units:
        found.setdefault(unit.stage, []).append(unit)
    return found


def content_of(units: Iterable[Unit]) -> dict[str, Any]:
    """The content of ``dvc.yaml``.

    Every output persists: DVC does not remove it before the stage runs, and the single jobs that
    are still good are not run again.
    """
    stages = stages_of(units)
    outs = {name: _joined(unit.outs for unit in of) for name, of in stages.items()}
    return {
        "stages": {name: _stage(name, of, outs[name]) for name, of in stages.items()},
        "metrics": [out for of in outs.values() for out in of if out.endswith("/summary.json")],
        "plots": [out for of in outs.values() for out in of if out.endswith(".png")],
    }


def _stage(name: str, units: list[Unit], outs: list[str]) -> dict[str, Any]:
    deps = _joined(unit.deps for unit in units)
    code = [{file: ["VERSION"]} for file in _joined(unit.code for unit in units)]
    return {
        "cmd": f"snakemake --cores all -- {name}_all",
        **({"deps": deps} if deps else {}),
        "params": [*_joined(unit.names() for unit in units), *code],
        "outs": [{path: {"persist": True}} for path in outs],
    }


def _joined(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({item for items in lists for item in items})


def text_of(units: Iterable[Unit]) -> str:
    """``dvc.yaml`` as it is written."""
    return HEADER + yaml.safe_dump(content_of(units), sort_keys=False, width=1000)


def is_up_to_date(units: Iterable[Unit], file: Path = FILE) -> bool:
    """Whether a file lists the stages of these units as it should."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return False
    wanted = content_of(units)["stages"]
    return all(found.get(name) == stage for name, stage in wanted.items())


def write(units: Iterable[Unit], file: Path = FILE) -> None:
    """Write the file, whole or not at all."""
    with replacing(file) as temporary:
        temporary.write_text(text_of(units), encoding="utf-8")
