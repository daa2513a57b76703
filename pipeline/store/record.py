"""The record of a store's game, and the identity that distinguishes games."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import InputError
from pipeline.shapley.coalitions import check_enumerable

FORMAT = "coalition-store"
FORMAT_VERSION = 3
"""The latest version that is read and written: several instances share a shard."""

ONE_PER_SHARD = 2
"""Version of stores with one instance per shard; they are still made where instances are few."""

IMPORTED = {"made": "elsewhere"}
"""Specification of games that were evaluated elsewhere."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

JSON = Any
"""None, bool, int, finite float, str, or lists and str-keyed mappings of these."""


@dataclass(frozen=True)
class GameRecord:
    """Everything that a reader needs to know about a game to reuse its values.

    Raises InputError if a game with this record cannot be stored.
    """

    study: str
    game: str
    n_players: int
    player: str
    """Description of a player, such as "a frame of the video"."""
    outputs: tuple[str, ...]
    """Names of the outputs, such as class names; all different."""
    value: str
    """Description of the value function v, also for the empty coalition."""
    specification: Mapping[str, JSON]
    """Everything that determines v besides weights and inputs."""
    weights_sha256: str
    evaluator_version: int
    versions: Mapping[str, str]
    """Versions of the libraries that made the values. The identity does not include them."""
    n_coalitions: int | None = None
    """Coalitions per instance of a sampled game; None if all ``2**n_players`` are stored."""

    def __post_init__(self) -> None:
        """Raise InputError if a game with this record cannot be stored."""
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
                f"both must be at least 1"
            )
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise InputError(
                f"{name}: outputs {self.outputs}: give at least one, all with different names"
            )
        try:
            canonical_json(self.specification)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name}: the specification is not JSON: {error}") from None

    @property
    def rows(self) -> int:
        """Coalitions stored for each instance."""
        return 2**self.n_players if self.n_coalitions is None else self.n_coalitions

    @property
    def lists_masks(self) -> bool:
        """Whether a store of the game lists the masks of its coalitions.

        False if all coalitions are stored. Also False if ``drawn`` in the specification says how
        an instance's coalitions follow from its name: masks of thousands of players would take more
        space than their values.
        """
        return self.n_coalitions is not None and "drawn" not in self.specification

    @property
    def identity(self) -> str:
        """sha256 (hex) of everything that determines the values of a given input.

        Records with the same identity give the same values for the same input. Descriptions and
        versions do not count.
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
        """The record as JSON, with format and identity."""
        return {
            "format": FORMAT,
            "format_version": ONE_PER_SHARD,
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

        Their types also suit netCDF: mappings become JSON texts, and attributes that are None are
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

        Raises ValueError, KeyError or TypeError if an attribute is missing or does not fit.
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
                f"identity is {attributes['identity']}, but the digest of the attributes is "
                f"{record.identity}"
            )
        return record


def _mapping(value: JSON) -> dict[str, JSON]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise TypeError(f"{value!r} is not a JSON object")
    return found


def canonical_json(content: JSON) -> str:
    """The same JSON text for the same content: sorted keys, no blanks, NaN refused."""
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
