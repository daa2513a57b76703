"""Where Snakemake and DVC meet, so that either may be called, in any order.

DVC judges by content, Snakemake by its own records of jobs and by times. Before Snakemake plans,
what DVC knows is told to it:

* Files that are as DVC recorded them are marked as made with the values that DVC recorded
  (``snakemake --touch``), whoever put them there. Then Snakemake compares these values with the
  present ones job by job.
* Files that can be had from DVC's cache, since they were made from the same files and values
  before, are put back.
* Files of which nobody knows how they were made, or that were made from other files than are there
  now, are made anew.

After a run the files that are up to date are recorded in DVC, and in a ledger beside Snakemake's
records: which files these records describe.

Called from the Snakefile only. Nothing happens in a folder without DVC, and nothing in the
processes that Snakemake starts for single jobs.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline import tracking
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.made import PARAMS_FILE, Making, Makings, MakingsUnavailable, Values, versions_and
from pipeline.params import Params, typed
from pipeline.running import hold
from pipeline.tracking import Tracked
from pipeline.versions import FILE as VERSIONS_FILE

log = logging.getLogger("snakemake.logging")  # shown and kept as Snakemake's own messages are

LEDGER = Path(".snakemake/tracked.json")
LOCKS = Path(".snakemake/locks")


def attach(workflow: Any, params: Params, config: Mapping[str, Any]) -> None:
    """Have :func:`reconcile` called when a run, or a dry run, is about to be planned."""
    plan = workflow._build_dag

    def reconcile_and_plan() -> None:
        # At this point Snakemake knows whether it is to run anything. There is no hook for it.
        executes = workflow.executor_plugin is not None and not workflow.touch
        if executes and workflow.is_main_process:
            if not workflow.dryrun:
                hold()
                for left in LOCKS.glob("*.lock"):
                    # Of a run that was killed, or this one would not hold the folder.
                    left.unlink()
            _reconcile(workflow, params, config)
            plan()
            if not workflow.dryrun and not any(workflow.dag.needrun_jobs()):
                record(workflow, params, config)
        else:
            plan()

    workflow._build_dag = reconcile_and_plan


@dataclass
class _State:
    """What is known in one process."""

    stages: dict[str, Tracked]
    values: dict[str, Values]
    """of each stage's parameters, as they are in this run"""
    overridden: frozenset[str]
    """stages whose values here are not those of params.yaml, and those that depend on them"""
    caller: str | None
    """the stage that DVC has called Snakemake for"""
    makings: Makings | None


@dataclass
class _Verdict:
    """What to tell Snakemake."""

    vouched: list[tuple[str, Making]] = field(default_factory=list)
    """stages of whose files it is known how they were made"""
    forced: set[str] = field(default_factory=set)
    """files to be made anew"""


def _state(params: Params, config: Mapping[str, Any]) -> _State:
    stages = tracking.stages(params)
    present = _exact(typed(config), params)
    in_file = _params_file()
    versions = yaml.safe_load(VERSIONS_FILE.read_text(encoding="utf-8"))
    values, overridden = {}, set[str]()
    makers = {out: name for name, stage in stages.items() for out in stage.outs}
    for name, stage in stages.items():
        mine = tracking.values_of(stage, present)
        values[name] = versions_and(mine, _versions(stage, versions))
        upstream = {makers[dep] for dep in stage.deps if dep in makers}
        if mine != _values_or_none(stage, in_file) or upstream & overridden:
            overridden.add(name)
    caller = os.environ.get("DVC_STAGE") if "DVC_ROOT" in os.environ else None
    if caller in overridden:
        raise InputError(
            f"DVC records the values of {PARAMS_FILE}, but stage {caller} would be made with "
            f"others, from a profile or another configuration file: give them in {PARAMS_FILE}"
        )
    return _State(stages, values, frozenset(overridden), caller, _open(stages, caller))


def _versions(stage: Tracked, versions: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name in stage.versions:
        study, _, of = name.partition(".")
        found[name] = versions[study][of]
    return found


def _open(stages: Mapping[str, Tracked], caller: str | None) -> Makings | None:
    if not Path(".dvc").is_dir():
        return None
    try:
        makings = Makings(stages)
    except MakingsUnavailable as error:
        _say(f"DVC is not told of the results: {error}")
        return None
    commands = {name: tracking.command(name, stage) for name, stage in stages.items()}
    misfit = makings.misfit(stages, commands)
    if misfit is None:
        return makings
    text = (
        f"dvc.yaml does not list stage {misfit} as these parameters need it; "
        "write it anew with `python -m pipeline dvc-yaml`"
    )
    if caller is not None:
        raise InputError(text)
    _say(f"DVC is not told of the results: {text}")
    return None


def _reconcile(workflow: Any, params: Params, config: Mapping[str, Any]) -> None:
    """Bring Snakemake's records, and what is in the folder, in line with what DVC knows."""
    if _is_settled(params, config):
        return
    state = _state(params, config)
    if state.makings is None:
        return
    try:
        verdict = _judge(workflow, state, state.makings)
    finally:
        state.makings.close()
    workflow.dag.forcefiles.update(verdict.forced)
    touched = _touch(state, verdict, config)
    if touched:
        told = {name: _entry(making) for name, making in verdict.vouched if name in touched}
        _write_ledger({**_read_ledger(), **told})


def _judge(workflow: Any, state: _State, makings: Makings) -> _Verdict:
    verdict = _Verdict()
    makers = {out: name for name, stage in state.stages.items() for out in stage.outs}
    settled = set[str]()
    for name, stage in state.stages.items():
        if state.caller not in (None, name):
            continue
        now = makings.present(name, state.values[name])
        locked = makings.locked(name)
        upstream = {makers[dep] for dep in stage.deps if dep in makers}
        ready = upstream <= settled or state.caller is not None
        if locked == now:
            verdict.vouched.append((name, now))
            settled.add(name)
            continue
        kept = makings.kept(name, now) if ready else None
        if kept is not None and _restored(workflow, makings, name, now, kept):
            verdict.vouched.append((name, kept))
            settled.add(name)
        elif locked is not None and locked.outs == now.outs:
            if locked.deps == now.deps:
                verdict.vouched.append((name, locked))
            else:
                verdict.forced.update(filter(os.path.exists, stage.files))
        else:
            verdict.forced.update(_unknown(workflow, stage.files))
    return verdict


def _restored(workflow: Any, makings: Makings, name: str, now: Making, kept: Making) -> bool:
    if kept.outs == now.outs:
        return True
    if workflow.dryrun:
        _say(f"{name}: DVC has its results; a run takes them from there")
        return False
    _say(f"{name}: its results are taken from DVC's cache")
    makings.restore(name, kept)
    return True


def _say(text: str) -> None:
    # Snakemake's handlers do not fill in arguments.
    log.info(text)


def _unknown(workflow: Any, files: Iterable[str]) -> list[str]:
    """Those of some files that Snakemake has no record of."""
    from snakemake.io import _IOFile  # noqa: PLC0415  only there when Snakemake calls

    there = filter(os.path.exists, files)
    return [f for f in there if workflow.persistence.metadata(_IOFile(f, rule=None)) is None]


def _touch(state: _State, verdict: _Verdict, config: Mapping[str, Any]) -> set[str]:
    """Mark files as made with given values, unless Snakemake's records say so already.

    Files that depend on others that are marked are marked after these, or they would look older.
    Returns the stages whose files were marked.
    """
    ledger = _read_ledger()
    makers = {out: name for name, stage in state.stages.items() for out in stage.outs}
    touched = set[str]()
    batches: list[tuple[dict[str, Any], list[str]]] = []
    for name, making in verdict.vouched:
        stage = state.stages[name]
        upstream = {makers[dep] for dep in stage.deps if dep in makers}
        is_told = ledger.get(name) == _entry(making)
        if is_told and not upstream & touched and not _looks_old(stage):
            continue
        touched.add(name)
        own = making.params.get(PARAMS_FILE, {})
        if batches and all(batches[-1][0].get(k, v) == v for k, v in own.items()):
            batches[-1][0].update(own)
            batches[-1][1].append(name)
        else:
            batches.append((dict(own), [name]))
    for values_of_batch, names in batches:
        merged = tracking.merged(typed(config), values_of_batch)
        if not _run_touch(merged, {name: state.stages[name] for name in names}):
            touched -= set(names)
            for name in names:
                verdict.forced.update(filter(os.path.exists, state.stages[name].files))
    return touched


def _run_touch(config: Mapping[str, Any], stages: Mapping[str, Tracked]) -> bool:
    rules = [rule for name, stage in stages.items() for rule in stage.rules or (name,)]
    targets = [f"{name}_all" for name in stages]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "params.yaml")
        file.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--touch", "--forceall", "--cores", "1"]
        command += ["--quiet", "all", "--nolock", "--configfile", str(file)]
        command += ["--allowed-rules", *rules, *targets, "--", *targets]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        log.debug(done.stderr)
    return done.returncode == 0


def record(workflow: Any, params: Params, config: Mapping[str, Any]) -> None:
    """Tell DVC, and the ledger, of the stages whose files are all up to date.

    Called when a run has ended, well or not; of one that failed, what it finished is recorded.
    """
    if workflow.dryrun or workflow.touch or _is_settled(params, config):
        return
    dag = workflow.dag
    good = {str(f) for job in dag.jobs if dag.noneedrun_finished(job) for f in job.output}
    state = _state(params, config)
    ledger = _read_ledger()
    try:
        recorded = True
        for name, stage in state.stages.items():
            there = all(map(os.path.exists, (*stage.outs, *stage.deps)))
            if not there or not good.issuperset(stage.files):
                recorded = False
                continue
            if state.makings is not None:
                _remove_strays(state.makings, stage)
                into_lock = name not in state.overridden and state.caller is None
                made = state.makings.save(name, state.values[name], into_lock=into_lock)
                ledger[name] = _entry(made)
    finally:
        if state.makings is not None:
            state.makings.close()
    _write_ledger(ledger)
    if recorded:
        _settle(params, config)


def _remove_strays(makings: Makings, stage: Tracked) -> None:
    """Remove files of a kept directory that are of other parameters, if DVC's cache has them."""
    for out in set(stage.outs) - set(stage.files):
        own = {Path(file) for file in stage.files if Path(file).parent == Path(out)}
        if own and Path(out).is_dir():
            for stray in set(Path(out).iterdir()) - own:
                if stray.is_file() and makings.in_cache(stray):
                    stray.unlink()


def _exact(config: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """The configuration with every value as the type that it is taken for.

    A value from the command line is text. Others stay as they are written, since DVC compares them
    with what is written.
    """

    def walk(raw: Any, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                k: walk(raw[k] if isinstance(raw, Mapping) else None, v) for k, v in value.items()
            }
        return raw if raw == value and not isinstance(raw, str) else value

    result: dict[str, Any] = walk(config, params.model_dump(mode="json"))
    return result


def _params_file() -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(Path(PARAMS_FILE).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _values_or_none(stage: Tracked, params: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return tracking.values_of(stage, params)
    except InputError:
        return None


def _looks_old(stage: Tracked) -> bool:
    """Whether something that a stage's files were made from is newer than they are."""
    files = [_time(Path(file)) for file in stage.files]
    return any(_time(Path(dep)) > min(files) for dep in stage.deps if not dep.endswith(".zarr"))


def _time(path: Path) -> int:
    # Snakemake keeps the time of a directory in a file in it.
    stamp = path / ".snakemake_timestamp"
    return (stamp if stamp.exists() else path).stat().st_mtime_ns


def _entry(making: Making) -> dict[str, Any]:
    """What the ledger says of a stage: the values and files that Snakemake's records are of."""
    entry: dict[str, Any] = json.loads(json.dumps({"values": making.params, "outs": making.outs}))
    return entry


def _read_ledger() -> dict[str, Any]:
    try:
        content = json.loads(LEDGER.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_ledger(ledger: Mapping[str, Any]) -> None:
    write_json(LEDGER, ledger)


def _settle(params: Params, config: Mapping[str, Any]) -> None:
    """Note that Snakemake and DVC know all, so that the next run need not ask DVC."""
    _write_ledger({**_read_ledger(), "settled": _signature(params, config)})


def _is_settled(params: Params, config: Mapping[str, Any]) -> bool:
    found = _read_ledger().get("settled")
    return found is not None and found == _signature(params, config)


def _signature(params: Params, config: Mapping[str, Any]) -> str:
    """Tells by parameters, sizes and times whether anything that is tracked was changed."""
    digest = hashlib.sha256()
    parts = [params.model_dump_json(), json.dumps(_exact(typed(config), params), sort_keys=True)]
    digest.update("\n".join(parts).encode())
    stages = tracking.stages(params).values()
    paths = {path for stage in stages for path in (*stage.deps, *stage.outs)}
    for path in sorted({*paths, "dvc.yaml", "dvc.lock", PARAMS_FILE, str(VERSIONS_FILE)}):
        for line in _listing(Path(path)):
            digest.update(line.encode())
    return digest.hexdigest()


def _listing(path: Path) -> Iterator[str]:
    if not path.is_dir():
        yield _line(path)
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            yield _line(Path(folder, name))


def _line(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{path} -\n"
    return f"{path} {found.st_size} {found.st_mtime_ns} {found.st_ino}\n"
