"""The parameters of ``params.yaml`` as typed, validated objects, with one section per study."""

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, create_model, field_validator

from pipeline.core.errors import InputError
from pipeline.core.fields import Number, Section, explain_validation_error
from pipeline.studies import SECTIONS, STUDIES


class RunParams(Section):
    """Parameters that concern all studies."""

    studies: Annotated[list[str], Field(min_length=1)]
    device: str
    partitions: Annotated[Number, Field(ge=1, le=10_000)]

    @field_validator("studies")
    @classmethod
    def _known_and_once(cls, value: list[str]) -> list[str]:
        unknown = sorted(set(value) - set(STUDIES))
        if unknown:
            raise ValueError(f"unknown study {unknown[0]}; there are {', '.join(STUDIES)}")
        if len(set(value)) < len(value):
            raise ValueError("must name each study only once")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda or cuda:<number>")
        return value


_SECTIONS: dict[str, Any] = {
    study: (importlib.import_module(f"pipeline.studies.{study}.params").Params, ...)
    for study in SECTIONS
}

Params: Any = create_model("Params", __base__=RunParams, **_SECTIONS)
"""All of ``params.yaml``: :class:`RunParams`, and each study's own ``Params`` under its name."""


def typed(value: Any) -> Any:
    """Values from a command line, with None for the texts ``null`` and ``~``.

    ``snakemake --config 'frames={coalitions: {clips: null}}'`` passes every value as a string.
    Parameters that are numbers convert their texts themselves.
    """
    if isinstance(value, Mapping):
        return {name: typed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return None if value in ("null", "~") else value


def validate(content: Mapping[str, Any], source: str = "params.yaml") -> Any:
    """Parameters from nested mappings.

    Args:
        content: what the parameter file holds, with overrides merged in.
        source: name of the content in error messages.

    Raises:
        InputError: names every unknown, missing or out-of-range parameter, what was found, what is
            allowed, and the nearest valid name for an unknown one.
    """
    try:
        # Through JSON, to refuse here whatever could not be passed to a stage later.
        return Params.model_validate_json(json.dumps(content, allow_nan=False))
    except (TypeError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise InputError(f"{source}: {explain_validation_error(error, Params)}") from None
        raise InputError(
            f"{source}: parameters must be plain, finite values, such as numbers and texts: {error}"
        ) from None


def load(path: Path) -> Any:
    """Parameters from a YAML file. Raises InputError for a bad file, or as :func:`validate`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such parameter file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a mapping of parameters")
    return validate(content, str(path))


def read_config(config: Mapping[str, Any]) -> Any:
    """The merged configuration as :data:`Params`, checked against the files that studies need.

    Raises:
        InputError: as :func:`validate`, or as ``check`` of a study's ``paths`` module.
    """
    params = validate(typed(config), "parameters")
    for study in params.studies:
        importlib.import_module(f"pipeline.studies.{study}.paths").check(getattr(params, study))
    return params
