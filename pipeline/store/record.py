"""What a store says about its game, and what makes two games the same game."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import InputError
from pipeline.shapley.coalitions import check_enumerable

FORMAT = "coalition-store"
FORMAT_VERSION = 2

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

JSON = Any
"""None, bool, int, finite float, str, or lists and str-keyed mappings of these."""


@dataclass(frozen=True)
class GameRecord:
    """What a person or a program needs to trust a game's values and to use them again.

    Raises InputError if the record describes no game that can be stored.
    """

    study: str
    game: str
    n_players: int
    player: str
    """What a player is, as in "a frame of the video"."""
    outputs: tuple[str, ...]
    """Names of the outputs, such as class names; all different."""
    value: str
    """Prose: what v is, and what the empty coalition gets."""
    specification: Mapping[str, JSON]
    """Everything that determines v besides weights and inputs."""
    weights_sha256: str
    evaluator_version: int
    versions: Mapping[str, str]
    """Of libraries, when the values were made. Recorded; no part of the identity."""
    n_coalitions: int | None = None
    """Coalitions an instance in a sampled game; None where all ``2**n_players`` are kept."""

    def __post_init__(self) -> None:
        """Raise InputError if the record describes no game that can be stored."""
        name = f"game {self.study}/{self.game}"
        for part in (self.study, self.game):
            if not _NAME.fullmatch(part):
                raise InputError(
                    f"{name}: {part!r} cannot name a file; use letters, digits, '_', '-' and '.'"
                )
        if self.n_coalitions is None:
            check_enumerable(self.n_players)
        elif self.n_players < 1 or self.n_coalitions < 1:
            raise InputError(
                f"{name}: {self.n_players} players and {self.n_coalitions} coalitions; "
                f"there must be one of each at least"
            )
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise InputError(
                f"{name}: outputs {self.outputs} must be one or more, all of different names"
            )
        try:
            canonical_json(self.specification)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name}: the specification is no JSON: {error}") from None

    @property
    def rows(self) -> int:
        """Coalitions stored for each instance."""
        return 2**self.n_players if self.n_coalitions is None else self.n_coalitions

    @property
    def lists_masks(self) -> bool:
        """Whether a store of the game lists its coalitions' masks.

        It does not where all coalitions are kept, nor where the specification says, under
        ``drawn``, how an instance's coalitions follow from its name: masks of thousands of players
        would take more room than their values.
        """
        return self.n_coalitions is not None and "drawn" not in self.specification

    @property
    def identity(self) -> str:
        """sha256 (hex) of what determines the values, given an instance's input.

        Two records with one identity give the same values to the same input. Prose and versions
        have no part in it.
        """
        determining = {
            "study": self.study,
            "game": self.game,
            "n_players": self.n_players,
            "n_coalitions": self.n_coalitions,
            "outputs": list(self.outputs),
            "specification": self.specification,
            "weights_sha256": self.weights_sha256,
            "evaluator_version": self.evaluator_version,
        }
        return hashlib.sha256(canonical_json(determining).encode()).hexdigest()

    def described(self) -> dict[str, JSON]:
        """The record as JSON, format and identity included."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "identity": self.identity,
            "study": self.study,
            "game": self.game,
            "n_players": self.n_players,
            "n_coalitions": self.n_coalitions,
            "player": self.player,
            "outputs": list(self.outputs),
            "value": self.value,
            "specification": json.loads(canonical_json(self.specification)),
            "weights_sha256": self.weights_sha256,
            "evaluator_version": self.evaluator_version,
            "versions": dict(sorted(self.versions.items())),
        }

    def attributes(self) -> dict[str, JSON]:
        """The record as attributes of a zarr group.

        They are of types that netCDF takes, too: mappings are texts of JSON, and what is None is
        left out. (Version 1 of the format had mappings and None.)
        """
        return {
            name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
            for name, value in self.described().items()
            if value is not None
        }

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, JSON]) -> "GameRecord":
        """The inverse of :meth:`attributes`.

        Raises ValueError, KeyError or TypeError if something is left out or does not fit.
        """
        record = cls(
            study=attributes["study"],
            game=attributes["game"],
            n_players=attributes["n_players"],
            n_coalitions=attributes.get("n_coalitions"),
            player=attributes["player"],
            outputs=tuple(attributes["outputs"]),
            value=attributes["value"],
            specification=_mapping(attributes["specification"]),
            weights_sha256=attributes["weights_sha256"],
            evaluator_version=attributes["evaluator_version"],
            versions=_mapping(attributes["versions"]),
        )
        if record.identity != attributes["identity"]:
            raise ValueError(
                f"identity is {attributes['identity']}, but the attributes digest to "
                f"{record.identity}"
            )
        return record


def _mapping(value: JSON) -> dict[str, JSON]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise TypeError(f"{value!r} is no JSON object")
    return found


def canonical_json(content: JSON) -> str:
    """JSON text that is the same for the same content: keys sorted, no blanks, no NaN."""
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
