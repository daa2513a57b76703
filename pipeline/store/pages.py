"""Values of sampled coalitions, kept in a store and used by every later method, budget and run.

Estimators that sample ask for other coalitions of an instance each time, while a store gives every
instance it lists the same number of coalitions, fixed when it is planned. So what is listed here
are *pages*: ``n_coalitions`` coalitions of one instance, with their masks. New evaluations make
new pages, and the store is planned anew with the pages that there are and the new ones, which
keeps the shards of the former.

A page's id is ``<instance>#<digest of the input's digest and of the masks>``: one id is one
content, in whatever process it is made, so lists of pages can be united without comparing them.
The digest holds no ``#``, so no two instances share an id, whatever is in theirs.

A page that is not full repeats its last coalition, value and all: a shard has the same number of
rows everywhere and no value may be left out of it, and a row that is there twice says nothing
wrong to any reader.
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
from pipeline.store.locking import locked
from pipeline.store.lookup import Keys, KnownValues, Tally, find, keys_within
from pipeline.store.planning import place_of, set_aside_stores
from pipeline.store.shards import Stamp, stamp_of

log = logging.getLogger(__name__)

KEEPING = PRESENCE + 1
"""Offset, in the file of a store's claims, of the lock of the one process that adds pages now."""

COST_SHARE = 20
"""Keeping costs at most one part in this many of the time: planning takes longer with each page."""

PAGE = re.compile(r".+#[0-9a-f]{16}", re.DOTALL)
"""Ids of pages."""

Evaluate = Callable[[NDArray[Any]], NDArray[np.floating[Any]]]
"""Values of coalitions, all different, ascending: masks (m,) uint64, or past 64 players (m, byte)
uint8, to (m, output)."""

_Key = tuple[str, str]
"""An instance's id and the digest of its input."""


class Remembered:
    """A store of sampled coalitions in use. Made by :func:`remembered`.

    Not for several threads at once; any number of processes may use one store.

    Attributes:
        path: where the store is, as given.
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
        # Tables with something to keep stay in memory until it is kept.
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

        What is kept of it is read now, and forgotten again once the game is; so hold few at once
        where there are many outputs.

        Args:
            instance: its id, as any text that is not empty.
            input_sha256: digest of what its values are computed from, within the game.
            evaluate: called for coalitions whose values are not known.
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
        """Write all that was evaluated since the last time into the store.

        Pages that other processes have added meanwhile stay. After an error, what was not written
        is kept by the next call.

        Raises InputError if the disk is full, or if something else than such a store, or one of a
        later format version, stands in its place.
        """
        if not self._unkept:
            return
        start = time.monotonic()
        new = [page for key, table in self._unkept.items() for page in self._new_pages(key, table)]
        # The lists are read and the store is planned by one process at a time: otherwise pages
        # that another adds in between would not be planned.
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
        """What was evaluated and what was found since the store was opened.

        An instance counts as evaluated if anything of it was, and as reused otherwise. A coalition
        counts once however often it is asked for: as made if it was evaluated since, as reused if
        it was found in the store.
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
        """Note that a table has something to keep, and keep all if it is time."""
        self._unkept[key] = table
        since = time.monotonic() - self._kept_at
        if since >= max(self._keep_every, COST_SHARE * self._keep_seconds):
            self.keep()

    def _new_pages(self, key: _Key, table: KnownValues) -> Iterator["_Page"]:
        instance, digest = key
        keys = np.concatenate([keys for keys, _ in table.unkept])
        values = np.concatenate([values for _, values in table.unkept])
        # Ascending masks compress best, and the same evaluations make the same pages.
        order = np.argsort(keys, kind="stable")
        rows = self.record.rows
        for start in range(0, len(order), rows):
            chosen = order[start : start + rows]
            chosen = np.concatenate([chosen, np.repeat(chosen[-1:], rows - len(chosen))])
            masks = masks_of_keys(keys[chosen])
            content = hashlib.sha256(digest.encode() + b"\0" + masks.tobytes()).hexdigest()
            yield _Page(f"{instance}#{content[:16]}", digest, masks, values[chosen])

    def _present(self) -> dict[str, str]:
        """The pages that have values: ids, and the digests of their inputs; masks are noted."""
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
        """Coalitions of an instance that are kept, ascending, all different, and their values."""
        # Nobody plans the store, and no page is moved, between the look at the lists and the end.
        with locked(self._place.parent, exclusive=False):
            if stamp_of(self._place) != self._stamp:
                self._read_lists()
            try:
                return self._read_pages(key)
            except (DamagedShard, MissingInstance):
                raise
            except InputError:
                # Planned or removed all the same, where directories cannot be locked.
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
                # A plan links the shards that are there without reading them.
                open_store(store.path, "r+").erase(i)
                continue
            self._masks[store.instances[i]] = masks
            keys.append(keys_within(masks, n_players))
            values.append(rows)
        distinct, first = np.unique(np.concatenate(keys), return_index=True)
        return distinct, np.concatenate(values)[first]

    def _read_lists(self) -> None:
        """Look anew which pages there are, at the path and in what was set aside from there."""
        self._stamp = stamp_of(self._place)
        self._stores = list(_stores(self._place, self.record))
        self._pages = {}
        for store in self._stores:
            for i, name in enumerate(store.instances):
                key = (name.rpartition("#")[0], store.input_sha256[i])
                self._pages.setdefault(key, []).append((store, i))


class RememberedGame:
    """The game of one instance: called on coalitions, it looks up or evaluates their values.

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
        """Coalitions that were asked for since then and found in the store, each counted once."""
        return self._tally.reused

    def __call__(self, coalitions: NDArray[Any]) -> NDArray[np.float32]:
        """Values of coalitions, in their order: (len(coalitions), output) float32.

        ``coalitions``: masks, (m,) integers, player i being bit i; past 64 players (m, byte) uint8,
        player i being bit i % 8 of byte i // 8. May be repeated.

        Raises InputError if they are no such masks, UnusableValues if their values are of another
        shape or not finite; sound ones evaluated beside them are kept.
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
                f"{self._name()}: {len(keys)} coalitions are to be evaluated after the store was "
                f"closed, where nothing would keep them; ask for them inside the with block"
            )
        values = np.asarray(self._evaluate(masks_of_keys(keys)))
        shape = (len(keys), len(self.outputs))
        if values.shape != shape:
            raise UnusableValues(
                f"{self._name()}: values of shape {values.shape} for {len(keys)} coalitions; "
                f"(coalition, output) is {shape} here"
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
                f"{int((~sound).sum()) - 1} more of {len(keys)} are as unusable; only finite "
                f"float32 values are stored. Look at the instance's input and at the model"
            )

    def _name(self) -> str:
        return f"{self._memory.path}: instance {self._key[0]!r}"


@contextmanager
def remembered(
    path: str | os.PathLike[str], record: GameRecord, *, keep_every: float = 60.0
) -> Iterator[Remembered]:
    """Open the store of sampled coalitions at ``path``, or begin one, and keep what is evaluated.

    All is kept at the end, and after an exception too. Meanwhile it is kept every so often, so
    that a process that is killed loses what it evaluated in that time and nothing else. A store of
    another game in its place is set aside when something is kept first. While the store is open
    nobody removes it as unused.

    Args:
        path: directory of the store, on a local disk; its parent is made if it is not there.
        record: the game; its ``n_coalitions`` is the size of a page. Large ones make few pages,
            which are quickly planned, and take more room where few coalitions are asked for.
        keep_every: seconds after which to keep what was evaluated; longer where keeping itself
            takes long, so that it costs a twentieth of the time at most.

    Raises:
        InputError: the record is not of a sampled game; at ``path`` is something else than a
            coalition store, or one of a later format version, or one that does not list pages.
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
                # What ended the block is what has to be told first.
                log.error("what was evaluated last could not be kept: %s", error)
            raise
        else:
            memory.keep()
        finally:
            memory._closed = True


@dataclass(frozen=True)
class _Page:
    """Evaluations of one instance that are to be written."""

    name: str
    input_sha256: str
    masks: NDArray[Any]
    """(coalition,) uint64 or (coalition, byte) uint8"""
    values: NDArray[np.float32]
    """(coalition, output)"""


def _stores(place: Path, record: GameRecord) -> Iterator[CoalitionStore]:
    """The stores of a game: the one at its place, then what was set aside from there.

    A plan takes the values that it is asked for from all of them. What was set aside is needed
    when another game stood in the place in between.
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
    """Raise InputError if a store of the same game lists something else than pages."""
    other = next((name for name in store.instances if not PAGE.fullmatch(name)), None)
    if other is not None:
        raise InputError(
            f"{store.path}: lists {other!r}, not pages of instances as {other}#0123456789abcdef: "
            f"its coalitions were chosen when it was planned. Give another path"
        )
