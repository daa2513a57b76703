"""Looks up coalitions, and the known values of one instance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley.games import checked_keys, mask_text, masks_of, masks_of_keys, no_keys

Keys = NDArray[Any]
"""Sortable coalitions: (m,) uint64, or past 64 players (m,) bytes of their packed bits."""


def keys_within(masks: NDArray[Any], n_players: int) -> Keys:
    """Masks as keys. Raises InputError unless they are masks of ``n_players`` players."""
    if n_players <= 64 and not masks.size:
        masks = masks.astype(np.uint64)  # NumPy makes floats of an empty list
    keys = checked_keys(masks, n_players)
    everybody = masks_of(np.ones((1, n_players), dtype=np.bool_))[0]
    rows = np.nonzero(masks_of_keys(keys) & ~everybody)[0]
    if len(rows):
        raise InputError(
            f"coalition {mask_text(masks[rows[0]])} holds players beyond the {n_players} of the "
            f"game"
        )
    return keys


def find(keys: Keys, wanted: Keys) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Find keys in ascending ``keys``: whether each is there, and where; (len(wanted),) each."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=bool), np.zeros(len(wanted), dtype=np.intp)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[places] == wanted, places


@dataclass
class Tally:
    """The coalitions of an instance that were requested since the store was opened."""

    keys: Keys
    """in ascending order"""
    made: int = 0
    reused: int = 0

    def note_found(self, keys: Keys) -> None:
        """Count coalitions (ascending) that were found; those already counted are skipped."""
        self.reused += self._insert(keys)

    def note_made(self, keys: Keys) -> None:
        """Count coalitions (ascending) that were evaluated."""
        self._insert(keys)
        self.made += len(keys)

    def _insert(self, keys: Keys) -> int:
        """Add coalitions; return the number of new ones."""
        new = keys[~find(self.keys, keys)[0]]
        if len(new):
            self.keys = np.insert(self.keys, np.searchsorted(self.keys, new), new)
        return len(new)


class KnownValues:
    """Known values of one instance.

    Attributes:
        keys: the coalitions, in ascending order.
        unkept: coalitions that are not stored yet, with their values, in the batches that added
            them.
    """

    def __init__(self, n_players: int, n_outputs: int) -> None:
        self.keys = no_keys(n_players)
        self.unkept: list[tuple[Keys, NDArray[np.float32]]] = []
        # Values are in the order of arrival; ``_rows`` gives the row of each key.
        self._rows = np.empty(0, dtype=np.intp)
        self._values = np.empty((0, n_outputs), dtype=np.float32)

    def add(self, keys: Keys, values: NDArray[np.float32], *, keep: bool = False) -> None:
        """Add new coalitions, in ascending order. ``keep``: they still have to be stored."""
        first, end = len(self.keys), len(self.keys) + len(keys)
        if end > len(self._values):
            # Doubling avoids a copy of everything at each small addition.
            larger = np.empty((max(end, 2 * first), self._values.shape[1]), dtype=np.float32)
            larger[:first] = self._values[:first]
            self._values = larger
        self._values[first:end] = values
        places = np.searchsorted(self.keys, keys)
        self.keys = np.insert(self.keys, places, keys)
        self._rows = np.insert(self._rows, places, np.arange(first, end))
        if keep:
            self.unkept.append((keys, values))

    def look_up(self, keys: Keys) -> NDArray[np.float32]:
        """Values of coalitions, all of which must be known: (len(keys), output)."""
        _, places = find(self.keys, keys)
        return self._values[self._rows[places]]
