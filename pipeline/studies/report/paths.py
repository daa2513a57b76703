"""Files of the page of results."""

from collections.abc import Mapping

from pipeline.core.rules import GameRule
from pipeline.studies.report.params import Params

PAGE = "results/report/index.html"
FILES = "results/report/files"
"""Figures and tables that the page links to."""

INTERMEDIATE = ()
"""Stages whose files may be removed: none."""


def domains(_: Params) -> dict[str, list[str]]:
    """Values of wildcards; the rule has none."""
    return {}


def games(_: Params) -> Mapping[str, GameRule]:
    """The page has no games."""
    return {}
