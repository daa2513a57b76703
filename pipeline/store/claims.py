"""Claims on shards, so that no two processes evaluate the same instances.

A claim is a record lock on one byte of a file beside the store, at the shard's number. The
system releases it when its holder dies, so no claim outlives its work. The file stays empty. It
lies beside the store, so reading or copying the store leaves it out.
"""

import errno
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover (no such locks on this system)
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

CLAIMS = re.compile(r"\.(.+\.zarr)\.claims")
"""Names of claims' files; the group is the name of the store."""

PRESENCE = 1 << 40
"""Offset past every index. A lock here marks a process that plays, even between two claims."""

_TAKEN = (errno.EACCES, errno.EAGAIN)


class Claims:
    """This process's claims on the shards of one store. Made by :func:`claiming`.

    Where there are no record locks, every claim is granted. That is harmless: two processes may
    then do the same work, and the later shard replaces an identical earlier one.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        """Use :func:`claiming`. ``descriptor``: of the file at ``path``; None without locks."""
        self._path = path
        self._descriptor = descriptor

    def take(self, index: int) -> bool:
        """Claim a shard unless another process holds it; return whether it is now claimed."""
        return self._descriptor is None or self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)

    def wait(self, index: int) -> None:
        """Claim a shard as soon as its owner releases it or dies.

        Release all other claims first. Otherwise two processes could wait for each other.
        """
        if self._descriptor is not None:
            self._lock(fcntl.LOCK_EX, 1, index)

    def release(self, indices: Iterable[int]) -> None:
        """Release claims."""
        for index in indices:
            if self._descriptor is not None:
                self._lock(fcntl.LOCK_UN, 1, index)

    def _lock(self, how: int, length: int, start: int) -> bool:
        assert self._descriptor is not None
        try:
            fcntl.lockf(self._descriptor, how, length, start)
        except OSError as error:
            if how & fcntl.LOCK_NB and error.errno in _TAKEN:
                return False
            self._descriptor = None
            _warn(self._path, error)
        return True


@contextmanager
def claiming(store: str | os.PathLike[str]) -> Iterator[Claims]:
    """Take part in the evaluation of the store at a path; release all claims at the end.

    Record locks belong to processes, not to threads. They end when their process closes *any*
    descriptor of the file. So one process must enter this only once at a time per store.
    """
    path = claims_file(store)
    descriptor = None
    try:
        descriptor = None if fcntl is None else os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        _warn(path, error)
    claims = Claims(path, descriptor)
    try:
        if descriptor is not None:
            claims._lock(fcntl.LOCK_SH, 1, PRESENCE)
        yield claims
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def excluding_players(store: str | os.PathLike[str]) -> Iterator[bool]:
    """Keep other processes from claiming. Yields False, without any effect, if one plays now."""
    path = claims_file(store)
    try:
        descriptor = None if fcntl is None else os.open(path, os.O_RDWR)
    except FileNotFoundError:
        descriptor = None
    except PermissionError:
        # The file belongs to another user, who may be playing.
        yield False
        return
    if descriptor is None:
        yield True
        return
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except OSError as error:
            alone = error.errno not in _TAKEN
        yield alone
    finally:
        os.close(descriptor)


def claims_file(store: str | os.PathLike[str]) -> Path:
    """The file for claims on a store: a hidden file beside the directory itself."""
    # Links are resolved: a process that uses another name of the store must find the same file.
    place = Path(store).resolve()
    return place.parent / f".{place.name}.claims"


def _warn(path: Path, error: OSError) -> None:
    log.warning(
        "%s: instances cannot be claimed here (%s). Do not evaluate the same partition twice at "
        "once: the values would be right, but the work would be done twice",
        path,
        error.strerror,
    )
