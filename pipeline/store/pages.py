"""Stores values of sampled coalitions, and reuses them in every later method, budget and run.

Sampling estimators evaluate different coalitions of an instance each time. But a store gives every
instance the same number of coalitions, fixed by its plan. So the store lists *pages* here:
``n_coalitions`` coalitions of one instance, with their masks. New evaluations make new pages. The
store is then planned again with the old and the new pages, which keeps the old shards.

A page's id is ``<instance>#<digest of the input's digest and of the masks>``. The same id means the
same content in every process, so lists of pages can be united without comparing pages. The digest
holds no ``#``, so different instances have different ids, even if their names hold ``#``.

A page that is not full repeats its last coalition with its value: all shards have the same number
of rows, and every row needs a value. Readers may safely see a row twice.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley.games import mask_text, masks_of_keys, no_keys
from pipeline.store import (
    CoalitionStore,
    DamagedShard,
    DamagedStore,
    GameRecord,
    MissingInstance,
    UnusableValues,
    open_store,
    plan,
)
from pipeline.store.claims import PRESENCE, Claims, claiming
from pipeline.store.evaluation import Receipt
from pipeline.store.groups import Stamp, stamp_of
from pipeline.store.locking import locked
from pipeline.store.lookup import Keys, KnownValues, Tally, find, keys_within
from pipeline.store.planning import place_of, set_aside_stores

log = logging.getLogger(__name__)

KEEPING = PRESENCE + 1
"""Offset, in the file of a store's claims, of the lock held by the process that adds pages."""

COST_SHARE = 20
"""Storing takes at most one part in this many of the time: each page makes planning slower."""

PAGE = re.compile(r".+#[0-9a-f]{16}", re.DOTALL)
"""Ids of pages."""

Evaluate = Callable[[NDArray[Any]], NDArray[np.floating[Any]]]
"""Value function: from distinct ascending masks (m,) uint64, or past 64 players (m, byte) uint8, to
values (m, output)."""

_Key = tuple[str, str]
"""An instance's id and the digest of its input."""


class Remembered:
    """A store of sampled coalitions in use. Made by :func:`remembered`.

    Any number of processes may use one store, but only one thread of each.

    Attributes:
        path: path of the store, as given.
        record: the game.
    """

    def __init__(
        self, path: str | os.PathLike[str], record: GameRecord, claims: Claims, keep_every: float
    ) -> None:
        """Use :func:`remembered`."""
        self.path = os.fspath(path)
        self.record = record
        self._place = place_of(path)
        self._claims = claims
        self._keep_every = keep_every
        self._keep_seconds = 0.0
        self._closed = False
        self._kept_at = time.monotonic()
        self._tables: WeakValueDictionary[_Key, KnownValues] = WeakValueDictionary()
        # Keeps tables in memory until all their values are stored.
        self._unkept: dict[_Key, KnownValues] = {}
        self._tallies: dict[_Key, Tally] = {}
        self._damaged: dict[str, None] = {}
        self._masks: dict[str, NDArray[Any]] = {}
        self._stamp: Stamp | None = None
        self._stores: list[CoalitionStore] = []
        self._pages: dict[_Key, list[tuple[CoalitionStore, int]]] = {}
        with locked(self._place.parent, exclusive=False):
            self._read_lists()

    def game(self, instance: str, input_sha256: str, evaluate: Evaluate) -> "RememberedGame":
        """The game of one instance.

        Reads the instance's stored values now, and frees them with the game. So hold few games at
        once if there are many outputs.

        Args:
            instance: its id, any non-empty text.
            input_sha256: digest of the inputs that determine its values within the game.
            evaluate: called for coalitions with unknown values.
        """
        if not instance or not input_sha256:
            raise InputError(
                f"{self.path}: instance {instance!r} with input digest {input_sha256!r}; neither "
                f"may be empty"
            )
        key = (instance, input_sha256)
        table = self._tables.get(key)
        if table is None:
            table = KnownValues(self.record.n_players, len(self.record.outputs))
            table.add(*self._stored(key))
            self._tables[key] = table
        tally = self._tallies.setdefault(key, Tally(no_keys(self.record.n_players)))
        return RememberedGame(self, key, table, tally, evaluate)

    def keep(self) -> None:
        """Write all values evaluated since the last call into the store.

        Keeps pages that other processes have added meanwhile. After an error, the next call writes
        what is left.

        Raises InputError if the disk is full, or if the path holds anything else than such a store,
        or one of a later format version.
        """
        if not self._unkept:
            return
        start = time.monotonic()
        new = [page for key, table in self._unkept.items() for page in self._new_pages(key, table)]
        # One process at a time reads the lists and plans the store. Otherwise the plan would miss
        # pages that another process adds in between.
        self._claims.wait(KEEPING)
        try:
            present = self._present()
            digests = {**present, **{page.name: page.input_sha256 for page in new}}
            self._masks |= {page.name: page.masks for page in new}
            store = plan(
                self.path,
                self.record,
                list(digests),
                list(digests.values()),
                masks=np.stack([self._masks[name] for name in digests]),
            )
            for page in new:
                if page.name not in present:
                    store.write(page.name, page.values)
        finally:
            self._claims.release([KEEPING])
        for table in self._unkept.values():
            table.unkept.clear()
        self._unkept.clear()
        self._kept_at = time.monotonic()
        self._keep_seconds = self._kept_at - start
        log.debug(
            "%s: %d pages kept in %.2f s, of %d",
            self.path,
            len(new),
            self._keep_seconds,
            len(digests),
        )

    def receipt(
        self, seconds: float, device: str = "", partition: tuple[int, int] = (0, 1)
    ) -> Receipt:
        """Receipt of what was evaluated and what was reused since the store was opened.

        An instance counts as evaluated if any of its coalitions was, otherwise as reused. Each
        coalition counts once, however often it is requested: as made if it was evaluated since the
        opening, as reused if the store held it.
        """
        made = {instance for (instance, _), tally in self._tallies.items() if tally.made}
        used = {instance for instance, _ in self._tallies}
        return Receipt(
            study=self.record.study,
            game=self.record.game,
            store=self.path,
            identity=self.record.identity,
            partition=partition,
            instances=len(used),
            instances_evaluated=len(made),
            instances_reused=len(used - made),
            instances_damaged=tuple(self._damaged),
            evaluations_made=sum(tally.made for tally in self._tallies.values()),
            evaluations_reused=sum(tally.reused for tally in self._tallies.values()),
            seconds=round(seconds, 3),
            device=device,
        )

    def _evaluated(self, key: _Key, table: KnownValues) -> None:
        """Note that a table has values to store, and store everything if that is due."""
        self._unkept[key] = table
        since = time.monotonic() - self._kept_at
        if since >= max(self._keep_every, COST_SHARE * self._keep_seconds):
            self.keep()

    def _new_pages(self, key: _Key, table: KnownValues) -> Iterator["_Page"]:
        instance, digest = key
        keys = np.concatenate([keys for keys, _ in table.unkept])
        values = np.concatenate([values for _, values in table.unkept])
        # Sorted masks compress best, and the same evaluations always make the same pages.
        order = np.argsort(keys, kind="stable")
        rows = self.record.rows
        for start in range(0, len(order), rows):
            chosen = order[start : start + rows]
            chosen = np.concatenate([chosen, np.repeat(chosen[-1:], rows - len(chosen))])
            masks = masks_of_keys(keys[chosen])
            content = hashlib.sha256(digest.encode() + b"\0" + masks.tobytes()).hexdigest()
            yield _Page(f"{instance}#{content[:16]}", digest, masks, values[chosen])

    def _present(self) -> dict[str, str]:
        """Ids of the pages that have values, with the digests of their inputs; notes masks."""
        found: dict[str, str] = {}
        with locked(self._place.parent, exclusive=False):
            self._read_lists()
            for store in self._stores:
                for i in np.flatnonzero(store.done()).tolist():
                    name = store.instances[i]
                    if name in found:
                        continue
                    if name not in self._masks:
                        try:
                            self._masks[name] = store.masks(i)
                        except DamagedShard as error:
                            log.warning("%s", error)
                            continue
                    found[name] = store.input_sha256[i]
        return found

    def _stored(self, key: _Key) -> tuple[Keys, NDArray[np.float32]]:
        """Stored coalitions of an instance, distinct and ascending, and their values."""
        # The lock keeps others from planning the store, which would move pages, while this reads.
        with locked(self._place.parent, exclusive=False):
            if stamp_of(self._place) != self._stamp:
                self._read_lists()
            try:
                return self._read_pages(key)
            except (DamagedShard, MissingInstance):
                raise
            except InputError:
                # Without locks on directories another process may have planned or removed it.
                self._read_lists()
                return self._read_pages(key)

    def _read_pages(self, key: _Key) -> tuple[Keys, NDArray[np.float32]]:
        n_players = self.record.n_players
        keys, values = [no_keys(n_players)], [np.empty((0, len(self.record.outputs)), np.float32)]
        for store, i in self._pages.get(key, []):
            if not store.is_done(i):
                continue
            try:
                masks, rows = store.masks(i), store.read(i)
            except DamagedShard as error:
                log.warning("%s", error)
                self._damaged[key[0]] = None
                # Erase it here: a plan would link the shard without reading it.
                open_store(store.path, "r+").erase(i)
                continue
            self._masks[store.instances[i]] = masks
            keys.append(keys_within(masks, n_players))
            values.append(rows)
        distinct, first = np.unique(np.concatenate(keys), return_index=True)
        return distinct, np.concatenate(values)[first]

    def _read_lists(self) -> None:
        """Read again which pages exist, at the path and in the stores set aside from there."""
        self._stamp = stamp_of(self._place)
        self._stores = list(_stores(self._place, self.record))
        self._pages = {}
        for store in self._stores:
            for i, name in enumerate(store.instances):
                key = (name.rpartition("#")[0], store.input_sha256[i])
                self._pages.setdefault(key, []).append((store, i))


class RememberedGame:
    """The game of one instance: a call looks up or evaluates the values of coalitions.

    Attributes:
        n_players: players of the game.
        outputs: names of the outputs.
    """

    def __init__(
        self, memory: Remembered, key: _Key, table: KnownValues, tally: Tally, evaluate: Evaluate
    ) -> None:
        """Use :meth:`Remembered.game`."""
        self.n_players = memory.record.n_players
        self.outputs = memory.record.outputs
        self._memory = memory
        self._key = key
        self._table = table
        self._tally = tally
        self._evaluate = evaluate

    @property
    def made(self) -> int:
        """Coalitions evaluated since the store was opened."""
        return self._tally.made

    @property
    def reused(self) -> int:
        """Coalitions requested since then and found in the store, each counted once."""
        return self._tally.reused

    def __call__(self, coalitions: NDArray[Any]) -> NDArray[np.float32]:
        """Values of coalitions, in their order: (len(coalitions), output) float32.

        ``coalitions``: masks, (m,) integers, player i being bit i; past 64 players (m, byte) uint8,
        player i being bit i % 8 of byte i // 8. May be repeated.

        Raises InputError for other masks, and UnusableValues if values have another shape or are
        not finite. Finite values of the same call are stored.
        """
        try:
            keys = keys_within(np.asarray(coalitions), self.n_players)
        except InputError as error:
            raise InputError(f"{self._name()}: {error}") from None
        wanted, inverse = np.unique(keys, return_inverse=True)
        known, _ = find(self._table.keys, wanted)
        self._tally.note_found(wanted[known])
        if not known.all():
            self._make(wanted[~known])
        return self._table.look_up(wanted)[inverse]

    def _make(self, keys: Keys) -> None:
        if self._memory._closed:
            raise InputError(
                f"{self._name()}: {len(keys)} coalitions have no stored value, and the store is "
                f"closed; evaluate them inside the with block"
            )
        values = np.asarray(self._evaluate(masks_of_keys(keys)))
        shape = (len(keys), len(self.outputs))
        if values.shape != shape:
            raise UnusableValues(
                f"{self._name()}: values of shape {values.shape} for {len(keys)} coalitions; "
                f"(coalition, output) must be {shape}"
            )
        with np.errstate(over="ignore"):
            kept = values.astype(np.float32)
        sound = np.isfinite(kept).all(axis=1)
        if sound.any():
            self._tally.note_made(keys[sound])
            self._table.add(keys[sound], kept[sound], keep=True)
            self._memory._evaluated(self._key, self._table)
        if not sound.all():
            row = int(np.argmin(sound))
            output = int(np.argmin(np.isfinite(kept[row])))
            coalition = masks_of_keys(keys[row : row + 1])[0]
            raise UnusableValues(
                f"{self._name()}: the value of coalition {mask_text(coalition)}, output "
                f"{self.outputs[output]!r} is {values[row, output]}, and "
                f"{int((~sound).sum()) - 1} more of {len(keys)} coalitions have such values; only "
                f"finite float32 values are stored. Check the instance's input and the model"
            )

    def _name(self) -> str:
        return f"{self._memory.path}: instance {self._key[0]!r}"


@contextmanager
def remembered(
    path: str | os.PathLike[str], record: GameRecord, *, keep_every: float = 60.0
) -> Iterator[Remembered]:
    """Open the store of sampled coalitions at ``path``, or begin one, and store new values.

    Stores everything at the end, also after an exception, and from time to time before. So a killed
    process loses only what it evaluated since the last time. If ``path`` holds a store of another
    game, the first write sets that store aside. While the store is open, pruning leaves it alone.

    Args:
        path: directory of the store, on a local disk; its parent is made if missing.
        record: the game; its ``n_coalitions`` is the size of a page. Large pages are few, which
            makes planning fast, but they waste space if few coalitions are evaluated.
        keep_every: seconds after which to store new values; longer if storing is slow, so that it
            takes at most a twentieth of the time.

    Raises:
        InputError: the record is of an enumerated game; ``path`` holds anything else than a
            coalition store, or one of a later format version, or one that lists other than pages.
    """
    if record.n_coalitions is None:
        raise InputError(
            f"{os.fspath(path)}: the record of {record.study}/{record.game} is of an enumerated "
            f"game; give n_coalitions, the number of coalitions in a page"
        )
    place_of(path).parent.mkdir(parents=True, exist_ok=True)
    with claiming(path) as claims:
        memory = Remembered(path, record, claims, keep_every)
        try:
            yield memory
        except BaseException:
            try:
                memory.keep()
            except (InputError, OSError) as error:
                # Only log it: the exception that ended the block matters more.
                log.error("the last evaluated values could not be stored: %s", error)
            raise
        else:
            memory.keep()
        finally:
            memory._closed = True


@dataclass(frozen=True)
class _Page:
    """Evaluations of one instance, to be written."""

    name: str
    input_sha256: str
    masks: NDArray[Any]
    """(coalition,) uint64 or (coalition, byte) uint8"""
    values: NDArray[np.float32]
    """(coalition, output)"""


def _stores(place: Path, record: GameRecord) -> Iterator[CoalitionStore]:
    """The stores of a game: the one at its place, then those set aside from there.

    A plan takes values from all of them. Those set aside are needed if another game took the place
    in between.
    """
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        try:
            store = open_store(place)
        except DamagedStore as error:
            log.warning("%s", error)
        else:
            if store.record.identity == record.identity:
                _refuse_other_lists(store)
                yield store
    for store in set_aside_stores(place, record):
        try:
            _refuse_other_lists(store)
        except InputError as error:
            log.warning("%s", error)
        else:
            yield store


def _refuse_other_lists(store: CoalitionStore) -> None:
    """Raise InputError if a store of the same game lists anything else than pages."""
    other = next((name for name in store.instances if not PAGE.fullmatch(name)), None)
    if other is not None:
        raise InputError(
            f"{store.path}: lists {other!r}, not pages such as {other}#0123456789abcdef: its plan "
            f"fixed the coalitions. Give another path"
        )
