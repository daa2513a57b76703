"""Files of the toy study."""

from pipeline.core.rules import GameRule
from pipeline.studies.toy.params import Params

INTERMEDIATE = ()


def check(toy: Params) -> None:
    """No file has to exist."""


def domains(toy: Params) -> dict[str, list[str]]:
    """There are no wildcards."""
    return {}


def games(toy: Params) -> dict[str, GameRule]:
    """The vote, with one instance per quota."""
    return {"majority": GameRule(files={}, needs={"vote": "toy.vote"})}
