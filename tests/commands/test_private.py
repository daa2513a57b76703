"""Checks that the private parts of Snakemake and DVC in use are still where they were.

A failure names what a new release has moved, and where the project uses it.
"""

import importlib
import inspect
import os
from pathlib import Path

import pytest
import yaml
from dvc.dvcfile import ProjectFile
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc_data.hashfile import check, load
from dvc_data.hashfile.build import build
from dvc_data.hashfile.checkout import checkout
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_objects.errors import ObjectFormatError
from snakemake import api  # its modules import each other, this one first
from tiny import ROOT

from pipeline.workflow.internals import read_dag

INTERNALS = "pipeline/workflow/internals.py"
Workflow = api.Workflow
DAG, IOCache, Job = (
    getattr(importlib.import_module(f"snakemake.{module}"), name)
    for module, name in (("dag", "DAG"), ("io", "IOCache"), ("jobs", "Job"))
)
UNITS, BRIDGE = "pipeline/workflow/units.py", "pipeline/workflow/bridge.py"


def moved(name, where, look_for):
    return f"{name} is not as {where} uses it; in the release's source look for {look_for}"


def parameters(function):
    return set(inspect.signature(function).parameters)


@pytest.fixture(scope="module")
def dag():
    """Snakemake's graph of the project."""
    environment, here = dict(os.environ), Path.cwd()
    try:
        os.chdir(ROOT)
        yield read_dag(Path("params.yaml"), "all")
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(environment)


@pytest.fixture(scope="module")
def repo(toy_once):
    """DVC's repository of the toy study."""
    with Repo(str(toy_once)) as repo:
        yield repo


@pytest.mark.parametrize(
    ("name", "where", "look_for"),
    [
        ("_build_dag", INTERNALS, "the method that Workflow.execute calls to build the graph"),
        ("_prepare_dag", INTERNALS, "the method that makes Workflow.dag, called by printdag"),
        ("is_main_process", INTERNALS, "how the planner differs from a job's process"),
        ("touch", INTERNALS, "what says that --touch is given"),
        ("dryrun", BRIDGE, "what says that -n is given"),
        ("get_rule", BRIDGE, "the method that finds a rule by its name"),
        ("executor_plugin", INTERNALS, "what is None if nothing runs, as with --dag"),
    ],
)
def test_the_workflow(name, where, look_for):
    assert hasattr(Workflow, name), moved(f"snakemake Workflow.{name}", where, look_for)


def test_how_the_graph_is_prepared():
    used = {"forceall", "ignore_incomplete", "lock_warn_only"}
    text = moved("snakemake Workflow._prepare_dag(...)", INTERNALS, "its parameters")
    assert used <= parameters(Workflow._prepare_dag), text
    source = inspect.getsource(Workflow.execute)
    assert "self._build_dag()" in source, moved(
        "snakemake Workflow.execute", INTERNALS, "where it builds the graph of jobs"
    )


@pytest.mark.parametrize(
    ("name", "where", "look_for"),
    [
        ("_finished", INTERNALS, "the set of jobs that update_needrun passes over"),
        ("_needrun", INTERNALS, "the set of jobs that are to be run"),
        ("_len", INTERNALS, "the number of jobs that the progress counts to"),
        ("forcefiles", INTERNALS, "files whose jobs are forced"),
        ("forcerules", INTERNALS, "rules that are forced"),
        ("targetjobs", INTERNALS, "jobs that are targets"),
        ("dependencies", UNITS, "the jobs that each job depends on"),
        ("jobs", UNITS, "all jobs"),
        ("update_needrun", INTERNALS, "the method that decides which jobs run"),
        ("finish", INTERNALS, "the method that is called with each job that succeeded"),
        ("noneedrun_finished", BRIDGE, "what says that a job has ended or need not run"),
        ("needrun_jobs", BRIDGE, "the jobs that are to be run"),
    ],
)
def test_the_graph(dag, name, where, look_for):
    assert hasattr(dag, name), moved(f"snakemake DAG.{name}", where, look_for)


def test_the_graph_decides_as_it_did(dag):
    source = inspect.getsource(DAG.update_needrun)
    for part, look_for in (
        ("not self.finished(job)", "how finished jobs are left out"),
        ("self.forcefiles.isdisjoint(job.output)", "how forced files make their jobs run"),
        ("self.forcerules", "how forced rules make their jobs run"),
    ):
        assert part in source, moved("snakemake DAG.update_needrun", INTERNALS, look_for)
    assert "job in self._finished" in inspect.getsource(DAG.finished), moved(
        "snakemake DAG.finished", INTERNALS, "what says that a job is finished"
    )
    for method in (DAG.update_needrun, DAG.finish):
        assert inspect.iscoroutinefunction(method), moved(
            f"snakemake DAG.{method.__name__}", INTERNALS, "whether it is awaited"
        )
    assert "await self.update_needrun(" in inspect.getsource(DAG.init), moved(
        "snakemake DAG.init", INTERNALS, "where it decides which jobs run"
    )


def test_the_cache_of_what_is_on_disk():
    assert parameters(IOCache) == {"max_wait_time"}, moved(
        "snakemake IOCache(max_wait_time)", INTERNALS, "how the cache of files on disk is cleared"
    )
    assert hasattr(IOCache(1), "max_wait_time"), moved(
        "snakemake IOCache.max_wait_time", INTERNALS, "the same"
    )


@pytest.mark.parametrize("name", ["forcerun", "forcetargets", "forceall", "targets"])
def test_the_settings(dag, name):
    assert hasattr(dag.workflow.dag_settings, name), moved(
        f"snakemake DAGSettings.{name}", INTERNALS, "the options of the command line"
    )


@pytest.mark.parametrize("name", ["wildcards_dict", "temp_output", "is_group"])
def test_jobs(name):
    assert hasattr(Job, name), moved(f"snakemake Job.{name}", UNITS, "the same attribute")


def test_rules(dag):
    jobs = [job for job in dag.jobs if not job.rule.norun]
    assert {job.rule.name for job in dag.jobs} - {job.rule.name for job in jobs} == {"all"}, moved(
        "snakemake Rule.norun", UNITS, "rules without a command"
    )
    for job in jobs:
        (line,) = job.rule.params
        assert hasattr(line, "needs"), moved(
            "snakemake Rule.params", UNITS, "where the function under `params:` is kept"
        )


@pytest.mark.parametrize(
    ("of", "names"),
    [
        (Repo, {"close", "cache", "dvcignore", "fs", "lock", "stage", "state"}),
        (PipelineStage, {"deps", "dvcfile", "name", "outs", "save_deps"}),
        (Output, {"commit", "def_path", "hash_info", "save"}),
        (HashFileDB, {"cache_types"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_dvcs_classes(repo, of, names):
    stage = repo.stage.load_all(str(Path(repo.root_dir, "dvc.yaml")))[0]
    found = {
        Repo: repo,
        PipelineStage: stage,
        Output: stage.outs[0],
        HashFileDB: repo.cache.local,
    }[of]
    assert isinstance(found, of), moved(f"dvc {of.__name__}", INTERNALS, "the class of this object")
    for name in sorted(names):
        assert hasattr(found, name), moved(
            f"dvc {of.__name__}.{name}", INTERNALS, "the same attribute"
        )


def test_the_functions_of_dvc_take_the_same_arguments():
    for function, used in (
        (build, {"odb", "path", "fs", "name", "ignore", "dry_run"}),
        (check, {"odb", "obj"}),
        (checkout, {"path", "fs", "obj", "cache", "force", "state"}),
        (load, {"odb", "hash_info"}),
        (HashInfo, {"name", "value"}),
        (ProjectFile.dump_stages, {"stages", "update_pipeline"}),
    ):
        assert used <= parameters(function), moved(f"dvc {function}", INTERNALS, "its parameters")
    assert "relink" in inspect.getsource(Output.commit), moved(
        "dvc Output.commit(relink=...)", INTERNALS, "how an output is replaced by a link"
    )


def test_dvc_gives_the_content_of_its_lock_file(repo, toy_once):
    stages = {
        stage.name: stage for stage in repo.stage.load_all(str(Path(repo.root_dir, "dvc.yaml")))
    }
    stage = stages["toy_values"]
    entry = yaml.safe_load((toy_once / "dvc.lock").read_text())["stages"]["toy_values"]
    assert stage.dvcfile.lockfile_contents["stages"]["toy_values"] == entry, moved(
        "dvc ProjectFile.lockfile_contents", INTERNALS, "how dvc.lock is read"
    )
    told = {dep.def_path: (dep.hash_name, dep.hash_info.value) for dep in stage.deps}
    expected = {dep["path"]: ("md5", dep["md5"]) for dep in entry["deps"]}
    expected |= {path: ("params", values) for path, values in entry["params"].items()}
    assert told == expected, moved(
        "dvc Stage.deps", INTERNALS, "how stages get the content of dvc.lock"
    )
    assert {out.def_path: out.hash_info.value for out in stage.outs} == {
        out["path"]: out["md5"] for out in entry["outs"]
    }, moved("dvc Stage.outs", INTERNALS, "how stages get the content of dvc.lock")
    store = str(toy_once / "results/coalitions/toy/majority.zarr")
    _, _, tree = build(repo.cache.local, store, repo.fs, "md5", ignore=repo.dvcignore, dry_run=True)
    assert tree.hash_info.value == entry["deps"][0]["md5"], moved(
        "dvc_data build(...)", INTERNALS, "how DVC digests a folder"
    )
    kept = load(repo.cache.local, tree.hash_info)
    check(repo.cache.local, kept)
    assert len(kept) == len(tree) > 2, moved(
        "dvc_data load(...)", INTERNALS, "how a folder is found in the cache"
    )


def test_dvc_raises_an_error_for_objects_missing_in_its_cache(repo):
    try:
        check(repo.cache.local, load(repo.cache.local, HashInfo("md5", "0" * 32)))
    except (FileNotFoundError, ObjectFormatError):
        return
    raise AssertionError(moved("dvc_data check(...)", INTERNALS, "what it raises"))


def test_how_the_plugin_for_slurm_learns_of_cancelled_jobs():
    plugin = importlib.import_module("snakemake_executor_plugin_slurm")
    source = inspect.getsource(plugin.Executor.check_active_jobs)
    for part, look_for in (
        ("await query_job_status(", "where it asks Slurm for the states of jobs"),
        ("status_of_jobs, sacct_query_duration =", "the states by job, and another value"),
        (
            "status in fail_stati",
            "how it knows a failed job; if it cuts `CANCELLED by 0`, drop ours",
        ),
    ):
        assert part in source, moved("snakemake_executor_plugin_slurm", INTERNALS, look_for)
