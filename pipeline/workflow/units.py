"""Units: groups of a run's jobs, for the bridge and DVC, from Snakemake's graph of jobs.

A *unit* is a job whose outputs stay, with the jobs before it whose outputs are all temporary
(``temp()``). The units of one rule form one *stage* of DVC.
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
"""Values by file and dotted name. Files are params.yaml, and code with its VERSION."""

_RECEIPT = re.compile(r"results/([^/]+)/receipts/([^/]+)\.json")


@dataclass(frozen=True, eq=False)
class Unit:
    """A job whose outputs stay, with everything that it depends on."""

    stage: str
    """name of the rule"""
    jobs: tuple[Any, ...]
    """Snakemake's jobs; the last one is the job whose outputs stay"""
    reads: tuple[str, ...]
    """inputs; a receipt is replaced by its store, because receipts also hold run times"""
    makes: tuple[str, ...]
    """outputs that stay, and the stores of receipts"""
    deps: tuple[str, ...]
    """inputs as DVC tracks them: the folder in place of numbered files"""
    outs: tuple[str, ...]
    """outputs as DVC tracks them"""
    needs: tuple[tuple[Needs, Mapping[str, str]], ...]
    """parameters, with the values of wildcards"""
    code: tuple[str, ...]
    """files whose constant ``VERSION`` the results depend on"""

    def names(self) -> list[str]:
        """Dotted names of the parameters that the unit depends on."""
        return [name for needs, wildcards in self.needs for name in needs.names(wildcards)]

    def params(self, values: Mapping[str, Any]) -> Params:
        """Values of parameters and versions of code that the unit depends on.

        Parameters are looked up in ``values``, nested or by dotted name. Raises InputError if a
        name is missing.
        """
        facts: dict[str, Any] = {}
        for needs, wildcards in self.needs:
            facts |= needs.facts(wildcards, values)
        return {PARAMS_FILE: facts, **versions_of(self.code)}


def read_units(dag: Any) -> list[Unit]:
    """All units of Snakemake's graph, each after its dependencies."""
    before = {job: list(dag.dependencies[job]) for job in dag.jobs}
    in_order = TopologicalSorter(before).static_order()
    return [_unit([*_temporary(job, before), job]) for job in in_order if _stays(job)]


def _stays(job: Any) -> bool:
    return not job.rule.norun and not {*job.output} <= {*job.temp_output}


def _temporary(job: Any, before: Mapping[Any, Iterable[Any]]) -> list[Any]:
    """Jobs before ``job`` whose outputs are all temporary, each once."""
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
    """The file itself; for a receipt also its store."""
    receipt = _RECEIPT.fullmatch(file)
    return (file, str(store_of(receipt[1], receipt[2]))) if receipt else (file,)


def _tracked_as(path: str) -> str:
    """The path that DVC tracks: the path itself, or the folder of a numbered file."""
    return str(Path(path).parent) if Path(path).stem.isdigit() else path


@cache
def code_of(rule: str) -> str:
    """The file whose ``VERSION`` the results of a rule depend on, relative to the project.

    It is the stage's module. For stages of games it is the study's module ``game``.
    """
    name = module_of(rule)
    if name.startswith("pipeline.store."):
        name = f"pipeline.studies.{rule.partition('_')[0]}.game"
    return f"{name.replace('.', '/')}.py"


def versions_of(code: Iterable[str]) -> Params:
    """The constant ``VERSION`` of modules, by file, read without importing them."""
    return {file: {"VERSION": _version(file)} for file in code}


@cache
def _version(file: str) -> int:
    for line in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "VERSION":
            return int(ast.literal_eval(line.value))
    raise InputError(f"{file}: give it a line such as VERSION = 1; raise it when results change")
