"""The parameters of ``params.yaml`` as typed, validated objects, one a stage."""

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from pipeline.core.errors import InputError
from pipeline.core.fields import Number, Section
from pipeline.studies.baselines.params import BaselinesParams
from pipeline.studies.frames.params import FramesParams


class Params(Section):
    """All of ``params.yaml``."""

    studies: Annotated[list[Literal["frames", "baselines"]], Field(min_length=1)]
    device: str
    partitions: Annotated[Number, Field(ge=1, le=10_000)]
    frames: FramesParams
    baselines: BaselinesParams

    @field_validator("studies")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("names a study twice")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda or cuda:<number>")
        return value


def typed(value: Any) -> Any:
    """What a command line gives as text, with null where it spells null.

    ``snakemake --config 'frames={coalitions: {clips: null}}'`` hands every value over as a string.
    Texts that spell numbers are taken for numbers by the parameters that are numbers.
    """
    if isinstance(value, Mapping):
        return {name: typed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return None if value in ("null", "~") else value


def validate(content: Mapping[str, Any], source: str = "params.yaml") -> Params:
    """Parameters from nested mappings.

    Args:
        content: what the parameter file holds, with overrides merged in.
        source: what the error message calls it.

    Raises:
        InputError: naming every unknown, missing or out-of-range parameter, what was found and
            what is allowed, with the nearest valid name of an unknown one.
    """
    try:
        # By way of JSON, so that what cannot be handed to a stage is refused here, and not there.
        return Params.model_validate_json(json.dumps(content, allow_nan=False))
    except (TypeError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise InputError(f"{source}: {explain_validation_error(error, Params)}") from None
        raise InputError(
            f"{source}: parameters must be plain, finite values; among them "
            f"is one that is not: {error}"
        ) from None


def load(path: Path) -> Params:
    """Parameters from a YAML file; errors as :func:`validate`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such parameter file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a mapping of parameters")
    return validate(content, str(path))


def explain_validation_error(error: ValidationError, model: type[BaseModel]) -> str:
    """One line for every parameter that is wrong, in words for whoever wrote it."""
    lines = []
    for item in error.errors(include_url=False):
        # Members of a union appear in the location by class name; they are no part of the path.
        location = [str(part) for part in item["loc"] if not _is_union_member(part)]
        name = ".".join(location)
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown parameter {name}{_nearest(location, model)}")
        elif item["type"] == "missing":
            lines.append(f"parameter {name} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            found = "" if isinstance(item["input"], dict) else f" (found: {item['input']!r})"
            lines.append(f"parameter {name}: {message[0].lower()}{message[1:]}{found}")
    return "; ".join(dict.fromkeys(lines))


def _is_union_member(part: str | int) -> bool:
    text = str(part)
    return text.startswith("literal[") or (text[:1].isupper() and text.isidentifier())


def _nearest(location: list[str], model: type[BaseModel]) -> str:
    *parents, unknown = location
    current: type[BaseModel] | None = model
    for parent in parents:
        field = current.model_fields.get(parent) if current else None
        current = _section_of(field.annotation) if field else None
    if current is None:
        return ""
    close = difflib.get_close_matches(unknown, current.model_fields, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {'.'.join([*parents, close[0]])}?"
    return f"; here are allowed: {', '.join(current.model_fields)}"


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
