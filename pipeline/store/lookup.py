"""Coalitions looked up among others, and the values of those that are known of an instance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley.games import checked_keys, mask_text, masks_of, masks_of_keys, no_keys

Keys = NDArray[Any]
"""Coalitions that can be sorted: (m,) uint64, past 64 players (m,) bytes of their packed bits."""


def keys_within(masks: NDArray[Any], n_players: int) -> Keys:
    """Masks as keys. Raises InputError if they are not of so many players."""
    if n_players <= 64 and not masks.size:
        masks = masks.astype(np.uint64)  # of an empty list NumPy makes floats
    keys = checked_keys(masks, n_players)
    everybody = masks_of(np.ones((1, n_players), dtype=np.bool_))[0]
    rows = np.nonzero(masks_of_keys(keys) & ~everybody)[0]
    if len(rows):
        raise InputError(
            f"coalition {mask_text(masks[rows[0]])} holds players beyond the {n_players} that "
            f"there are"
        )
    return keys


def find(keys: Keys, wanted: Keys) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Whether keys are among others, which ascend, and where: (len(wanted),) each."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=bool), np.zeros(len(wanted), dtype=np.intp)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[places] == wanted, places


@dataclass
class Tally:
    """Which coalitions of an instance were asked for since the store was opened."""

    keys: Keys
    """ascending"""
    made: int = 0
    reused: int = 0

    def note_found(self, keys: Keys) -> None:
        """Count coalitions that were found, ascending; those made or found before count not."""
        self.reused += self._insert(keys)

    def note_made(self, keys: Keys) -> None:
        """Count coalitions that were evaluated, ascending."""
        self._insert(keys)
        self.made += len(keys)

    def _insert(self, keys: Keys) -> int:
        """Add coalitions; the number of those that were not there."""
        new = keys[~find(self.keys, keys)[0]]
        self.keys = np.insert(self.keys, np.searchsorted(self.keys, new), new)
        return len(new)


class KnownValues:
    """Known values of one instance; coalitions in ascending order, values in that of coming.

    Attributes:
        keys: the coalitions.
        unkept: those that are not stored yet, as they were added, and their values.
    """

    def __init__(self, n_players: int, n_outputs: int) -> None:
        self.keys = no_keys(n_players)
        self.unkept: list[tuple[Keys, NDArray[np.float32]]] = []
        self._rows = np.empty(0, dtype=np.intp)
        self._values = np.empty((0, n_outputs), dtype=np.float32)

    def add(self, keys: Keys, values: NDArray[np.float32], *, keep: bool = False) -> None:
        """Add coalitions, ascending, none of which is there; ``keep``: they are not stored yet."""
        first, end = len(self.keys), len(self.keys) + len(keys)
        if end > len(self._values):
            # Twice as many, so that adding few at a time does not copy all each time.
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
        """Values of coalitions that are all there: (len(keys), output)."""
        _, places = find(self.keys, keys)
        return self._values[self._rows[places]]
