"""Files of the page of results."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.rules import GameRule, look_up
from pipeline.studies.report.params import Params

PAGE = "results/report/index.html"

INTERMEDIATE = ()
"""Stages whose files may be removed: none."""


def domains(_: Params) -> dict[str, list[str]]:
    """Values of wildcards; the rule has none."""
    return {}


def games(_: Params) -> Mapping[str, GameRule]:
    """The page has no games."""
    return {}


def shown(params: Any, reported: Mapping[str, Sequence[str]]) -> list[str]:
    """Files that the page is made from: receipts, claims, and what the views of studies read.

    Args:
        params: all parameters.
        reported: all files of each study on the page.
    """
    found: dict[str, None] = {}
    for study, files in reported.items():
        paths = importlib.import_module(f"pipeline.studies.{study}.paths")
        found |= dict.fromkeys(f for f in files if "/receipts/" in f or f.endswith("/claims.json"))
        if hasattr(paths, "viewed"):
            found |= dict.fromkeys(paths.viewed(getattr(params, study)))
    return list(found)


def names(params: Any) -> list[str]:
    """Dotted names of the parameters that the views of studies depend on."""
    found = []
    for study in params.studies:
        paths = importlib.import_module(f"pipeline.studies.{study}.paths")
        found += [f"{study}.{name}" for name in getattr(paths, "VIEW_NEEDS", ())]
    return found


def sections(params: Any) -> dict[str, Any]:
    """For each study the parameters of :func:`names`, nested as in params.yaml."""
    values = params.model_dump(mode="json")
    found: dict[str, Any] = {study: {} for study in params.studies}
    for name in names(params):
        *outer, last = name.split(".")
        section = found
        for part in outer:
            section = section.setdefault(part, {})
        section[last] = look_up(values, name)
    return found
