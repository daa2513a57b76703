"""Snakemake's graph of jobs for many parameters, in a process of its own.

Snakemake changes the working directory, the environment and the logging of the process that plans,
so tests do not plan in theirs. Building a graph takes a moment, but starting Snakemake takes
seconds, so one process plans all graphs of a test.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

VERSION = re.compile(r"^(VERSION = )(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """A job whose outputs stay, with the jobs before it whose outputs are all temporary."""

    stage: str
    jobs: int
    files: list
    deps: list
    outs: list
    params: dict
    """what it depends on beside its inputs, by file"""
    commands: list
    """the options of the jobs' stages"""
    code: list


@dataclass(frozen=True)
class Graph:
    """All units that `snakemake` would make, and their dvc.yaml."""

    units: list
    dvc_yaml: dict


def planned(folder, requests):
    """The graph of jobs in `folder`, a clone, for each request.

    A request has ``params``, all of params.yaml, which is written there. It may have ``raised``, a
    file of the clone whose constant VERSION is one higher.
    """
    done = subprocess.run(
        [sys.executable, __file__],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Snakemake may print something first.
    graphs = json.loads(done.stdout.splitlines()[-1])
    assert len(graphs) == len(requests)
    return [Graph([Unit(**unit) for unit in of["units"]], of["dvc_yaml"]) for of in graphs]


@cache
def _units(text):
    # Imported here because loading Snakemake takes seconds.
    from pipeline.workflow.internals import read_dag  # noqa: PLC0415
    from pipeline.workflow.units import read_units  # noqa: PLC0415

    Path("params.yaml").write_text(text)
    return read_units(read_dag(Path("params.yaml"), "all"))


def _plan(request):
    from pipeline.workflow import dvc_yaml, units  # noqa: PLC0415
    from pipeline.workflow.params import validate  # noqa: PLC0415

    values = validate(request["params"]).model_dump(mode="json")
    found = _units(yaml.safe_dump(request["params"]))
    raised = Path(request.get("raised", os.devnull))
    code = raised.read_text()
    try:
        if code:
            assert VERSION.search(code), raised
            raised.write_text(VERSION.sub(lambda now: f"{now[1]}{int(now[2]) + 1}", code))
        units._version.cache_clear()
        described = [_described(unit, values) for unit in found]
    finally:
        if code:
            raised.write_text(code)
    return {"units": described, "dvc_yaml": dvc_yaml.content_of(found)}


def _described(unit, values):
    return {
        "stage": unit.stage,
        "jobs": len(unit.jobs),
        "files": [str(file) for file in unit.jobs[-1].output],
        "deps": list(unit.deps),
        "outs": list(unit.outs),
        "params": unit.params(values),
        "commands": [job.params[0] for job in unit.jobs],
        "code": list(unit.code),
    }


if __name__ == "__main__":
    print(json.dumps([_plan(request) for request in json.load(sys.stdin)]))
