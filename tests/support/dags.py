"""Snakemake's graph of jobs for many parameters, in a process of its own.

Snakemake changes the working directory, the environment and the logging of the process that plans,
so tests do not plan in theirs. Building a graph takes a moment, starting Snakemake takes seconds:
all that a test asks for is planned in one process.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from tiny import ROOT

from pipeline.workflow import versions


@dataclass(frozen=True)
class Job:
    rule: str
    wildcards: dict
    input: list
    output: list
    temporary: list
    params: dict


def planned(folder, requests):
    """For each ``{"params": …, "versions": …}`` all jobs that `snakemake` would run in `folder`.

    ``params`` is all of params.yaml, which is written there; ``versions``, which may be missing,
    all of versions.yaml.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, __file__],
        cwd=folder,
        env=environment,
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Snakemake may print before.
    graphs = json.loads(done.stdout.splitlines()[-1])
    assert len(graphs) == len(requests)
    return [[Job(**job) for job in graph] for graph in graphs]


def _plan(request):
    # Here, and not above: whoever only asks need not load Snakemake, which takes seconds.
    from snakemake.api import SnakemakeApi  # noqa: PLC0415
    from snakemake.settings.types import (  # noqa: PLC0415
        DAGSettings,
        OutputSettings,
        Quietness,
        ResourceSettings,
    )

    Path("params.yaml").write_text(yaml.safe_dump(request["params"]))
    versions.FILE = ROOT / "pipeline/versions.yaml"
    if "versions" in request:
        versions.FILE = Path("versions.yaml").absolute()
        versions.FILE.write_text(yaml.safe_dump(request["versions"]))
    versions._versions.cache_clear()
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        prepared = api.workflow(
            ResourceSettings(cores=2), snakefile=ROOT / "Snakefile", workdir=Path.cwd()
        )
        prepared.dag(DAGSettings(forceall=True))
        # What the `--dag` option does; it prints the graph, without the files.
        workflow = prepared._workflow
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        workflow.async_run(workflow.dag.init())
        return [_described(job) for job in workflow.dag.jobs if job.output]


def _described(job):
    return {
        "rule": job.rule.name,
        "wildcards": dict(job.wildcards_dict),
        "input": [str(file) for file in job.input],
        "output": [str(file) for file in job.output],
        "temporary": [str(file) for file in job.temp_output],
        "params": dict(job.params.items()),
    }


if __name__ == "__main__":
    print(json.dumps([_plan(request) for request in json.load(sys.stdin)]))
