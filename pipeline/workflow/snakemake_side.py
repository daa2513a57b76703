"""All that is used of Snakemake beyond its documented interface.

Every name is looked up here alone, and each has a test that says what a new release has moved.
"""

from collections.abc import Callable, Iterable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

LOCKS = Path(".snakemake/locks")


def executes(workflow: Any) -> bool:
    """Whether this process is about to plan a run or a dry run of its own."""
    return workflow.executor_plugin is not None and not workflow.touch and workflow.is_main_process


def before_planning(workflow: Any, prepare: Callable[[], None], after: Callable[[], None]) -> None:
    """Have functions called when the graph of jobs is about to be built, and when it is."""
    build = workflow._build_dag

    def build_dag() -> None:
        prepare()
        build()
        after()

    workflow._build_dag = build_dag


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
        if decided is not None:
            run, rest = decided
            # Results may have been put back since Snakemake looked.
            workflow.iocache = type(workflow.iocache)(workflow.iocache.max_wait_time)
            dag.forcefiles = {file for job in run for file in job.output}
            dag.forcerules = set()
            # Snakemake does not look at jobs that it takes for finished.
            dag._finished.update(rest)
        await judge(*arguments, **more)
        if decided is not None:
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
    named = settings.forcerun | (settings.targets if settings.forcetargets else set())
    return settings.forceall or job.rule.name in named or not named.isdisjoint(map(str, job.output))


def dependencies_of(dag: Any) -> dict[Any, list[Any]]:
    """For every job the jobs that it depends on."""
    return {job: list(dag.dependencies[job]) for job in dag.jobs}


def in_order(dependencies: Mapping[Any, Iterable[Any]]) -> list[Any]:
    """All jobs, each after those that it depends on."""
    return list(TopologicalSorter(dependencies).static_order())


def targets_of(dag: Any) -> set[Any]:
    """Jobs that are targets, and those whose files targets without outputs, such as all, list."""
    found = set(dag.targetjobs)
    return found | {before for job in found if job.rule.norun for before in dag.dependencies[job]}


def runs_something(workflow: Any) -> bool:
    """Whether any job is to be run."""
    return any(workflow.dag.needrun_jobs())


def is_done(workflow: Any, job: Any) -> bool:
    """Whether a job has ended well, or did not have to run."""
    return bool(workflow.dag.noneedrun_finished(job))


def asks_for_all(workflow: Any) -> bool:
    """Whether the command line asks for everything."""
    return set(workflow.dag_settings.targets) <= {"all"}


def stays(job: Any) -> bool:
    """Whether any output of a job stays."""
    return not job.rule.norun and any(not _is_temporary(file) for file in job.output)


def _is_temporary(file: Any) -> bool:
    return bool(getattr(file, "flags", {}).get("temp", False))


def needs_of(job: Any) -> Any:
    """The parameters of a job's rule, as :class:`pipeline.core.rules.Needs`; None without any."""
    found = (getattr(param, "needs", None) for param in job.rule.params)
    return next((needs for needs in found if needs is not None), None)


def files_of(workflow: Any, stage: str) -> set[str]:
    """All files of a stage: what its target ``<stage>_all`` lists."""
    return {str(file) for file in workflow.get_rule(f"{stage}_all").input}


def remove_left_locks() -> None:
    """Remove the locks of a run that was killed; only while this process holds the folder."""
    for left in LOCKS.glob("*.lock"):
        left.unlink(missing_ok=True)


def read_dag(params: Path, target: str) -> Any:
    """The graph of all jobs for a target, without running any; also the workflow's.

    Args:
        params: the file of parameters.
        target: such as ``all``.
    """
    from snakemake.api import SnakemakeApi  # noqa: PLC0415  takes a second to load
    from snakemake.settings.types import (  # noqa: PLC0415
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        Quietness,
        ResourceSettings,
    )

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[params]),
            snakefile=Path("Snakefile"),
        )
        workflow.dag(dag_settings=DAGSettings(targets={target}))
        inner = workflow._workflow
        inner._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        inner._build_dag()
        return inner.dag
