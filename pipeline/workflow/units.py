"""The jobs of a run as the bridge and DVC see them, read off Snakemake's graph of jobs.

A *unit* is a job whose outputs stay, together with the jobs before it of which nothing stays (their
outputs are ``temp()``). The units of one rule are one *stage* of DVC.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.rules import Needs, store_of
from pipeline.core.stage import module_of

PARAMS_FILE = "params.yaml"
ROOT = Path(__file__).parents[2]

Params = Mapping[str, Mapping[str, Any]]
"""Values by dotted name, by the file that they are in: params.yaml, or code with its VERSION."""

_RECEIPT = re.compile(r"results/([^/]+)/receipts/([^/]+)\.json")


@dataclass(frozen=True, eq=False)
class Unit:
    """A job whose outputs stay, with what it depends on."""

    stage: str
    """name of the rule"""
    jobs: tuple[Any, ...]
    """Snakemake's jobs, the one whose outputs stay last"""
    reads: tuple[str, ...]
    """inputs; of a receipt its store, since a receipt tells seconds, too"""
    makes: tuple[str, ...]
    """outputs that stay, and the stores of receipts"""
    deps: tuple[str, ...]
    """what it reads as DVC knows it: a folder where files are numbered"""
    outs: tuple[str, ...]
    """what it makes as DVC keeps it"""
    needs: tuple[tuple[Needs, Mapping[str, str]], ...]
    """parameters, with the wildcards that are filled in"""
    code: tuple[str, ...]
    """files whose constant ``VERSION`` the results depend on"""

    def names(self) -> list[str]:
        """Dotted names of the parameters that it depends on."""
        return [name for needs, wildcards in self.needs for name in needs.names(wildcards)]

    def params(self, values: Mapping[str, Any]) -> Params:
        """What it depends on beside its inputs, looked up among values that are nested or dotted.

        Raises InputError: a name is not there.
        """
        facts: dict[str, Any] = {}
        for needs, wildcards in self.needs:
            facts |= needs.facts(wildcards, values)
        return {PARAMS_FILE: facts, **versions_of(self.code)}


def read_units(dag: Any) -> list[Unit]:
    """All units of Snakemake's graph, each after those that it depends on."""
    before = {job: list(dag.dependencies[job]) for job in dag.jobs}
    in_order = TopologicalSorter(before).static_order()
    return [_unit([*_temporary(job, before), job]) for job in in_order if _stays(job)]


def _stays(job: Any) -> bool:
    return not job.rule.norun and not {*job.output} <= {*job.temp_output}


def _temporary(job: Any, before: Mapping[Any, Iterable[Any]]) -> list[Any]:
    """Jobs before one of which nothing stays, each once."""
    found: dict[Any, None] = {}
    for other in before[job]:
        if not _stays(other):
            found |= dict.fromkeys([*_temporary(other, before), other])
    return list(found)


def _unit(jobs: list[Any]) -> Unit:
    removed = {str(file) for job in jobs[:-1] for file in job.output}
    inputs = {str(file) for job in jobs for file in job.input}
    reads = {with_store(file)[-1] for file in inputs - removed}
    makes = {path for file in jobs[-1].output for path in with_store(str(file))}
    lines = [(param, job.wildcards_dict) for job in jobs for param in job.rule.params]
    return Unit(
        stage=jobs[-1].rule.name,
        jobs=tuple(jobs),
        reads=tuple(sorted(reads)),
        makes=tuple(sorted(makes)),
        deps=tuple(sorted({*map(_tracked_as, reads)})),
        outs=tuple(sorted({*map(_tracked_as, makes)})),
        needs=tuple((line.needs, wildcards) for line, wildcards in lines),
        code=tuple(sorted({code_of(job.rule.name) for job in jobs})),
    )


def with_store(file: str) -> tuple[str, ...]:
    """A file, and of a receipt its store as well."""
    receipt = _RECEIPT.fullmatch(file)
    return (file, str(store_of(receipt[1], receipt[2]))) if receipt else (file,)


def _tracked_as(path: str) -> str:
    """What DVC keeps of a path: itself, or the folder of a numbered file."""
    return str(Path(path).parent) if Path(path).stem.isdigit() else path


@cache
def code_of(rule: str) -> str:
    """The file whose ``VERSION`` the results of a rule depend on, relative to the project.

    It is the stage's module. Of games it is the study's module ``game``, which evaluates them.
    """
    name = module_of(rule)
    if name.startswith("pipeline.store."):
        name = f"pipeline.studies.{rule.partition('_')[0]}.game"
    return f"{name.replace('.', '/')}.py"


def versions_of(code: Iterable[str]) -> Params:
    """The constant ``VERSION`` of modules, by file. No module is imported."""
    return {file: {"VERSION": _version(file)} for file in code}


@cache
def _version(file: str) -> int:
    for line in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "VERSION":
            return int(ast.literal_eval(line.value))
    raise InputError(f"{file}: give it a line such as VERSION = 1; raise it when results change")
