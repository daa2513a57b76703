"""Files of the toy study."""

from pipeline.core.rules import GameRule
from pipeline.studies.toy.params import Params

INTERMEDIATE = ()


def check(toy: Params) -> None:
    """Nothing has to be on disk."""


def domains(toy: Params) -> dict[str, list[str]]:
    """There are no wildcards."""
    return {}


def games(toy: Params) -> dict[str, GameRule]:
    """The vote; an instance a quota."""
    return {"majority": GameRule(files={}, needs={"vote": "toy.vote"})}
