"""Connects Snakemake and DVC, so that either may be called, in any order.

Snakemake chains and schedules the jobs. This module decides by content which results are still
good. A unit (a job whose outputs stay, see :mod:`pipeline.workflow.units`) is *good* if its
parameters, the version of its code, its inputs and its outputs agree with the note from the end of
its job, or with ``dvc.lock``. Results that DVC's cache holds for the same inputs and parameters are
restored. All other results are rebuilt, with everything that depends on them. After a run, complete
stages are recorded in DVC.

Only the Snakefile calls this module. In a folder without DVC, Snakemake decides by its own records.
In processes that Snakemake starts for single jobs, this module does nothing.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.files import write_json
from pipeline.workflow import dvc_yaml, internals
from pipeline.workflow.internals import Dvc
from pipeline.workflow.one_run import hold_folder
from pipeline.workflow.params import load
from pipeline.workflow.units import PARAMS_FILE, Params, Unit, read_units

log = logging.getLogger("snakemake.logging")  # handled like Snakemake's own messages

NOTES = Path(".snakemake/made")
"""Folder of notes: one file per unit, parameters and inputs, with the digests of the outputs."""
SETTLED = NOTES / "settled.json"

Digests = Mapping[str, str | None]


def attach(workflow: Any, params: Any) -> Callable[[], None]:
    """Let content decide which of Snakemake's jobs run; return a function to call after the run."""
    run = _Run(workflow, params.model_dump(mode="json"))

    def prepare() -> None:
        if not workflow.dryrun:
            hold_folder()
        if Path(".dvc").is_dir():
            internals.judge_with(workflow, run.decide, run.note)

    def planned() -> None:
        if not any(workflow.dag.needrun_jobs()):
            run.record()

    internals.before_planning(workflow, prepare, planned)
    return run.record


class _Run:
    """State of the process that plans a run."""

    def __init__(self, workflow: Any, values: Mapping[str, Any]) -> None:
        self.workflow = workflow
        self.values = values
        self.caller = os.environ.get("DVC_STAGE") if "DVC_ROOT" in os.environ else None
        self.units: list[Unit] = []
        self.makers: dict[str, Unit] = {}
        self.is_overridden = False
        self.dvc: Dvc | None = None

    def decide(self, dag: Any) -> tuple[set[Any], set[Any]] | None:
        """The jobs that must run, and all other jobs; None to let Snakemake decide."""
        self.units = read_units(dag)
        self.makers = {path: unit for unit in self.units for path in unit.makes}
        everything = {job for unit in self.units for job in unit.jobs}
        is_asked = partial(internals.is_asked_to_run, self.workflow)
        asked = {unit for unit in self.units if any(map(is_asked, unit.jobs))}
        if not asked and self.caller is None and _read(SETTLED) == self._signature():
            return set(), everything
        self._open()
        if self.dvc is None:
            return None
        run = self._to_run(self.dvc, asked, internals.targets_of(dag))
        for unit in run:
            self._drop_passing(unit, self.dvc)
        # Temporary files of a killed run are reused if Snakemake considers them up to date.
        forced = {job for unit in run for job in unit.jobs[0 if unit in asked else -1 :]}
        return forced, everything - {job for unit in run for job in unit.jobs}

    def _open(self) -> None:
        """Open DVC's repository, with a ``dvc.yaml`` that lists the current stages."""
        try:
            in_file = load(Path(PARAMS_FILE)).model_dump(mode="json")
        except InputError:
            in_file = {}
        known = [(unit, unit.params(self.values)) for unit in self.units]
        self.is_overridden = not all(_fits(u, {**p, PARAMS_FILE: in_file}, p) for u, p in known)
        if self.caller is not None and self.is_overridden:
            raise InputError(
                f"DVC records the values of {PARAMS_FILE}, but stage {self.caller} would be made "
                f"with others, from a profile or another file: give them in {PARAMS_FILE}"
            )
        # Do not write values that were given for one run only.
        to_write = not self.is_overridden and in_file.get("studies") == self.values["studies"]
        to_write &= set(self.workflow.dag_settings.targets) <= {"all"}
        found, right = dvc_yaml.read(), dvc_yaml.content_of(self.units)
        wrong = {k for k, stage in right["stages"].items() if found["stages"].get(k) != stage}
        outdated = set(filter(self._is_complete, wrong))
        if outdated or (to_write and found != right):
            told = f"{dvc_yaml.FILE} does not match the rules and parameters"
            if self.caller is not None:
                raise InputError(f"{told}; write it again with `python -m pipeline dvc-yaml`")
            if to_write and not self.workflow.dryrun:
                dvc_yaml.write(self.units)
                outdated = set()
                log.info(f"{told}; it was written again")
        try:
            self.dvc = Dvc(without=outdated)
        except InputError as error:
            log.info(f"DVC does not record the results: {error}")

    def _to_run(self, dvc: Dvc, asked: set[Unit], targets: set[Any]) -> set[Unit]:
        """Units that are not good, their dependents, and missing units that these depend on."""
        run, absent = set[Unit](), set[Unit]()
        mine = [unit for unit in self.units if self.caller in (None, unit.stage)]
        for unit in mine:
            if unit in asked or run & self._before(unit):
                run.add(unit)
            elif not self._is_good(unit, dvc):
                (run if _are_there(unit.makes) else absent).add(unit)
        run |= {unit for unit in absent if unit.jobs[-1] in targets}
        size = -1
        while size < len(run):
            size = len(run)
            run |= absent & {before for unit in run for before in self._before(unit)}
            run |= {unit for unit in mine if run & self._before(unit)}
        return run

    def _drop_passing(self, unit: Unit, dvc: Dvc) -> None:
        """Remove temporary files between a unit's jobs if other inputs or parameters made them."""
        if not self.workflow.dryrun and _read(_begun(unit)) != self._note_of(unit, dvc).name:
            for path in (str(file) for job in unit.jobs[:-1] for file in job.output):
                Path(path).unlink(missing_ok=True)
            self._note_begun(unit, dvc)

    def _note_begun(self, unit: Unit, dvc: Dvc) -> None:
        """Note which inputs and parameters a unit's temporary files are made from."""
        write_json(_begun(unit), self._note_of(unit, dvc).name)

    def _is_good(self, unit: Unit, dvc: Dvc) -> bool:
        """Whether a unit's results are what its job would make now, restoring them if possible."""
        noted = _read(self._note_of(unit, dvc))
        said: list[Digests] = [noted] if noted else []
        locked = dvc.locked.get(unit.stage)
        if (
            locked is not None
            and _fits(unit, locked.params, unit.params(self.values))
            and all(locked.deps.get(dep) == dvc.digest(dep) for dep in unit.deps)
            # The stage of a rule with wildcards may contain other jobs too.
            and (any(w for _, w in unit.needs) or locked.deps.keys() == set(unit.deps))
        ):
            files = {path: dvc.file_in(locked.outs, path) for path in unit.makes}
            said.append({**files, **locked.outs})
        if _are_there(unit.makes):
            for made in said:
                # A note lists every file. dvc.lock may list only the folder of numbered files.
                for paths in (unit.makes, unit.outs):
                    if all(made.get(path) == dvc.digest(path) for path in paths):
                        self._note(unit, dvc)
                        return True
        for made in said:
            if all(dvc.cached(made.get(path)) for path in unit.makes):
                self._put_back(unit, {path: made[path] for path in unit.makes}, dvc)
                return self.workflow.dryrun or _are_there(unit.makes)
        for made in said:
            # A file that was removed and is not in the cache does not make its dependents outdated.
            for path in {*unit.makes, *unit.outs} & made.keys():
                if not Path(path).exists():
                    dvc.digests[path] = made[path]
        return False

    def _put_back(self, unit: Unit, made: Digests, dvc: Dvc) -> None:
        if self.workflow.dryrun:
            log.info(f"{unit.stage}: DVC has its results; a run takes them from there")
            dvc.digests.update(made)
            return
        log.info(f"{unit.stage}: its results are taken from DVC's cache")
        for path, digest in made.items():
            dvc.restore(path, digest)
        dvc.forget(set(unit.outs) - set(made))
        self._note(unit, dvc)

    def note(self, job: Any) -> None:
        """Note how a unit was made once its job has succeeded, so that a kill does not undo it."""
        for unit in self.units:
            if unit.jobs[-1] is job and self.dvc is not None:
                self.dvc.forget((*unit.makes, *unit.outs))
                self._note(unit, self.dvc)
            elif job in unit.jobs and self.dvc is not None:
                # When the run was planned, its inputs may not have been made yet.
                self._note_begun(unit, self.dvc)

    def _note(self, unit: Unit, dvc: Dvc) -> None:
        made = {path: dvc.digest(path) for path in unit.makes}
        note = self._note_of(unit, dvc)
        if not self.workflow.dryrun and _read(note) != made:
            write_json(note, made)

    def _note_of(self, unit: Unit, dvc: Dvc) -> Path:
        """Path of the note for a unit with the current parameters and inputs."""
        reads = {path: dvc.digest(path) for path in unit.reads}
        return NOTES / f"{_digest([unit.makes, unit.params(self.values), reads])}.json"

    def record(self) -> None:
        """Record complete and good stages in DVC, which itself records the stage that it called."""
        if self.dvc is None or self.workflow.dryrun:
            return
        is_all = self.caller is None
        try:
            for name, units in dvc_yaml.stages_of(self.units if is_all else []).items():
                done = all(self.workflow.dag.noneedrun_finished(unit.jobs[-1]) for unit in units)
                there = _are_there(path for unit in units for path in (*unit.outs, *unit.deps))
                if done and there and self._is_complete(name):
                    self.dvc.save(name, into_lock=not self.is_overridden)
                else:
                    is_all = False
            self.dvc.write_lock()
        except (InputError, OSError) as error:
            is_all = False
            log.info(f"DVC could not record all results; the next run does: {error}")
        finally:
            self.dvc.close()
            self.dvc = None
        if is_all:
            write_json(SETTLED, self._signature())

    def _before(self, unit: Unit) -> set[Unit]:
        return {self.makers[path] for path in unit.reads if path in self.makers}

    def _is_complete(self, stage: str) -> bool:
        """Whether all jobs of a stage are among those of this run."""
        files = {file for unit in self.units if unit.stage == stage for file in unit.makes}
        return files >= set(map(str, self.workflow.get_rule(f"{stage}_all").input))

    def _signature(self) -> str:
        """A digest of values, file sizes and times, to detect changes without reading files."""
        found: list[Any] = [[unit.makes, unit.params(self.values)] for unit in self.units]
        paths = {path for unit in self.units for path in (*unit.makes, *unit.deps, *unit.outs)}
        for path in map(Path, sorted(paths | {str(dvc_yaml.FILE), "dvc.lock", PARAMS_FILE})):
            for file in sorted(path.rglob("*")) if path.is_dir() else filter(Path.exists, [path]):
                if not file.is_dir():
                    stat = file.stat()
                    found.append([str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size])
        return _digest(found)


def _begun(unit: Unit) -> Path:
    return NOTES / f"{_digest(unit.makes)}.begun.json"


def _are_there(paths: Iterable[str]) -> bool:
    return all(Path(path).exists() for path in paths)


def _fits(unit: Unit, params: Params, wanted: Params) -> bool:
    """Whether these parameters and versions of the code would give the same unit."""
    try:
        found = unit.params(params.get(PARAMS_FILE, {}))
    except InputError:
        return False
    return {**found, **{file: dict(params.get(file, {})) for file in unit.code}} == wanted


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(note: Path) -> Any:
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None
