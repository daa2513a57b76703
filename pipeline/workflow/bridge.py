"""Where Snakemake and DVC meet, so that either may be called, in any order.

Snakemake chains and schedules. Which results are still good is decided here, by content: a unit (a
job whose outputs stay, see :mod:`pipeline.workflow.units`) is *good* if its parameters, its code's
version, its inputs and its outputs are as ``dvc.lock`` says, or as was noted when its job ended.
What DVC's cache holds for the same inputs and parameters is put back. Everything else is made
again, with everything that depends on it. After a run DVC is told of the stages that are complete.

Called from the Snakefile only. Without DVC in a folder Snakemake judges by its own records. In the
processes that Snakemake starts for single jobs nothing happens here.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from snakemake.exceptions import WorkflowError

from pipeline.core.errors import InputError
from pipeline.core.files import write_json
from pipeline.core.rules import look_up
from pipeline.workflow import dvc_yaml, snakemake_side
from pipeline.workflow.dvc_side import Dvc, DvcUnavailable, Making
from pipeline.workflow.params import validate
from pipeline.workflow.units import PARAMS_FILE, Params, Unit, read_units, versions_of

log = logging.getLogger("snakemake.logging")  # shown and kept as Snakemake's own messages are

NOTES = Path(".snakemake/made.json")
SETTLED = "settled"


def attach(workflow: Any, params: Any) -> Callable[[], None]:
    """Have the jobs of a run, or of a dry run, judged by content.

    Args:
        workflow: Snakemake's.
        params: all parameters.

    Returns:
        What is to be called when a run has ended, well or not.
    """
    runs: list[_Run] = []

    def prepare() -> None:
        if not snakemake_side.is_planned_here(workflow):
            return
        with _messages_alone():
            if not workflow.dryrun:
                snakemake_side.hold_folder()
        if Path(".dvc").is_dir():
            runs.append(_Run(workflow, params.model_dump(mode="json")))
            snakemake_side.decide_with(workflow, runs[-1].decide)
            if not workflow.dryrun:
                snakemake_side.after_each_job(workflow, runs[-1].note)

    def planned() -> None:
        if not any(workflow.dag.needrun_jobs()):
            record()

    def record() -> None:
        for run in runs:
            if not workflow.dryrun:
                run.record()

    snakemake_side.before_planning(workflow, prepare, planned)
    return record


@contextmanager
def _messages_alone() -> Iterator[None]:
    """Have Snakemake show errors without a traceback."""
    try:
        yield
    except InputError as error:
        raise WorkflowError(str(error)) from None


class _Run:
    """What is known in the process that plans a run."""

    def __init__(self, workflow: Any, values: Mapping[str, Any]) -> None:
        self.workflow = workflow
        self.values = values
        self.caller = os.environ.get("DVC_STAGE") if "DVC_ROOT" in os.environ else None
        self.notes = _read_notes()
        self.units: list[Unit] = []
        self.makers: dict[str, Unit] = {}
        self.overridden = set[str]()
        self.dvc: Dvc | None = None

    def decide(self, dag: Any) -> tuple[set[Any], set[Any]] | None:
        """The jobs that must run, and all others; None where Snakemake is to judge."""
        self.units = read_units(dag)
        self.makers = {file: unit for unit in self.units for file in unit.files}
        everything = {job for unit in self.units for job in unit.jobs}
        is_asked = partial(snakemake_side.is_asked_to_run, self.workflow)
        asked = {unit for unit in self.units if any(map(is_asked, unit.jobs))}
        if not asked and self.caller is None and self.notes.get(SETTLED) == self._signature():
            return set(), everything
        with _messages_alone():
            self._open()
            if self.dvc is None:
                return None
            run = self._to_run(self.dvc, asked, snakemake_side.targets_of(dag))
        if not self.workflow.dryrun:
            self._write_notes(without={unit.files[0] for unit in run} | {SETTLED})
        jobs = {job for unit in run for job in unit.jobs}
        return jobs, everything - jobs

    def _open(self) -> None:
        """Open DVC's repository, with a ``dvc.yaml`` that lists the stages as they are."""
        in_file = _values_in_file()
        for unit in self.units:
            is_upstream = any(before.stage in self.overridden for before in self._before(unit))
            if is_upstream or not _fits(unit, in_file, unit.params(self.values)):
                self.overridden.add(unit.stage)
        if self.caller in self.overridden:
            raise InputError(
                f"DVC records the values of {PARAMS_FILE}, but stage {self.caller} would be made "
                f"with others, from a profile or another file: give them in {PARAMS_FILE}"
            )
        complete = [unit for unit in self.units if self._is_complete(unit.stage)]
        # Not for values that are given for one run.
        as_in_file = not self.overridden and in_file.get("studies") == self.values["studies"]
        to_write = as_in_file and set(self.workflow.dag_settings.targets) <= {"all"}
        outdated = dvc_yaml.outdated(complete)
        if outdated or (to_write and not dvc_yaml.is_just(self.units)):
            told = f"{dvc_yaml.FILE} is not as the rules and parameters say"
            if self.caller is not None:
                raise InputError(f"{told}; write it again with `python -m pipeline dvc-yaml`")
            if to_write and not self.workflow.dryrun:
                dvc_yaml.write(self.units)
                outdated = set()
                log.info(f"{told}; it was written again")
        try:
            self.dvc = Dvc(without=outdated)
        except DvcUnavailable as error:
            if self.caller is not None:
                raise
            log.info(f"DVC is not told of the results: {error}")

    def _to_run(self, dvc: Dvc, asked: set[Unit], targets: set[Any]) -> set[Unit]:
        """Units that are not good, those that depend on them, and those that they depend on."""
        run, absent = set[Unit](), set[Unit]()
        mine = [unit for unit in self.units if self.caller in (None, unit.stage)]
        for unit in mine:
            if unit in asked or run & self._before(unit):
                run.add(unit)
            elif self._is_good(unit, dvc):
                self._note(unit, dvc)
            else:
                (run if _are_there(unit.files) else absent).add(unit)
        run |= {unit for unit in absent if unit.jobs[-1] in targets}
        size = -1
        while size < len(run):
            size = len(run)
            run |= absent & {before for unit in run for before in self._before(unit)}
            run |= {unit for unit in mine if run & self._before(unit)}
        return run

    def _is_good(self, unit: Unit, dvc: Dvc) -> bool:
        """Whether a unit's results are what its jobs would make now, or DVC could put them back."""
        wanted, noted = unit.params(self.values), self.notes.get(unit.files[0])
        said = [Making(**noted) if noted else None, dvc.locked(unit.stage)]
        same = [
            making
            for making in said
            if making is not None
            and _fits(unit, making.params.get(PARAMS_FILE, {}), wanted, making.params)
            and all(making.deps.get(dep) == dvc.digest(dep) for dep in unit.deps)
        ]
        if _are_there((*unit.files, *unit.outs)):
            # A note tells each file, dvc.lock the folders of numbered ones. Both tell the stores.
            one_by_one = [*unit.files, *(out for out in unit.outs if out.endswith(".zarr"))]
            for making in same:
                for paths in (one_by_one, unit.outs):
                    if all(making.outs.get(path) == dvc.digest(path) for path in paths):
                        return True
        kept = dvc.kept(unit.stage, self._params_of(unit.stage))
        if kept is not None:
            self._put_back(unit.stage, kept, dvc)
            return self.workflow.dryrun or _are_there(unit.files)
        for making in same:
            # What was removed and is in no cache is no reason to make again what came of it.
            for out in unit.outs:
                if not Path(out).exists():
                    dvc.take_for(out, making.outs.get(out))
        return False

    def _put_back(self, stage: str, kept: Making, dvc: Dvc) -> None:
        if all(dvc.digest(out) == digest for out, digest in kept.outs.items()):
            return
        if not self.workflow.dryrun:
            log.info(f"{stage}: its results are taken from DVC's cache")
            dvc.restore(stage, kept)
            return
        log.info(f"{stage}: DVC has its results; a run takes them from there")
        for out, digest in kept.outs.items():
            dvc.take_for(out, digest)

    def note(self, job: Any) -> None:
        """Note how a unit was made whose job has ended well: a kill does not undo it."""
        for unit in self.units:
            if unit.jobs[-1] is job and self.dvc is not None:
                for path in (*unit.outs, *unit.files):
                    self.dvc.forget(path)
                self._note(unit, self.dvc)
                self._write_notes()

    def _note(self, unit: Unit, dvc: Dvc) -> None:
        deps = {dep: dvc.digest(dep) for dep in unit.deps}
        outs = {path: dvc.digest(path) for path in (*unit.outs, *unit.files)}
        self.notes[unit.files[0]] = asdict(Making(unit.params(self.values), deps, outs))

    def record(self) -> None:
        """Tell DVC of the stages that are complete and good."""
        if self.dvc is None:
            return
        is_all = self.caller is None
        try:
            for name, units in dvc_yaml.stages_of(self.units).items():
                done = all(self.workflow.dag.noneedrun_finished(unit.jobs[-1]) for unit in units)
                there = _are_there(path for unit in units for path in (*unit.outs, *unit.deps))
                if done and there and self._is_complete(name):
                    self._save(name, units, self.dvc)
                else:
                    is_all = False
        except (InputError, OSError) as error:
            if self.caller is not None:
                raise
            is_all = False
            # The results are there all the same.
            log.info(f"DVC could not be told of all results; the next run tells it: {error}")
        finally:
            self.dvc.close()
            self.dvc = None
        if is_all:
            self.notes[SETTLED] = self._signature()
        self._write_notes()

    def _save(self, name: str, units: list[Unit], dvc: Dvc) -> None:
        params = self._params_of(name)
        deps = {dep: dvc.digest(dep) for unit in units for dep in unit.deps}
        outs = {out: dvc.digest(out) for unit in units for out in unit.outs}
        if dvc.locked(name) != Making(params, deps, outs) or dvc.kept(name, params) is None:
            is_of_file = name not in self.overridden and self.caller is None
            dvc.save(name, params, into_lock=is_of_file)

    def _before(self, unit: Unit) -> set[Unit]:
        return {self.makers[file] for file in unit.inputs if file in self.makers}

    def _is_complete(self, stage: str) -> bool:
        """Whether all jobs of a stage are among those of this run."""
        files = {file for unit in self.units if unit.stage == stage for file in unit.files}
        return files >= set(map(str, self.workflow.get_rule(f"{stage}_all").input))

    def _params_of(self, stage: str) -> Params:
        """Values of a stage's parameters, and of its code's versions, as DVC has them."""
        units = [unit for unit in self.units if unit.stage == stage]
        names = sorted({name for unit in units for name in unit.names()})
        found = {name: look_up(self.values, name) for name in names}
        code = versions_of(sorted({file for unit in units for file in unit.code}))
        return {PARAMS_FILE: found, **code} if names else code

    def _signature(self) -> str:
        """Tells by values, sizes and times whether anything was changed; no file is read."""
        known = [[unit.files[0], unit.params(self.values)] for unit in self.units]
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
        paths = {path for unit in self.units for path in (*unit.files, *unit.deps, *unit.outs)}
        for path in map(Path, sorted(paths | {str(dvc_yaml.FILE), "dvc.lock", PARAMS_FILE})):
            for file in sorted(path.rglob("*")) if path.is_dir() else filter(Path.exists, [path]):
                found = file.stat()
                if not file.is_dir():
                    told = f"{file} {found.st_ino} {found.st_mtime_ns} {found.st_size}\n"
                    digest.update(told.encode())
        return digest.hexdigest()

    def _write_notes(self, without: Iterable[str] = ()) -> None:
        self.notes = {name: note for name, note in self.notes.items() if name not in set(without)}
        write_json(NOTES, self.notes)


def _are_there(paths: Iterable[str]) -> bool:
    return all(Path(path).exists() for path in paths)


def _fits(
    unit: Unit, values: Mapping[str, Any], wanted: Params, versions: Params | None = None
) -> bool:
    """Whether a unit would have been made alike with some values, and versions of its code."""
    try:
        found = unit.params(values)
    except InputError:
        return False
    code = {file: dict((versions or wanted).get(file, {})) for file in unit.code}
    return {**found, **code} == wanted


def _read_notes() -> dict[str, Any]:
    try:
        content = json.loads(NOTES.read_bytes())
    except (OSError, ValueError):
        return {}
    found = content.items() if isinstance(content, dict) else ()
    fields = set(Making.__dataclass_fields__)
    return {k: v for k, v in found if k == SETTLED or (isinstance(v, dict) and set(v) == fields)}


def _values_in_file() -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(PARAMS_FILE).read_text(encoding="utf-8"))
        found: dict[str, Any] = validate(content).model_dump(mode="json")
    except (OSError, yaml.YAMLError, InputError, TypeError):
        return {}
    return found
