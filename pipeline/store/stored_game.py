"""Stored games, for estimators that request the values of coalitions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley.games import checked_keys, mask_text
from pipeline.store import CoalitionStore
from pipeline.store.lookup import find


class StoredGame:
    """The game of one stored instance: a call looks up the values of coalitions.

    Estimators use it like a game that is evaluated. The first call reads the values; they stay in
    memory.

    Attributes:
        n_players: players of the game.
        outputs: names of the outputs.
    """

    def __init__(self, store: CoalitionStore, instance: int | str) -> None:
        """Give the instance by its id or its index. Reads nothing yet."""
        self.n_players = store.record.n_players
        self.outputs = store.record.outputs
        self._store = store
        self._instance = store.index(instance)
        self._values: NDArray[np.float32] | None = None
        # For a sampled game: its masks as comparable keys, ascending, and their rows.
        self._keys: NDArray[Any] | None = None
        self._rows: NDArray[np.intp] | None = None

    def __call__(self, coalitions: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Values of coalitions: (len(coalitions), output) float32.

        ``coalitions``: masks, (m,) integers, player i being bit i; past 64 players (m, byte) uint8,
        player i being bit i % 8 of byte i // 8.

        Raises InputError, naming the first one, if coalitions are not stored, and the errors of
        ``CoalitionStore.read``.
        """
        if self._values is None:
            self._load()
        assert self._values is not None
        return self._values[self._find(np.asarray(coalitions))]

    def _load(self) -> None:
        if self._store.record.n_coalitions is not None:
            keys = self._comparable(self._store.masks(self._instance))
            self._rows = np.argsort(keys, kind="stable")
            self._keys = keys[self._rows]
        self._values = self._store.read(self._instance)

    def _comparable(self, masks: NDArray[Any]) -> NDArray[Any]:
        try:
            return checked_keys(masks, self.n_players)
        except InputError as error:
            raise InputError(f"{self._name()}: {error}") from None

    def _find(self, masks: NDArray[Any]) -> NDArray[np.intp]:
        wanted = self._comparable(masks)
        if self._keys is None or self._rows is None:
            known = wanted < np.uint64(1 << self.n_players)
            rows = np.where(known, wanted, 0).astype(np.intp)
        else:
            known, places = find(self._keys, wanted)
            rows = self._rows[places]
        if not known.all():
            first = masks[int(np.argmin(known))]
            raise InputError(
                f"{self._name()}: the value of coalition {mask_text(first)} is not stored, and "
                f"those of {int((~known).sum()) - 1} more of the {len(masks)} requested are not "
                f"either; the store holds {self._store.record.rows} coalitions of {self.n_players} "
                f"players. Plan the game with these coalitions"
            )
        return rows

    def _name(self) -> str:
        return f"{self._store.path}: instance {self._store.instances[self._instance]!r}"
