"""All uses of private parts of Snakemake and DVC.

A test checks each private name, and so reports what a new release has moved. Nothing here takes
DVC's locks on paths, because DVC itself holds them while it runs a stage's command.
"""

import logging
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from pipeline.core.errors import InputError


def before_planning(workflow: Any, prepare: Callable[[], None], after: Callable[[], None]) -> None:
    """Call functions before and after a run or dry run is planned, but not in its jobs."""
    build = workflow._build_dag

    def build_dag() -> None:
        is_run = workflow.executor_plugin and workflow.is_main_process and not workflow.touch
        try:
            if is_run:
                prepare()
            build()
            if is_run:
                after()
        except InputError as error:
            raise WorkflowError(str(error)) from None  # Snakemake shows it without a traceback

    workflow._build_dag = build_dag


def judge_with(
    workflow: Any,
    decide: Callable[[Any], tuple[set[Any], set[Any]] | None],
    finished: Callable[[Any], None],
) -> None:
    """Let ``decide`` choose which jobs run, and call ``finished`` with each job that succeeded.

    ``decide`` gets the graph once all jobs and their files are known. It returns the jobs that must
    run and the jobs that must not run, or None to let Snakemake decide.
    """
    dag = workflow.dag
    judge, finish = dag.update_needrun, dag.finish

    async def update_needrun(*arguments: Any, **more: Any) -> None:
        decided = decide(dag)
        run, rest = decided or (set(), set())
        if decided is not None:
            # Clear the cache: ``decide`` may have restored results since Snakemake looked.
            workflow.iocache = type(workflow.iocache)(workflow.iocache.max_wait_time)
            dag.forcefiles, dag.forcerules = {file for job in run for file in job.output}, set()
        # Snakemake skips jobs that it considers finished.
        dag._finished.update(rest)
        await judge(*arguments, **more)
        dag._finished.difference_update(rest)
        dag._len = len(dag._needrun)

    async def finish_and_tell(job: Any, *arguments: Any, **more: Any) -> Any:
        result = await finish(job, *arguments, **more)
        for each in job if job.is_group() else [job]:
            finished(each)
        return result

    dag.update_needrun, dag.finish = update_needrun, finish_and_tell


def is_asked_to_run(workflow: Any, job: Any) -> bool:
    """Whether the command line forces this job, whatever the state of its files."""
    settings = workflow.dag_settings
    named = set(settings.forcerun) | set(settings.targets if settings.forcetargets else ())
    return settings.forceall or not named.isdisjoint({job.rule.name, *map(str, job.output)})


def targets_of(dag: Any) -> set[Any]:
    """Jobs that are targets, and jobs whose files a target without outputs, such as all, lists."""
    found = set(dag.targetjobs)
    return found | {before for job in found if job.rule.norun for before in dag.dependencies[job]}


def notice_cancelled_jobs() -> None:
    """Let Snakemake's plugin for Slurm notice jobs that were cancelled outside of Snakemake.

    Slurm's accounting says ``CANCELLED by <user>``. The plugin (2.8) knows only ``CANCELLED``, and
    waits forever for the end of such a job.
    """
    plugin: Any = sys.modules.get("snakemake_executor_plugin_slurm")
    query = getattr(plugin, "query_job_status", None)
    if query is None:
        return

    async def query_in_one_word(*arguments: Any, **more: Any) -> Any:
        states, seconds = await query(*arguments, **more)
        return states and {job: state.partition(" ")[0] for job, state in states.items()}, seconds

    plugin.query_job_status = query_in_one_word


def read_dag(params: Path, target: str) -> Any:
    """Snakemake's graph of all jobs for a target, such as ``all``. Runs no job."""
    import snakemake.api as snakemake  # noqa: PLC0415  takes a second to load
    from snakemake.settings.types import Quietness  # noqa: PLC0415

    logging.getLogger("snakemake.logging").setLevel(logging.WARNING)
    settings = snakemake.OutputSettings(quiet={Quietness.ALL}, dryrun=True)
    with snakemake.SnakemakeApi(settings) as api:
        workflow = api.workflow(
            resource_settings=snakemake.ResourceSettings(cores=1),
            config_settings=snakemake.ConfigSettings(configfiles=[params]),
            snakefile=Path("Snakefile"),
        )
        workflow.dag(dag_settings=snakemake.DAGSettings(targets={target}))
        inner = workflow._workflow
        inner._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        inner._build_dag()
        return inner.dag


@dataclass(frozen=True)
class Making:
    """How dvc.lock says a stage was made: values by file and name, digests by path."""

    params: Mapping[str, Mapping[str, Any]]
    deps: Mapping[str, str | None]
    outs: Mapping[str, str | None]


@contextmanager
def _told() -> Iterator[None]:
    """Turn DVC's errors into InputError."""
    from dvc.exceptions import DvcException  # noqa: PLC0415

    try:
        yield
    except DvcException as error:
        raise InputError(f"{error} (DVC, in {Path.cwd()})") from error


class Dvc:
    """DVC's repository in the working directory: digests, ``dvc.lock`` and the cache."""

    def __init__(self, *, without: Container[str]) -> None:
        """Open the repository; never save stages in ``without``. Raises InputError without DVC."""
        logging.getLogger("dvc").setLevel(logging.WARNING)
        with _told():
            from dvc.repo import Repo  # noqa: PLC0415  takes a second to load
            from dvc_data.hashfile.build import build  # noqa: PLC0415

            self._repo: Any = Repo(str(Path.cwd()))
            self.close = self._repo.close
            stages = self._repo.stage.load_all("dvc.yaml")
        # Each stage would read the whole file again, which takes DVC a third of a second.
        lock = stages[0].dvcfile.lockfile_contents if stages else {}
        self._recorded: Mapping[str, Any] = lock.get("stages", {})
        self.locked = {stage.name: self._locked(stage) for stage in stages}
        self._stages = {stage.name: stage for stage in stages if stage.name not in without}
        self._listed: list[Any] = []
        self._cache: Any = self._repo.cache.local
        self.digests: dict[str, str | None] = {}
        """by path: computed digests, and digests that a path is assumed to have"""
        files, ignored = self._repo.fs, self._repo.dvcignore
        self._build = partial(build, self._cache, fs=files, name="md5", ignore=ignored)

    def digest(self, path: str) -> str | None:
        """DVC's digest of a file or folder, computed once; None if the path does not exist."""
        if path not in self.digests:
            place = Path.cwd() / path
            built = self._build(str(place), dry_run=True) if place.exists() else None
            self.digests[path] = built[2].hash_info.value if built else None
        return self.digests[path]

    def forget(self, paths: Iterable[str]) -> None:
        """Forget the digests of paths that were made again."""
        for path in paths:
            self.digests.pop(path, None)

    def cached(self, digest: str | None) -> Any:
        """The file or folder with this digest in DVC's cache; None unless it is complete."""
        from dvc_data.hashfile import check, load  # noqa: PLC0415
        from dvc_data.hashfile.hash_info import HashInfo  # noqa: PLC0415
        from dvc_objects.errors import ObjectFormatError  # noqa: PLC0415

        try:
            found = load(self._cache, HashInfo("md5", digest)) if digest else None
            if found is not None:
                check(self._cache, found)
        except (FileNotFoundError, ObjectFormatError):
            return None
        return found

    def file_in(self, outs: Mapping[str, str | None], path: str) -> str | None:
        """Digest of a path among outputs; for a file in an output folder, if that is cached."""
        folder = None if path in outs else self.cached(outs.get(str(Path(path).parent)))
        found = folder.get((Path(path).name,)) if folder is not None else None
        return found[1].value if found else outs.get(path)

    def restore(self, path: str, digest: str | None) -> None:
        """Restore a file or folder from the cache; set aside a store that is in its place."""
        if self.digest(path) == digest:
            return
        from dvc_data.hashfile.checkout import checkout  # noqa: PLC0415

        from pipeline.store.planning import drop_redundant, set_aside  # noqa: PLC0415  zarr is slow

        place, is_store = Path.cwd() / path, path.endswith(".zarr")
        with _told(), self._repo.lock:
            if is_store:
                set_aside(place)
            found, state = self.cached(digest), self._repo.state
            checkout(str(place), self._repo.fs, found, self._cache, force=True, state=state)
            if is_store:
                drop_redundant(place)
        self.digests[path] = digest

    def save(self, name: str, *, into_lock: bool) -> None:
        """Save a stage's results in the cache; with ``into_lock``, list them for ``dvc.lock``."""
        stage = self._stages.get(name)
        if stage is None:
            return
        with _told(), self._repo.lock:
            for out in stage.outs:
                out.save()
                if not self.cached(out.hash_info.value):
                    # Relinking saves space with links. With copies it would only change the time.
                    out.commit(relink=self._cache.cache_types[:1] in (["hardlink"], ["symlink"]))
            if into_lock:
                stage.save_deps()
                if self._locked(stage) != self.locked[name]:
                    self._listed.append(stage)

    def _locked(self, stage: Any) -> Making | None:
        listed = self._recorded.get(stage.name, {}).get("deps", [])
        deps = {dep["path"]: dep.get("md5") for dep in listed}
        needs = [dep for dep in stage.deps if dep.hash_name == "params"]
        params = {dep.def_path: dep.hash_info.value or {} for dep in needs}
        outs = {out.def_path: out.hash_info.value for out in stage.outs}
        return Making(params, deps, outs) if any(outs.values()) else None

    def write_lock(self) -> None:
        """Record the listed stages in ``dvc.lock``, which takes DVC long to read and write."""
        if self._listed:
            with _told(), self._repo.lock:
                self._listed[0].dvcfile.dump_stages(self._listed, update_pipeline=False)
            self._listed = []
