"""Opens a study's game, so that its store can be planned, filled and sampled.

A study's module ``game`` has one function ``open_game(name, *, device, …)``. Its other keyword
arguments are the files and parameters that the study's ``paths.games`` lists for the game. They
are validated against its annotations.
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
"""The class that each output is, where it differs by instance; otherwise None."""


@dataclass(frozen=True, eq=False)
class OpenGame:
    """A game, its instances, and the functions that evaluate them."""

    record: GameRecord
    instances: tuple[str, ...]
    """ids"""
    digest: Callable[[int, Classes], str]
    """sha256 of the inputs that determine an instance's values within the game; takes its index
    and the classes (output,) of its outputs"""
    tables: Callable[[Sequence[int], Classes], NDArray[np.floating[Any]]] | None = None
    """values of all coalitions of k instances (k, coalition, output); takes their indices and the
    classes (k, output) of their outputs; None for a sampled game"""
    coalitions: Callable[[int], Callable[[NDArray[Any]], NDArray[np.floating[Any]]]] | None = None
    """for a sampled game: takes an instance's index and returns its value function, from masks
    (coalition,) to values (coalition, output)"""
    batch_size: int = 1
    """best number of instances per call of ``tables``"""
    device: str = ""
    """device of the evaluations, for receipts"""
    output_classes: Callable[[], NDArray[np.integer[Any]]] | None = None
    """the classes of the outputs (instance, output), where they differ by instance"""
    coordinates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """further data about instances (instance, …), such as their true classes"""
    evaluations: Callable[[int], int] | None = None
    """number of coalitions evaluated for an instance, by its index; default: all"""


def open_game(study: str, game: str, given: Mapping[str, Any], device: str) -> OpenGame:
    """Open a game of a study.

    Args:
        study: its name.
        game: the game's name.
        given: files and parameters, as passed by a rule.
        device: auto, cpu, cuda or cuda:<number>.

    Raises:
        InputError: ``given`` does not fit the study's function, or that function raises it.
    """
    opener = importlib.import_module(f"pipeline.studies.{study}.game").open_game
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(opener)
    try:
        opened: OpenGame = checked(game, device=device, **given)
    except ValidationError as error:
        raise InputError(f"{study}/{game}: {explain_validation_error(error, None)}") from None
    return opened
