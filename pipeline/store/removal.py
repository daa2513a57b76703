"""Removes stores that no process uses. A kill leaves each store complete or gone."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.store.claims import claims_file, excluding_players
from pipeline.store.locking import try_locked
from pipeline.store.planning import LEFTOVER, SET_ASIDE, trash_place


@contextmanager
def at_rest(path: Path) -> Iterator[str | None]:
    """Keep others from planning, writing and playing the store at ``path``, even if it is missing.

    Yields None. If the store is in use, takes no locks and yields how it is used.
    """
    with ExitStack() as held:
        yield _use(path, held)


def _use(path: Path, held: ExitStack) -> str | None:
    if not held.enter_context(try_locked(_planned_in(path))):
        return "a store beside it is being planned"
    if path.is_dir() and not held.enter_context(try_locked(path)):
        return "is being written into"
    if not held.enter_context(excluding_players(path)):
        return "is being evaluated"
    return None


def remove(path: Path) -> None:
    """Remove a store or a killed plan's leftover. Call it inside :func:`at_rest`."""
    trash = path
    if not LEFTOVER.fullmatch(path.name):
        trash = trash_place(_planned_in(path) / path.name)
        if trash.exists():
            shutil.rmtree(trash)
        claims = claims_file(path)
        path.rename(trash)
        claims.unlink(missing_ok=True)
    shutil.rmtree(trash)
    if path.parent.name == SET_ASIDE and not any(path.parent.iterdir()):
        path.parent.rmdir()


def _planned_in(path: Path) -> Path:
    """The directory that a plan locks when it puts something at ``path``."""
    return path.parent.parent if path.parent.name == SET_ASIDE else path.parent
