"""All that is used of Snakemake beyond its documented interface.

Each name has a test that says what a new release has moved.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.core.errors import InputError

_HELD: list[FileLock] = []
"""The lock on the working directory; the system lets go of it with the process."""


def before_planning(workflow: Any, prepare: Callable[[], None], after: Callable[[], None]) -> None:
    """Have functions called when the graph of jobs is about to be built, and when it is."""
    build = workflow._build_dag

    def build_dag() -> None:
        prepare()
        build()
        after()

    workflow._build_dag = build_dag


def is_planned_here(workflow: Any) -> bool:
    """Whether this process plans a run or a dry run, and is not one of a single job."""
    return bool(workflow.executor_plugin and workflow.is_main_process and not workflow.touch)


def decide_with(workflow: Any, decide: Callable[[Any], tuple[set[Any], set[Any]] | None]) -> None:
    """Have a function decide which jobs run, once all jobs and their files are known.

    Args:
        workflow: Snakemake's, whose graph is about to be built.
        decide: is given the graph and returns the jobs that must run and those that must not; all
            others are Snakemake's to judge. None leaves everything to Snakemake.
    """
    dag = workflow.dag
    judge = dag.update_needrun

    async def update_needrun(*arguments: Any, **more: Any) -> None:
        decided = decide(dag)
        run, rest = decided or (set(), set())
        if decided is not None:
            # Results may have been put back since Snakemake looked.
            workflow.iocache = type(workflow.iocache)(workflow.iocache.max_wait_time)
            dag.forcefiles, dag.forcerules = {file for job in run for file in job.output}, set()
        # Snakemake does not look at jobs that it takes for finished.
        dag._finished.update(rest)
        await judge(*arguments, **more)
        dag._finished.difference_update(rest)
        dag._len = len(dag._needrun)

    dag.update_needrun = update_needrun


def after_each_job(workflow: Any, finished: Callable[[Any], None]) -> None:
    """Have a function called with every job that has ended well."""
    finish = workflow.dag.finish

    async def finish_and_tell(job: Any, *arguments: Any, **more: Any) -> Any:
        result = await finish(job, *arguments, **more)
        for each in job if job.is_group() else [job]:
            finished(each)
        return result

    workflow.dag.finish = finish_and_tell


def is_asked_to_run(workflow: Any, job: Any) -> bool:
    """Whether the command line asks for this job, whatever its files are."""
    settings = workflow.dag_settings
    named = set(settings.forcerun) | set(settings.targets if settings.forcetargets else ())
    return settings.forceall or not named.isdisjoint({job.rule.name, *map(str, job.output)})


def targets_of(dag: Any) -> set[Any]:
    """Jobs that are targets, and those whose files targets without outputs, such as all, list."""
    found = set(dag.targetjobs)
    return found | {before for job in found if job.rule.norun for before in dag.dependencies[job]}


def hold_folder() -> None:
    """Hold the working directory until this process ends, where the file system has locks.

    The locks of runs that were killed are removed. Raises InputError if another process holds it.
    """
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    lock, holder = FileLock(folder / "running"), folder / "running.pid"
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"another snakemake (process {holder.read_text().strip()}) is at work in {Path.cwd()}; "
            "nothing was changed. Wait until it has finished, or stop it"
        ) from None
    except (OSError, NotImplementedError):
        return
    _HELD.append(lock)
    holder.write_text(f"{os.getpid()}\n")
    for left in (folder / "locks").glob("*.lock"):
        left.unlink(missing_ok=True)


def read_dag(params: Path, target: str) -> Any:
    """The graph of all jobs for a target, such as ``all``, with a file of parameters. None runs."""
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
