"""Finds and removes stores of coalitions' values that no receipt refers to."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.store import CoalitionStore, DamagedStore, open_store
from pipeline.store.claims import CLAIMS
from pipeline.store.evaluation import read_receipt
from pipeline.store.planning import LEFTOVER, SET_ASIDE
from pipeline.store.record import IMPORTED
from pipeline.store.removal import at_rest, remove

RECEIPTS = "receipts/*.json"
"""Pattern of receipts' paths, at any depth below the directory of results."""

_Reference = tuple[Path, str]
"""Resolved path of a store, and the identity of its game."""


@dataclass(frozen=True)
class Unused:
    """Something that no receipt refers to."""

    path: Path
    reason: str
    """Why it can be removed."""
    freed: int
    """Bytes that its removal frees, after the removals before it."""
    inode: tuple[int, int] | None
    """Device and inode, to recognise what another process puts there later."""
    study: str | None = None
    game: str | None = None
    identity: str | None = None
    instances: int | None = None
    instances_done: int | None = None


@dataclass(frozen=True)
class LeftAlone:
    """Something that may be unused, but is not removed."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Survey:
    """The stores and leftovers under a root, by whether they can be removed."""

    receipts: tuple[Path, ...]
    kept: tuple[Path, ...]
    """Stores that a receipt refers to."""
    unused: tuple[Unused, ...]
    """In the order of removal."""
    left_alone: tuple[LeftAlone, ...]


def survey(root: Path, results: Path) -> Survey:
    """Find everything that no receipt refers to; change nothing.

    A receipt refers to a store if it names the store's path, relative to the working directory, and
    its identity.

    Args:
        root: directory of the stores, at any depth. Links below it are not followed.
        results: directory of the receipts, at any depth.

    Raises InputError if either directory is missing, if a receipt cannot be read, or if all
    receipts refer to stores outside ``root``.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such directory of stores; give another root")
    receipts = find_receipts(results)
    references = _references(receipts)
    _refuse_elsewhere(root, results, references)
    kept: list[Path] = []
    unused: list[Unused] = []
    left_alone: list[LeftAlone] = []
    for path in _places(root):
        found = _judged(path, references)
        if isinstance(found, Unused):
            if path.is_symlink():
                found = LeftAlone(path, "a link; remove it and its target by hand")
            elif (use := _use(path)) is not None:
                found = LeftAlone(path, use)
        if isinstance(found, Unused):
            unused.append(found)
        elif isinstance(found, LeftAlone):
            left_alone.append(found)
        else:
            kept.append(path)
    return Survey(tuple(receipts), tuple(kept), tuple(_with_sizes(unused)), tuple(left_alone))


def prune(found: Survey, results: Path) -> tuple[list[Unused], list[LeftAlone]]:
    """Remove what a survey found unused; return what was removed and what was left alone.

    Leaves alone what another process uses or has replaced since, or what a receipt names now.

    Raises InputError as :func:`survey` does, and OSError if a removal fails.
    """
    references = _references(find_receipts(results))
    removed: list[Unused] = []
    left_alone: list[LeftAlone] = []
    for each in found.unused:
        reason = None
        with at_rest(_store_of(each.path)) as use:
            if use is not None:
                reason = use
            elif (each.path.resolve(), each.identity) in references:
                reason = "a receipt names it now"
            elif each.inode is None or _inode(each.path) != each.inode:
                reason = "was replaced or removed meanwhile"
            elif CLAIMS.fullmatch(each.path.name):
                if _store_of(each.path).exists():
                    reason = "its store is there now"
                else:
                    each.path.unlink()
            else:
                remove(each.path)
        if reason is None:
            removed.append(each)
        else:
            left_alone.append(LeftAlone(each.path, reason))
    return removed, left_alone


def find_receipts(results: Path) -> list[Path]:
    """All receipts under a directory. Raises InputError if there is no such directory."""
    if not results.is_dir():
        raise InputError(f"{results}: there is no such directory of receipts; give another")
    found, seen = [], set()
    # Follow links: a receipt that is overlooked would cost a store.
    for folder, folders, names in os.walk(results, followlinks=True):
        place = Path(folder).resolve()
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(f for f in folders if not f.endswith(".zarr") and f[0] != ".")
        paths = [Path(folder, name) for name in sorted(names) if name[0] != "."]
        found += [path for path in paths if path.match(RECEIPTS)]
    return found


def _references(receipts: Sequence[Path]) -> set[_Reference]:
    references = set()
    for path in receipts:
        try:
            receipt = read_receipt(path)
            if not isinstance(receipt.store, str):
                raise InputError(f"{path}: its 'store' is not a path; remove it, evaluate again")
        except (InputError, OSError) as error:
            raise InputError(f"nothing is pruned: a receipt cannot be read: {error}") from error
        references.add((Path(receipt.store).resolve(), receipt.identity))
    return references


def _refuse_elsewhere(root: Path, results: Path, references: set[_Reference]) -> None:
    here = root.resolve()
    if references and not any(store.is_relative_to(here) for store, _ in references):
        some = min(store for store, _ in references)
        raise InputError(
            f"{results}: all receipts there refer to stores outside {root}, such as {some}; paths "
            f"in receipts are relative to the working directory: run this where they were written, "
            f"or give a --root and --receipts that belong together"
        )


def _places(root: Path) -> Iterator[Path]:
    """All stores under a root, leftovers of killed plans, and claims' files without a store."""
    for folder, folders, names in os.walk(root):
        for name in sorted(folders):
            if (name.endswith(".zarr") and name[0] != ".") or LEFTOVER.fullmatch(name):
                yield Path(folder, name)
        for name in sorted(names):
            path = Path(folder, name)
            if CLAIMS.fullmatch(name) and not os.path.lexists(_store_of(path)):
                yield path
        folders[:] = sorted(f for f in folders if not f.endswith(".zarr") and f[0] != ".")


def _judged(path: Path, references: set[_Reference]) -> Unused | LeftAlone | None:
    """Whether a path under the root is unused or left alone; None if a receipt refers to it."""
    if LEFTOVER.fullmatch(path.name) or CLAIMS.fullmatch(path.name):
        reason = "left by a killed process" if path.is_dir() else "its store is gone"
        return Unused(path, reason, 0, _inode(path))
    aside = path.parent.name == SET_ASIDE
    try:
        store = open_store(path)
        done = int(store.done().sum())
    except DamagedStore:
        if aside:
            return Unused(path, "set aside, damaged", 0, _inode(path))
        return LeftAlone(path, "is damaged, so its game is unknown; run `store verify`")
    except (InputError, OSError) as error:
        return LeftAlone(path, str(error).removeprefix(f"{path}: "))
    return _judged_store(path, store, done, references)


def _judged_store(
    path: Path, store: CoalitionStore, done: int, references: set[_Reference]
) -> Unused | LeftAlone | None:
    place, aside = path.resolve(), path.parent.name == SET_ASIDE
    if (place, store.record.identity) in references:
        return None
    if not aside and store.record.specification == IMPORTED:
        return LeftAlone(path, "was imported, so no command makes it again; remove it by hand")
    named = any(place == other for other, _ in references)
    reason = "receipts name another game there" if named else "no receipt names it"
    return Unused(
        path,
        "set aside" if aside else reason,
        0,
        _inode(path),
        study=store.record.study,
        game=store.record.game,
        identity=store.record.identity,
        instances=len(store),
        instances_done=done,
    )


def _use(path: Path) -> str | None:
    with at_rest(_store_of(path)) as use:
        return use


def _store_of(path: Path) -> Path:
    """The store that a claims' file belongs to; any other path unchanged."""
    match = CLAIMS.fullmatch(path.name)
    return path.with_name(match[1]) if match else path


def _with_sizes(unused: Sequence[Unused]) -> Iterator[Unused]:
    """Add the bytes that each frees. Removing the last link to a shared shard frees the shard."""
    gone: Counter[tuple[int, int]] = Counter()
    for each in unused:
        freed = 0
        for file in _files(each.path):
            status = file.lstat()
            key = (status.st_dev, status.st_ino)
            gone[key] += 1
            if gone[key] == status.st_nlink and stat.S_ISREG(status.st_mode):
                freed += status.st_size
        yield replace(each, freed=freed)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
