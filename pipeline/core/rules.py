"""The parameters that a rule's jobs depend on, and the jobs' command lines.

A rule names its inputs, its outputs and its parameters; everything else follows from these names.
:func:`needs_of` makes the function ``needs`` of the Snakefile, which is used under ``params:``::

    params:
        needs(decoding="frames.decoding", clips="frames.dataset.{split}_clips"),
    shell:
        STAGE

The stage then gets every *named* input and output, every wildcard and every parameter as an option
of the same name. A job waits for inputs without a name, but its stage does not get them.
"""

import itertools
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError

STAGE = "python -m pipeline.core.job {params} --threads {threads} --log {log:q}"
"""The command of every rule."""

Values = Mapping[str, Any]
"""Values of parameters, nested as in params.yaml."""

Wildcards = Mapping[str, str]
"""Values of a job's wildcards, by name."""

_LOOK_UP = object()


@dataclass(frozen=True)
class Need:
    """Parameters that a job depends on."""

    names: tuple[str, ...]
    """dotted names in params.yaml; ``{wildcard}`` in them is filled in"""
    without: frozenset[str] = frozenset()
    """names, in the only section, that the job does not depend on"""
    jobs: frozenset[str] = frozenset()
    """names, in that section, that decide which jobs exist, but do not change any job's result"""
    value: Any = field(default=_LOOK_UP)
    """value that the stage gets; default: the value of the only name"""

    def names_of(self, values: Values, wildcards: Wildcards) -> list[str]:
        """The dotted names for one job; with ``without``, the remaining names of the section."""
        names = [name.format(**wildcards) for name in self.names]
        if not self.without:
            return names
        section = look_up(values, names[0])
        return [f"{names[0]}.{name}" for name in section if name not in self.without]

    def facts(self, values: Values, wildcards: Wildcards, others: Values) -> dict[str, Any]:
        """What a job depends on, by dotted name.

        Args:
            values: all parameters of this run.
            wildcards: wildcards of the job.
            others: values to look up, nested as in params.yaml or by dotted name.

        Raises:
            InputError: a name is missing in ``others``.
        """
        found = {}
        for name in self.names_of(values, wildcards):
            value = others[name] if name in others else look_up(others, name)
            if self.jobs and isinstance(value, Mapping):
                value = {k: v for k, v in value.items() if k not in self.jobs}
            found[name] = value
        return found

    def option(self, values: Values, wildcards: Wildcards) -> Any:
        """The value that the stage gets."""
        if self.value is not _LOOK_UP:
            return self.value
        found = self.facts(values, wildcards, values)
        if self.without:
            return {name.rpartition(".")[2]: value for name, value in found.items()}
        (value,) = found.values()
        return value


def but(section: str, *without: str, jobs: str | None = None) -> Need:
    """A section of the parameters without some of its names.

    Args:
        section: its dotted name.
        without: names that the job does not depend on.
        jobs: a name that decides which jobs exist, but does not change any job's result.
    """
    return Need((section,), frozenset(without), frozenset([jobs] if jobs else []))


def given(value: Any, *names: str) -> Need:
    """A value derived from some parameters. The job depends on these parameters."""
    return Need(names, value=value)


@dataclass(frozen=True)
class GameRule:
    """The files and parameters that open an enumerated game."""

    files: Mapping[str, str | list[str]]
    """paths, by the argument of the study's ``open_game``"""
    needs: Mapping[str, str | Need]
    """parameters, by the argument"""
    waits_for: list[str] = field(default_factory=list)
    """files that are read without an argument, such as a folder of pictures"""

    def inputs(self) -> list[str]:
        """All files that the game depends on."""
        named = [[f] if isinstance(f, str) else list(f) for f in self.files.values()]
        return [*itertools.chain(*named), *self.waits_for]


@dataclass(frozen=True)
class OfGame:
    """Files and parameters of the game that the wildcard ``game`` names, as one option."""

    games: Mapping[str, GameRule]

    def names_of(self, values: Values, wildcards: Wildcards) -> list[str]:
        """Dotted names of the parameters."""
        needs = self._needs(wildcards).values()
        return [name for need in needs for name in need.names_of(values, wildcards)]

    def facts(self, values: Values, wildcards: Wildcards, others: Values) -> dict[str, Any]:
        """Same as :meth:`Need.facts`, for all needs of the game."""
        found: dict[str, Any] = {}
        for need in self._needs(wildcards).values():
            found |= need.facts(values, wildcards, others)
        return found

    def option(self, values: Values, wildcards: Wildcards) -> Any:
        """Arguments of ``open_game``: paths and parameters."""
        needs = self._needs(wildcards).items()
        parameters = {name: need.option(values, wildcards) for name, need in needs}
        known = {name: value for name, value in parameters.items() if value is not None}
        return {**self.games[wildcards["game"]].files, **known}

    def _needs(self, wildcards: Wildcards) -> dict[str, Need]:
        return {k: _need(v) for k, v in self.games[wildcards["game"]].needs.items()}


@dataclass(frozen=True)
class Needs:
    """All parameters of a rule, by the option of the stage."""

    options: Mapping[str, Need | OfGame]
    values: Values
    """all parameters"""

    def names(self, wildcards: Wildcards) -> list[str]:
        """Dotted names of the parameters that a job depends on."""
        needs = self.options.values()
        return [name for need in needs for name in need.names_of(self.values, wildcards)]

    def facts(self, wildcards: Wildcards, others: Values) -> dict[str, Any]:
        """What a job depends on, by dotted name, looked up in ``others``.

        Raises InputError if a name is missing there.
        """
        found: dict[str, Any] = {}
        for need in self.options.values():
            found |= need.facts(self.values, wildcards, others)
        return found

    def command_line(self, wildcards: Any, input: Any, output: Any) -> str:
        """The options of a job's stage, quoted for a shell."""
        found = dict(wildcards.items())
        options = {
            **found,
            **{name: _plain(files) for name, files in input.items()},
            **{name: need.option(self.values, found) for name, need in self.options.items()},
            **{name: _plain(files) for name, files in output.items()},
        }
        words = [word for name, value in options.items() for word in _words(name, value)]
        return " ".join(map(shlex.quote, words))


def needs_of(values: Mapping[str, Any]) -> Callable[..., Any]:
    """The function ``needs`` of a Snakefile with these parameters.

    Args:
        values: all parameters, nested as in params.yaml, as JSON would hold them.

    Returns:
        ``needs(**options)``. Each option is a dotted name, a :class:`Need` or :class:`OfGame`. It
        returns a function that Snakemake calls for every job. That function returns the rule's name
        (its attribute ``rule``) and the options of the job's command line. Its attribute ``needs``
        is of type :class:`Needs`.
    """

    def make(**options: str | Need | OfGame) -> Any:
        found = Needs({name: _need(option) for name, option in options.items()}, values)

        # Snakemake passes arguments by name. It treats a function with arguments `input` or
        # `output` as derived from them, and would then miss changed parameters.
        def line(wildcards: Any, **files: Any) -> str:
            options = found.command_line(wildcards, files["input"], files["output"])
            return f"{line.rule} {options}"  # type: ignore[attr-defined]

        line.needs = found  # type: ignore[attr-defined]
        line.rule = ""  # type: ignore[attr-defined]  # the Snakefile fills it in
        return line

    return make


def _need(option: Any) -> Any:
    return Need((option,)) if isinstance(option, str) else option


def look_up(values: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name in nested mappings. Raises InputError if there is none."""
    value: Any = values
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise InputError(f"parameter {name} is missing")
        value = value[part]
    return value


def _plain(files: Any) -> str | list[str]:
    return str(files) if isinstance(files, str) else [str(file) for file in files]


def _words(name: str, value: Any) -> Iterator[str]:
    """An option as words of a command line; repeated for a list of texts, left out for None."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        for item in value:
            yield from (option, item)
    elif isinstance(value, str):
        yield from (option, value)
    elif value is not None:
        yield from (option, json.dumps(value, sort_keys=True))


def store_of(study: str, game: str) -> Path:
    """Path of a game's store."""
    return Path("results/coalitions", study, f"{game}.zarr")
