"""Plans which instances a store holds, before any is evaluated.

A plan never changes a store in place. It builds a new directory beside the store, hard-links every
shard that is still good into it, and swaps the two directories. Where several instances share a
shard, and not all of them stay together, the plan copies their encoded chunks into a new shard. The
old directory goes to ``set-aside/``, and is removed once other stores hold all its values. So a
plan may be killed at any time: a later plan of the same game still finds every shard, under the id
and the digests that it was written for. Unfinished directories have names that no reader looks for.
"""

import errno
import glob
import hashlib
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.core.errors import InputError
from pipeline.store.access import refuse_url
from pipeline.store.errors import DamagedShard, DamagedStore, MissingInstance
from pipeline.store.groups import refusing_full_disk
from pipeline.store.layout import (
    DEBRIS,
    Lists,
    coordinate_dimensions,
    create,
    instances_per_shard,
    shard_index,
    unusable_coordinate_names,
)
from pipeline.store.locking import locked
from pipeline.store.record import GameRecord
from pipeline.store.shards import CoalitionStore
from pipeline.store.stores import open_store

log = logging.getLogger(__name__)

SET_ASIDE = "set-aside"
LEFTOVER = re.compile(r"\..+\.zarr\.(?:new|trash)")
"""Names of leftovers of a killed plan, beside its store; the next plan there removes them."""

Key = tuple[object, ...]
"""Everything that determines the values of one instance, within one identity."""

Place = tuple[CoalitionStore, int]
"""A store that holds an instance's values, and the index of the instance there."""


def plan(
    path: str | os.PathLike[str],
    record: GameRecord,
    instances: Sequence[str],
    input_sha256: Sequence[str],
    *,
    output_classes: ArrayLike | None = None,
    masks: NDArray[np.unsignedinteger[Any]] | None = None,
    coordinates: Mapping[str, NDArray[Any]] | None = None,
) -> CoalitionStore:
    """Make the store at ``path`` list these instances of this game, and open it for writing.

    Keeps values that were evaluated for the same game (by its identity), instance and digest, even
    if the index of the instance has changed. All other values leave the store: they move to
    ``set-aside/`` beside it, from where a later plan can take them back.

    If the metadata or lists of the old store cannot be read back, the plan sets the store aside,
    begins an empty one and logs a warning. One process should plan before any process evaluates. If
    the lists change, processes that are writing into the store get an error at their next write.

    Args:
        path: directory of the store, on a local disk; made if missing.
        record: the game. Its versions of libraries are recorded if no values are kept. Otherwise
            the versions that made the kept values stay.
        instances: ids, all different, none empty.
        input_sha256: for each instance, the digest of the inputs that determine its values.
        output_classes: (instance, output) integers ≥ 0, if the class of an output differs by
            instance.
        masks: the coalitions of a sampled game (one with ``n_coalitions``), unless its
            specification says how they are ``drawn``: (instance, coalition)
            uint64, or past 64 players (instance, coalition, byte) uint8, player i being bit i % 8
            of byte i // 8.
        coordinates: further data about instances, by name: (instance, …) bool, integers or floats,
            such as ``true_class`` (instance,) int64. Values do not depend on them: a plan with
            other coordinates keeps all values.

    Raises:
        InputError: the lists do not fit; ``path`` holds anything else than a coalition store, or
            one of a later format version; the disk is full.
    """
    given = os.fspath(path)
    refuse_url(given, "a store that is filled")
    classes = None if output_classes is None else np.asarray(output_classes).astype(np.int32)
    beside = {name: _native(content) for name, content in (coordinates or {}).items()}
    lists = Lists(tuple(instances), tuple(input_sha256), classes, masks, beside)
    _refuse_unfit(given, record, lists)
    target = place_of(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent, exclusive=True), refusing_full_disk(given):
        _remove(new_place(target))
        _remove(trash_place(target))
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        with _held(target):
            _settle(target, record, lists)
    return open_store(given, "r+")


def set_aside(path: str | os.PathLike[str]) -> None:
    """Move the store at ``path``, if there is one, to ``set-aside/``.

    A later plan can take its values from there.
    """
    target = Path(path)
    if not target.is_dir():
        return
    with locked(target.parent, exclusive=True):
        try:
            label = open_store(target).record.identity
        except DamagedStore as error:
            log.warning("%s", error)
            label = "damaged"
        with _held(target):
            _set_aside(target, label)


def drop_redundant(path: str | os.PathLike[str]) -> None:
    """Remove stores set aside from ``path`` if other stores hold all their values."""
    target = Path(path)
    with locked(target.parent, exclusive=True):
        records = {}
        for aside in (target.parent / SET_ASIDE).glob(f"{glob.escape(target.stem)}-*.zarr"):
            try:
                record = open_store(aside).record
            except InputError as error:
                log.warning("%s", error)
                continue
            records[record.identity] = record
        for record in records.values():
            _drop_redundant(target, record)


def _settle(target: Path, record: GameRecord, lists: Lists) -> None:
    """Put a store with the wanted lists at ``target``; set the old one aside if it differs."""
    standing, label = _standing(target)
    current = standing
    if standing is not None and standing.record.identity != record.identity:
        current = None
    aside = set_aside_stores(target, record)
    sources = [source for source in [current, *aside] if source is not None]
    kept = _kept(_keys(lists), sources)
    if (
        current is not None
        and len(kept) == current.done().sum()
        and not current.strays()
        and _same(current, record, lists)
    ):
        _sweep(target)
        return
    if kept:
        source = next(s for s in sources if s.done().any())
        record = replace(record, versions=source.record.versions)
    before = sources[0].per_shard if sources else None
    new = new_place(target)
    try:
        create(new, record, lists, instances_per_shard(record, len(lists.instances), before))
        _carry_over(open_store(new, "r+"), kept)
    except BaseException:
        # zarr writes several files at once. After one has failed, others may still appear; the next
        # plan removes what is left.
        shutil.rmtree(new, ignore_errors=True)
        raise
    # Only now: after a failure above (such as a full disk) the old store is still in place.
    if label is not None:
        _set_aside(target, label)
    new.rename(target)
    _drop_redundant(target, record)


def _kept(wanted: Sequence[Key], sources: Sequence[CoalitionStore]) -> dict[int, Place]:
    """Where the values of the instances with these keys are, by their new index."""
    held: dict[Key, Place] = {}
    for source in sources:
        for key, i in _done_keys(source).items():
            held.setdefault(key, (source, i))
    return {i: held[key] for i, key in enumerate(wanted) if key in held}


def _carry_over(fresh: CoalitionStore, kept: Mapping[int, Place]) -> None:
    """Put the values of kept instances into a store that has none."""
    for number, members in groupby(kept, key=lambda i: i // fresh.per_shard):
        places = {i: kept[i] for i in members}
        whole = _whole_shard(fresh, places)
        if whole is not None:
            _link(whole, fresh.shard(number * fresh.per_shard))
        else:
            _put_together(fresh, places)


def _whole_shard(fresh: CoalitionStore, places: Mapping[int, Place]) -> Path | None:
    """The shard that holds these instances at the same places and no others, if there is one."""
    first, (source, old) = next(iter(places.items()))
    if fresh.per_shard == source.per_shard == 1:
        return source.shard(old)
    size = fresh.per_shard
    fits = source.per_shard == size and fresh.has_chunks_of(source) and (first - old) % size == 0
    together = fits and all(s is source and i - j == first - old for i, (s, j) in places.items())
    number = old // size
    if not together or source.done_in(number).sum() != len(places):
        return None
    # The last shard may hold values beyond the end of the list.
    if number == source.n_shards - 1 and number in source.strays():
        return None
    return source.shard(old)


def _put_together(fresh: CoalitionStore, places: Mapping[int, Place]) -> None:
    """Make a shard of instances from other shards, without decoding them if possible."""
    chunks: dict[int, Sequence[bytes]] = {}
    for i, (source, old) in places.items():
        try:
            same = fresh.has_chunks_of(source)
            chunks[i] = source.chunks_of(old) if same else fresh.encoded(source.read(old))
        except (DamagedShard, MissingInstance) as error:
            log.warning("%s", error)
    if chunks:
        fresh.put_chunks(chunks)


def _same(current: CoalitionStore, record: GameRecord, lists: Lists) -> bool:
    """Whether a store of the same identity already has the wanted record and lists."""
    if current.done().any():
        record = replace(record, versions=current.record.versions)
    if record.attributes() != current.record.attributes():
        return False
    try:
        standing = _lists_of(current)
    except DamagedShard:
        return False
    except DamagedStore as error:
        log.warning("%s", error)
        return False
    return _keys(standing) == _keys(lists) and _bytes_of(standing) == _bytes_of(lists)


def _lists_of(store: CoalitionStore) -> Lists:
    masks = None
    if store.record.lists_masks:
        masks = np.stack([store.masks(i) for i in range(len(store))])
    return Lists(
        store.instances, store.input_sha256, store.output_classes, masks, store.coordinates
    )


def _native(content: NDArray[Any]) -> NDArray[Any]:
    """An array in the byte order of this machine, which reading also gives."""
    array = np.asarray(content)
    return array.astype(array.dtype.newbyteorder("="))


def _bytes_of(lists: Lists) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Coordinates in a form that is equal if and only if their stored content is equal."""
    return {
        name: (content.dtype.name, content.shape, content.tobytes())
        for name, content in lists.coordinates.items()
    }


def _keys(lists: Lists) -> list[Key]:
    return [
        _key(
            lists.instances[i],
            lists.input_sha256[i],
            None if lists.output_classes is None else lists.output_classes[i],
            None if lists.masks is None else lists.masks[i],
        )
        for i in range(len(lists.instances))
    ]


def _done_keys(store: CoalitionStore) -> dict[Key, int]:
    """Index of every done instance, by the key of its values."""
    result: dict[Key, int] = {}
    for i in np.flatnonzero(store.done()).tolist():
        try:
            masks = store.masks(i) if store.record.lists_masks else None
        except DamagedShard as error:
            log.warning("%s", error)
            continue
        classes = None if store.output_classes is None else store.output_classes[i]
        result[_key(store.instances[i], store.input_sha256[i], classes, masks)] = i
    return result


def _key(
    instance: str,
    digest: str,
    classes: NDArray[np.int32] | None,
    masks: NDArray[np.unsignedinteger[Any]] | None,
) -> Key:
    return (
        instance,
        digest,
        None if classes is None else tuple(classes.tolist()),
        None if masks is None else hashlib.sha256(np.ascontiguousarray(masks).data).hexdigest(),
    )


def _standing(target: Path) -> tuple[CoalitionStore | None, str | None]:
    """The store at ``target`` and the label to set it aside with.

    The store is None if it is damaged or missing, the label only if it is missing.
    """
    if not target.exists():
        return None, None
    try:
        store = open_store(target)
    except DamagedStore as error:
        log.warning("%s", error)
        return None, "damaged"
    return store, store.record.identity


def set_aside_stores(target: Path, record: GameRecord) -> list[CoalitionStore]:
    """The stores of a game that were set aside from this place; warns about unreadable ones."""
    pattern = f"{glob.escape(target.stem)}-{record.identity[:16]}*.zarr"
    stores = []
    for path in sorted((target.parent / SET_ASIDE).glob(pattern)):
        try:
            store = open_store(path)
        except InputError as error:
            log.warning("%s", error)
            continue
        if store.record.identity == record.identity:
            stores.append(store)
    return stores


def _set_aside(target: Path, label: str) -> None:
    """Move a store to a new name under ``set-aside/``, or remove it if it holds no values."""
    if not any(shard_index(name) is not None for name in _names(target / "values")):
        target.rename(trash_place(target))
        _remove(trash_place(target))
        return
    folder = target.parent / SET_ASIDE
    folder.mkdir(exist_ok=True)
    number = 1
    while (place := folder / f"{target.stem}-{label[:16]}{_suffix(number)}.zarr").exists():
        number += 1
    _sweep(target)
    target.rename(place)


def _suffix(number: int) -> str:
    return "" if number == 1 else f"-{number}"


def _drop_redundant(target: Path, record: GameRecord) -> None:
    """Remove every store set aside whose values are all in other stores that stay."""
    aside = set_aside_stores(target, record)
    standing = open_store(target)
    own = [standing] if standing.record.identity == record.identity else []
    keys = {store.path: frozenset(_done_keys(store)) for store in [*own, *aside]}
    # Smallest first, so that the fewest stores stay.
    for store in sorted(aside, key=lambda store: len(keys[store.path])):
        others = frozenset[Key]().union(*(k for path, k in keys.items() if path != store.path))
        if keys[store.path] <= others:
            del keys[store.path]
            Path(store.path).rename(trash_place(target))
            _remove(trash_place(target))
    folder = target.parent / SET_ASIDE
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _sweep(target: Path) -> None:
    """Remove the leftovers of killed writes."""
    for name in _names(target / "values"):
        if name.endswith(DEBRIS):
            (target / "values" / name).unlink(missing_ok=True)


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []


@contextmanager
def _held(target: Path) -> Iterator[None]:
    """Keep other processes from writing into the store at ``target``, if there is one."""
    if target.exists():
        with locked(target, exclusive=True):
            yield
    else:
        yield


def _link(source: Path, destination: Path) -> None:
    """Link a shard to a second name. That is safe: shards are replaced, never changed."""
    try:
        os.link(source, destination)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A file system without hard links, or with too many of this file.
        shutil.copyfile(source, destination)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def place_of(path: str | os.PathLike[str]) -> Path:
    """A store's own directory, with a link resolved, so that its siblings are on the same disk."""
    return Path(path).resolve() if Path(path).is_symlink() else Path(path)


def new_place(target: Path) -> Path:
    """Where a plan builds the store that it will move to ``target``."""
    return target.parent / f".{target.name}.new"


def trash_place(target: Path) -> Path:
    """Where the old content of ``target`` is moved before its removal."""
    return target.parent / f".{target.name}.trash"


def _refuse_unfit(path: str, record: GameRecord, lists: Lists) -> None:
    """Raise InputError unless the lists fit the game and each other."""
    instances, digests, classes, masks = (
        lists.instances,
        lists.input_sha256,
        lists.output_classes,
        lists.masks,
    )
    n = len(instances)
    if n == 0:
        raise InputError(f"{path}: no instances to plan; give at least one")
    repeated = [name for name, count in Counter(instances).items() if count > 1]
    if repeated or not all(isinstance(i, str) and i for i in instances):
        what = f"repeated: {', '.join(map(repr, repeated[:5]))}" if repeated else "empty or no text"
        raise InputError(f"{path}: instance ids are {what}; each must be a different text")
    if len(digests) != n or not all(isinstance(d, str) and d for d in digests):
        raise InputError(
            f"{path}: {len(digests)} input digests for {n} instances, or some are empty; "
            f"each instance needs one"
        )
    if classes is not None and (classes.shape != (n, len(record.outputs)) or (classes < 0).any()):
        raise InputError(
            f"{path}: output classes of shape {classes.shape}; (instance, output) must be "
            f"{(n, len(record.outputs))}, and classes must be at least 0"
        )
    if (masks is not None) != record.lists_masks:
        raise InputError(
            f"{path}: give masks if and only if the game is sampled (its record has n_coalitions) "
            f"and its specification does not say how coalitions are drawn"
        )
    if masks is not None:
        packed = record.n_players > 64
        shape = (n, record.rows, *([-(-record.n_players // 8)] if packed else []))
        dtype = np.dtype(np.uint8 if packed else np.uint64)
        if masks.shape != shape or masks.dtype != dtype:
            raise InputError(
                f"{path}: masks of shape {masks.shape}, {masks.dtype}; {record.n_players} players "
                f"and {record.rows} coalitions need {shape}, {dtype}"
            )
    _refuse_unfit_coordinates(path, record, lists)


def _refuse_unfit_coordinates(path: str, record: GameRecord, lists: Lists) -> None:
    n, dimensions = len(lists.instances), set[str]()
    for name, content in lists.coordinates.items():
        if content.shape[:1] != (n,) or not content.size:
            raise InputError(
                f"{path}: coordinate {name!r} has shape {content.shape}; its first dimension must "
                f"be {n}, the number of instances, and none may be empty"
            )
        if content.dtype.kind not in "biuf" or content.dtype.itemsize > 8:
            raise InputError(
                f"{path}: coordinate {name!r} is {content.dtype}; it must be bool, integers or "
                f"floats of up to 64 bits"
            )
        dimensions.update(coordinate_dimensions(name, content.shape, record.n_players))
    wrong = unusable_coordinate_names(lists.coordinates)
    wrong += sorted(dimensions.intersection(lists.coordinates))
    if wrong:
        raise InputError(
            f"{path}: coordinates cannot be named {', '.join(map(repr, wrong))}; use letters, "
            f"digits and '_', and no name of a dimension or of another array"
        )
