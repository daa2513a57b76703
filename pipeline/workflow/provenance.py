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

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import InputError
from pipeline.workflow import ledger, tracking
from pipeline.workflow.made import (
    PARAMS_FILE,
    Making,
    Makings,
    MakingsUnavailable,
    Values,
    versions_and,
)
from pipeline.workflow.params import Params, typed, validate
from pipeline.workflow.running import hold
from pipeline.workflow.touching import looks_old, touch, unknown
from pipeline.workflow.tracking import Tracked, makers_of
from pipeline.workflow.versions import FILE as VERSIONS_FILE
from pipeline.workflow.versions import version

log = logging.getLogger("snakemake.logging")  # shown and kept as Snakemake's own messages are

LOCKS = Path(".snakemake/locks")


def attach(workflow: Any, params: Params, config: Mapping[str, Any]) -> None:
    """Have what DVC knows told to Snakemake when a run, or a dry run, is about to be planned."""
    plan = workflow._build_dag

    def reconcile_and_plan() -> None:
        # At this point Snakemake knows whether it is to run anything. There is no hook for it.
        executes = workflow.executor_plugin is not None and not workflow.touch
        if not (executes and workflow.is_main_process):
            plan()
            return
        try:
            if not workflow.dryrun and hold():
                for left in LOCKS.glob("*.lock"):
                    # Of a run that was killed, or this one would not hold the folder.
                    left.unlink()
            _reconcile(workflow, params, config)
        except (InputError, MakingsUnavailable) as error:
            from snakemake.exceptions import WorkflowError  # noqa: PLC0415  see unknown()

            # Shown by its message alone.
            raise WorkflowError(str(error)) from None
        plan()
        if workflow.dryrun:
            return
        if any(workflow.dag.needrun_jobs()):
            _forget(workflow, params)
        else:
            record(workflow, params, config)

    workflow._build_dag = reconcile_and_plan


def _stages(params: Params) -> dict[str, Tracked]:
    """Stages of the studies asked for; of all, where DVC calls for one of another study."""
    asked = tracking.stages(params)
    called = os.environ.get("DVC_STAGE") if "DVC_ROOT" in os.environ else None
    return asked if called in (None, *asked) else tracking.stages(params, every=True)


def _forget(workflow: Any, params: Params) -> None:
    """Strike from the ledger what is about to be made anew, in case the run is killed."""
    made = {str(f) for job in workflow.dag.needrun_jobs() for f in job.output}
    told = ledger.read()
    for name, stage in _stages(params).items():
        if not made.isdisjoint(stage.files):
            told.pop(name, None)
    ledger.write(told)


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
    stages = _stages(params)
    present = _exact(typed(config), params)
    in_file = _params_file()
    values, overridden = {}, set[str]()
    makers = makers_of(stages)
    for name, stage in stages.items():
        mine = tracking.values_of(stage, present)
        values[name] = versions_and(mine, _versions(stage))
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


def _versions(stage: Tracked) -> dict[str, int]:
    found = {}
    for name in stage.versions:
        study, _, of = name.partition(".")
        found[name] = version(study, of)
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
    if "DVC_STAGE" not in os.environ and _is_settled(params, config):
        return
    state = _state(params, config)
    if state.makings is None:
        return
    try:
        verdict = _judge(workflow, state, state.makings)
    finally:
        state.makings.close()
    touched, untold = touch(workflow, state.stages, verdict.vouched, config)
    for name in sorted(untold):
        _say(f"{name}: how its files were made cannot be told to Snakemake; they are made anew")
        verdict.forced.update(filter(os.path.exists, state.stages[name].files))
    told = ledger.read()
    told |= {name: ledger.entry(made) for name, made in verdict.vouched if name in touched}
    # What has to be made anew has to be until it is, also if this run does not come to it.
    known = {f for name, _ in verdict.vouched for f in state.stages[name].files}
    before = {f for f, found in told.get(ledger.FORCED, {}).items() if found == ledger.identity(f)}
    verdict.forced |= before - known
    workflow.dag.forcefiles.update(verdict.forced)
    if not workflow.dryrun:
        told[ledger.FORCED] = {file: ledger.identity(file) for file in sorted(verdict.forced)}
    if touched or not workflow.dryrun:
        ledger.write(told)


def _judge(workflow: Any, state: _State, makings: Makings) -> _Verdict:
    verdict = _Verdict()
    makers = makers_of(state.stages)
    settled = set[str]()
    told = ledger.read()
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
        else:
            sayings = (locked, ledger.read_entry(told, name))
            _judge_unsettled(workflow, verdict, stage, name, now, sayings)
    return verdict


def _judge_unsettled(
    workflow: Any,
    verdict: _Verdict,
    stage: Tracked,
    name: str,
    now: Making,
    sayings: tuple[Making | None, Making | None],
) -> None:
    """Of files that are not what they would be if they were made now: what can be kept of them."""
    for said in sayings:
        if said is not None and said.outs == now.outs:
            if said.deps == now.deps:
                verdict.vouched.append((name, said))
            else:
                verdict.forced.update(filter(os.path.exists, stage.files))
            return
    told = sayings[1]
    if told is not None:
        # No job of this stage has run since the ledger was written: somebody else was there.
        other = [o for o, d in now.outs.items() if d is not None and d != told.outs.get(o)]
        verdict.forced.update(
            file
            for file in filter(os.path.exists, stage.files)
            if any(Path(file).is_relative_to(out) for out in other)
        )
    verdict.forced.update(unknown(workflow, stage.files))


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


def record(workflow: Any, params: Params, config: Mapping[str, Any]) -> None:
    """Tell DVC, and the ledger, of the stages whose files are all up to date.

    Called when a run has ended, well or not; of one that failed, what it finished is recorded.
    """
    if workflow.dryrun or workflow.touch or _is_settled(params, config):
        return
    if not _sees_all_changes(workflow):
        return
    dag = workflow.dag
    good = {str(f) for job in dag.jobs if dag.noneedrun_finished(job) for f in job.output}
    state = _state(params, config)
    if state.makings is None:
        return
    told = ledger.read()
    missed, recorded = 0, False
    try:
        for name, stage in state.stages.items():
            there = all(map(os.path.exists, (*stage.outs, *stage.deps)))
            known = there and good.issuperset(stage.files) and not unknown(workflow, stage.files)
            if not known or looks_old(workflow, stage.files):
                missed += 1
                continue
            _remove_strays(state.makings, stage)
            into_lock = name not in state.overridden and state.caller is None
            made = state.makings.save(name, state.values[name], into_lock=into_lock)
            told[name] = ledger.entry(made)
        recorded = not missed
    except (InputError, MakingsUnavailable, OSError) as error:
        if state.caller is not None:
            raise
        # The results are there all the same.
        _say(f"DVC could not be told of all results; the next run tells it: {error}")
    finally:
        state.makings.close()
        if recorded:
            told[ledger.SETTLED] = _signature(params, config)
        ledger.write(told)


def _sees_all_changes(workflow: Any) -> bool:
    """Whether Snakemake was allowed to look at all that can make a file out of date."""
    needed = {"mtime", "params", "input", "code"}
    triggers = {str(trigger).lower() for trigger in workflow.dag_settings.rerun_triggers}
    return needed <= triggers


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
    try:
        return _exact(typed(content), validate(content))
    except (InputError, TypeError):
        return {}


def _values_or_none(stage: Tracked, params: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return tracking.values_of(stage, params)
    except InputError:
        return None


def _is_settled(params: Params, config: Mapping[str, Any]) -> bool:
    """Whether Snakemake and DVC know all, so that DVC need not be asked."""
    found = ledger.read().get(ledger.SETTLED)
    return found is not None and found == _signature(params, config)


def _signature(params: Params, config: Mapping[str, Any]) -> str:
    tracked = _stages(params).values()
    paths = {path for stage in tracked for path in (*stage.deps, *stage.outs)}
    paths |= {"dvc.yaml", "dvc.lock", PARAMS_FILE, str(VERSIONS_FILE)}
    return ledger.signature(_exact(typed(config), params), paths)
