"""Marks files for Snakemake as made with given values, as its jobs would have."""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.workflow import ledger, tracking
from pipeline.workflow.made import PARAMS_FILE, Making
from pipeline.workflow.params import typed
from pipeline.workflow.tracking import Tracked, makers_of

log = logging.getLogger("snakemake.logging")


def touch(
    workflow: Any,
    stages: Mapping[str, Tracked],
    vouched: Sequence[tuple[str, Making]],
    config: Mapping[str, Any],
) -> tuple[set[str], set[str]]:
    """Mark files as made with given values, unless Snakemake's records say so already.

    Files that depend on others that are marked are marked after these, or they would look older.
    Which files a job has can depend on values of stages before it: these go with the batch.

    Args:
        workflow: Snakemake's.
        stages: all of them, by name.
        vouched: stages of whose files it is known how they were made, and how, in order.
        config: the values of all parameters in this run.

    Returns:
        Names of the stages whose files were marked, and of those whose could not be.
    """
    told = ledger.read()
    makers = makers_of(stages)
    touched, untold = set[str](), set[str]()
    known: dict[str, Any] = {}
    batches: list[tuple[dict[str, Any], list[str]]] = []
    for name, making in vouched:
        stage = stages[name]
        own = making.params.get(PARAMS_FILE, {})
        conflict = any(k in known and known[k] != v for k, v in own.items())
        known.update(own)
        upstream = {makers[dep] for dep in stage.deps if dep in makers}
        is_told = told.get(name) == ledger.entry(making) and not unknown(workflow, stage.files)
        if is_told and not upstream & touched and not looks_old(workflow, stage.files):
            if conflict:
                batches.append((dict(known), []))
            continue
        touched.add(name)
        if batches and not conflict:
            batches[-1][0].update(known)
            batches[-1][1].append(name)
        else:
            batches.append((dict(known), [name]))
    for values, names in batches:
        merged = tracking.merged(typed(config), values)
        if not names or _run(workflow, merged, names, stages):
            continue
        # One by one, without the values that cannot be told.
        good: dict[str, Any] = {}
        for name, making in vouched:
            own = {**good, **making.params.get(PARAMS_FILE, {})}
            merged = tracking.merged(typed(config), own)
            if name in names and not _run(workflow, merged, [name], stages):
                untold.add(name)
            else:
                good = own
    return touched - untold, untold


def _run(
    workflow: Any, config: Mapping[str, Any], names: Sequence[str], stages: Mapping[str, Tracked]
) -> bool:
    rules = [rule for name in names for rule in stages[name].rules or (name,)]
    targets = [f"{name}_all" for name in names]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "params.yaml")
        file.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--touch", "--forceall", "--cores", "1"]
        command += ["--snakefile", str(workflow.main_snakefile), "--directory", str(Path.cwd())]
        # Nothing but these values may have a say.
        command += ["--profile", "none", "--workflow-profile", "none"]
        command += ["--quiet", "all", "--nolock", "--configfile", str(file)]
        command += ["--allowed-rules", *rules, *targets, "--", *targets]
        kept = {name: v for name, v in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept)
    if done.returncode:
        log.debug(done.stderr)
    return done.returncode == 0


def unknown(workflow: Any, files: Iterable[str]) -> list[str]:
    """Those of some files that Snakemake has no record of."""
    from snakemake.io import _IOFile  # noqa: PLC0415  only there when Snakemake calls

    there = filter(os.path.exists, files)
    return [f for f in there if workflow.persistence.metadata(_IOFile(f, rule=None)) is None]


def looks_old(workflow: Any, files: Iterable[str]) -> bool:
    """Whether something that one of some files was made from is newer than it is.

    What it was made from is asked of Snakemake's records: of a stage of several jobs, one may have
    ended before another stage made what only the other jobs read.
    """
    from snakemake.io import _IOFile  # noqa: PLC0415  only there when Snakemake calls

    for file in filter(os.path.exists, files):
        record = workflow.persistence.metadata(_IOFile(file, rule=None)) or {}
        made = _time(Path(file))
        inputs = map(Path, record.get("input") or ())
        if any(_time(path) > made for path in inputs if path.exists()):
            return True
    return False


def _time(path: Path) -> int:
    # Snakemake keeps the time of a directory in a file in it.
    stamp = path / ".snakemake_timestamp"
    return (stamp if stamp.exists() else path).stat().st_mtime_ns
