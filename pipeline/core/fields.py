"""Types of parameters, and error messages for values that do not fit."""

import difflib
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not a boolean")
    return value


Number = Annotated[int, BeforeValidator(_no_truth_value)]
Count = Annotated[Number, Field(ge=1)]
Seed = Annotated[Number, Field(ge=0, lt=2**63)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A section of parameters. It refuses unknown names and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


def explain_validation_error(error: ValidationError, model: Any) -> str:
    """One readable message that covers every wrong parameter."""
    lines = []
    for item in error.errors(include_url=False):
        # pydantic puts the class names of a union's members into the location; skip them.
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


def _nearest(location: list[str], model: Any) -> str:
    *parents, unknown = location
    current: type[BaseModel] | None = model if isinstance(model, type) else None
    for parent in parents:
        field = current.model_fields.get(parent) if current else None
        current = _section_of(field.annotation) if field else None
    if current is None:
        return ""
    close = difflib.get_close_matches(unknown, current.model_fields, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {'.'.join([*parents, close[0]])}?"
    return f"; allowed here: {', '.join(current.model_fields)}"


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
