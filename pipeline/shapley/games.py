"""Games: one value, or several at once, for every coalition of players.

Anything with players, outputs and values is a game: a model that is evaluated, a table, a store.
Estimators ask games for values and know nothing else about them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arguments import array
from pipeline.core.errors import InputError

AT_ONCE = 1 << 14
"""Most coalitions that a counted game asks for in one call."""


class Game(Protocol):
    """Players, outputs, and the value of any coalition for every output."""

    @property
    def n_players(self) -> int:
        """Number of players."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""

    def __call__(self, coalitions: NDArray[Any], /) -> NDArray[np.floating[Any]]:
        """Values of coalitions: (m, output) floats.

        ``coalitions``: masks, (m,) uint64, player i being bit i; past 64 players packed bits,
        (m, byte) uint8, player i being bit i % 8 of byte i // 8. :func:`masks_of` makes both.
        """


def check_game(game: Any) -> None:
    """Raise InputError unless this is a game; a bare table is not, see :func:`table_game`."""
    if not (callable(game) and hasattr(game, "n_players") and hasattr(game, "outputs")):
        raise InputError(
            f"the game is of type {type(game).__name__}; it needs n_players, outputs, and to be "
            "called with coalitions. pipeline.shapley.games.table_game makes a game from a table"
        )


def masks_of(membership: NDArray[np.bool_]) -> NDArray[Any]:
    """Coalitions as games take them, from membership (coalition, player).

    Returns:
        (coalition,) uint64, or (coalition, byte) uint8 past 64 players.
    """
    packed = np.packbits(membership, axis=1, bitorder="little")
    if membership.shape[1] > 64:
        return packed
    words = np.zeros((len(membership), 8), dtype=np.uint8)
    words[:, : packed.shape[1]] = packed
    return words.view("<u8")[:, 0].astype(np.uint64, copy=False)


def keys_of(masks: NDArray[Any]) -> NDArray[Any]:
    """Masks as sortable keys, one per coalition: (coalition,) uint64; bytes past 64 players."""
    if masks.ndim == 1:
        return masks
    return np.ascontiguousarray(masks).view(f"S{masks.shape[1]}")[:, 0]


def checked_keys(masks: NDArray[Any], n_players: int) -> NDArray[Any]:
    """:func:`keys_of` for masks of unchecked shape and dtype.

    Args:
        masks: (coalition,) integers, or past 64 players (coalition, byte) uint8.
        n_players: players of the game.

    Raises:
        InputError: another shape or dtype. Bits of players that do not exist are not checked.
    """
    if n_players <= 64:
        if masks.ndim != 1 or masks.dtype.kind not in "iu":
            raise InputError(
                f"masks of shape {masks.shape}, {masks.dtype}; a row of integers is needed"
            )
        return keys_of(masks.astype(np.uint64))
    n_bytes = -(-n_players // 8)
    if masks.ndim != 2 or masks.shape[1] != n_bytes or masks.dtype != np.uint8:
        raise InputError(
            f"masks of shape {masks.shape}, {masks.dtype}; (m, {n_bytes}), uint8 is needed for "
            f"{n_players} players"
        )
    return keys_of(masks)


def no_keys(n_players: int) -> NDArray[Any]:
    """An empty array of keys: (0,), of the dtype for so many players."""
    return keys_of(masks_of(np.zeros((0, n_players), dtype=np.bool_)))


def masks_of_keys(keys: NDArray[Any]) -> NDArray[Any]:
    """The inverse of :func:`keys_of`."""
    if keys.dtype.kind != "S":
        return keys
    return np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), keys.dtype.itemsize)


def mask_text(mask: Any) -> str:
    """One coalition's mask for a message, in hexadecimal digits."""
    return mask.tobytes().hex(" ") if mask.ndim else hex(int(mask))


@dataclass(frozen=True, eq=False)
class TableGame:
    """A complete table of values, played as a game. Made by :func:`table_game`."""

    values: NDArray[np.floating[Any]]
    """(2**n_players, output) in mask order"""
    outputs: tuple[str, ...]

    @property
    def n_players(self) -> int:
        """Number of players."""
        return len(self.values).bit_length() - 1

    def __call__(self, coalitions: NDArray[Any], /) -> NDArray[np.floating[Any]]:
        """Values of coalitions: (m, output), from masks (m,).

        Raises InputError unless they are masks of existing players.
        """
        masks = array("coalitions", coalitions, integers=True)
        rows = masks.astype(np.intp)
        # Viewed as unsigned, negative numbers exceed all others.
        if rows.ndim != 1 or (len(rows) and rows.view(np.uintp).max() >= len(self.values)):
            raise InputError(
                f"coalitions of shape {masks.shape}: a row of masks from 0 to "
                f"{len(self.values) - 1} is needed"
            )
        return self.values[rows]


def table_game(
    values: NDArray[np.floating[Any]], outputs: Sequence[str] | None = None
) -> TableGame:
    """Play a complete table as a game.

    Args:
        values: (2**n, output) or, for one output, (2**n,), in mask order.
        outputs: their names; "0", "1", … by default.

    Raises:
        InputError: the number of rows is not a power of two, or names and columns differ in number.
    """
    table = array("a table", values)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or len(table) < 2 or len(table) & (len(table) - 1):
        raise InputError(
            f"a table of shape {np.shape(values)}: a complete one is (2**n, output) with n ≥ 1"
        )
    return TableGame(table, names_of(outputs, table.shape[1], "a table"))


def names_of(outputs: Sequence[str] | None, count: int, of: str) -> tuple[str, ...]:
    """Names of outputs; "0", "1", … by default. Raises InputError if their number is wrong."""
    if outputs is None:
        return tuple(map(str, range(count)))
    if isinstance(outputs, str) or not isinstance(outputs, Iterable):
        raise InputError(f"outputs {outputs!r}: give a list of names, one per output")
    names = tuple(outputs)
    if len(names) != count:
        raise InputError(f"{len(names)} names for {of} of {count} outputs")
    return names


class CountedGame:
    """A game that evaluates each coalition only once. Made by :func:`counted`.

    Attributes:
        n_players: players of the game.
        outputs: names of the outputs.
        evaluations: distinct coalitions evaluated so far.
    """

    def __init__(self, game: Game, advance: Callable[[int], None] | None) -> None:
        self.n_players = game.n_players
        self.outputs = tuple(game.outputs)
        self.evaluations = 0
        self._game = game
        self._advance = advance
        # Values are in the order of evaluation; the keys are kept ascending.
        self._values = np.empty((0, len(self.outputs)))
        self._keys = no_keys(self.n_players)
        self._rows = np.empty(0, dtype=np.intp)

    def __call__(self, coalitions: NDArray[Any], /) -> NDArray[np.floating[Any]]:
        """Values of coalitions, in any number and with repeats: (m, output).

        Raises InputError if the game returns NaN or Inf, or values of another shape.
        """
        keys = keys_of(coalitions)
        _, first = np.unique(keys, return_index=True)
        unseen = np.sort(first[~self._is_known(keys[first])])
        if len(unseen):
            self._remember(keys[unseen], self._evaluate(coalitions[unseen]))
        return self._values[self._rows[np.searchsorted(self._keys, keys)]]

    def costs(self, coalitions: NDArray[Any], n_groups: int) -> NDArray[np.int64]:
        """How many new coalitions each group adds to those evaluated and to the groups before it.

        Args:
            coalitions: masks, group after group, equally many per group.
            n_groups: number of groups.

        Returns:
            (n_groups,)
        """
        keys = keys_of(coalitions)
        _, first = np.unique(keys, return_index=True)
        is_new = np.zeros(len(keys), dtype=np.int64)
        is_new[first] = ~self._is_known(keys[first])
        return is_new.reshape(n_groups, -1).sum(axis=1)

    def _is_known(self, keys: NDArray[Any]) -> NDArray[np.bool_]:
        if not len(self._keys):
            return np.zeros(len(keys), dtype=np.bool_)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return self._keys[places] == keys

    def _evaluate(self, coalitions: NDArray[Any]) -> NDArray[np.floating[Any]]:
        parts = []
        for start in range(0, len(coalitions), AT_ONCE):
            asked = coalitions[start : start + AT_ONCE]
            values = array("the game's values", self._game(asked))
            if values.shape != (len(asked), len(self.outputs)):
                raise InputError(
                    f"the game gave values of shape {values.shape} for {len(asked)} coalitions and "
                    f"{len(self.outputs)} outputs; {(len(asked), len(self.outputs))} is needed"
                )
            self._check_finite(asked, values)
            parts.append(values)
            self.evaluations += len(asked)
            if self._advance is not None:
                self._advance(len(asked))
        return np.concatenate(parts)

    def _check_finite(self, asked: NDArray[Any], values: NDArray[np.floating[Any]]) -> None:
        bad = ~np.isfinite(values)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"the value of coalition {mask_text(asked[row])} for output "
                f"{self.outputs[column]!r} is {values[row, column]}, and "
                f"{int(bad.any(axis=1).sum()) - 1} more of {len(asked)} coalitions have NaN or "
                f"Inf: no Shapley value exists"
            )

    def _remember(self, keys: NDArray[Any], values: NDArray[np.floating[Any]]) -> None:
        n_known = len(self._keys)
        if not n_known:
            self._values = self._values.astype(values.dtype)
        self._store(n_known, values)
        order = np.argsort(keys, kind="stable")
        places = np.searchsorted(self._keys, keys[order])
        self._keys = np.insert(self._keys, places, keys[order])
        self._rows = np.insert(self._rows, places, n_known + order)

    def _store(self, n_known: int, values: NDArray[np.floating[Any]]) -> None:
        needed = n_known + len(values)
        if needed > len(self._values):
            # Grow by half, so that many small additions do not copy everything each time.
            shape = (max(needed, 3 * len(self._values) // 2), values.shape[1])
            larger = np.empty(shape, dtype=self._values.dtype)
            larger[:n_known] = self._values[:n_known]
            self._values = larger
        self._values[n_known:needed] = values


def counted(game: Game, advance: Callable[[int], None] | None = None) -> CountedGame:
    """Wrap a game: evaluate each coalition only once, and count the distinct ones.

    Args:
        game: any game.
        advance: called with the number of new evaluations as they are made.

    Raises:
        InputError: this is not a game, or it has no players or no outputs.
    """
    check_game(game)
    if game.n_players < 1 or len(game.outputs) < 1:
        raise InputError(
            f"a game of {game.n_players} players and {len(game.outputs)} outputs; it needs at "
            f"least one of each"
        )
    return CountedGame(game, advance)
