"""What a study says of a game, so that stores of it can be planned, filled and sampled.

A study's module ``game`` has one function ``open_game(name, *, device, …)``. Its other keyword
arguments are the files and parameters that the study's ``paths.games`` lists for the game, and its
annotations say of which types they are.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, ValidationError, validate_call

from pipeline.core.errors import InputError
from pipeline.core.fields import explain_validation_error
from pipeline.store.record import GameRecord

Classes = NDArray[np.integer[Any]] | None
"""Classes that outputs are, where they differ by instance; None where they do not."""


@dataclass(frozen=True, eq=False)
class OpenGame:
    """A game, its instances, and how they are evaluated."""

    record: GameRecord
    instances: tuple[str, ...]
    """ids"""
    digest: Callable[[int, Classes], str]
    """sha256 of what an instance's values are computed from, within the game, by its index and the
    classes (output,) that its outputs are"""
    tables: Callable[[Sequence[int], Classes], NDArray[np.floating[Any]]] | None = None
    """values of all coalitions of some instances (k, coalition, output), by their indices and the
    classes (k, output) that their outputs are; None for a game that is sampled"""
    coalitions: Callable[[int], Callable[[NDArray[Any]], NDArray[np.floating[Any]]]] | None = None
    """for a game that is sampled: by an instance's index, its values (coalition, output) by masks
    (coalition,)"""
    batch_size: int = 1
    """instances that ``tables`` is best given at once"""
    device: str = ""
    """what evaluates them, for receipts"""
    output_classes: Callable[[], NDArray[np.integer[Any]]] | None = None
    """classes that outputs are (instance, output), where they differ by instance"""
    coordinates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """what readers want to know of instances (instance, …), such as their true classes"""
    evaluations: Callable[[int], int] | None = None
    """coalitions that are evaluated of an instance, by its index; all of them by default"""


def open_game(study: str, game: str, given: Mapping[str, Any], device: str) -> OpenGame:
    """Open a game of a study.

    Args:
        study: its name.
        game: the game's name.
        given: files and parameters, as a rule gives them.
        device: auto, cpu, cuda or cuda:<number>.

    Raises:
        InputError: arguments that do not fit, and as the study's own function.
    """
    opener = importlib.import_module(f"pipeline.studies.{study}.game").open_game
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(opener)
    try:
        opened: OpenGame = checked(game, device=device, **given)
    except ValidationError as error:
        raise InputError(f"{study}/{game}: {explain_validation_error(error, None)}") from None
    return opened
