"""Versions of the stages' code, which results depend on as they do on parameters."""

from functools import cache
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("versions.yaml")


@cache
def _versions() -> dict[str, dict[str, int]]:
    content: dict[str, dict[str, int]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


def version(study: str, stage: str) -> int:
    """The version of a stage's code. Raises KeyError if ``versions.yaml`` does not list it."""
    return _versions()[study][stage]
