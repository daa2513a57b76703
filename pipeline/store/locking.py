"""Locks on directories. The system releases them when their holder dies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover (no such locks on this system)
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(directory: Path, *, exclusive: bool) -> Iterator[None]:
    """Lock a directory, exclusively or shared; wait until it is free.

    The lock is on the directory itself and moves with it when it is renamed. On file systems
    without locks on directories (some network file systems) this does nothing.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def try_locked(directory: Path) -> Iterator[bool]:
    """Lock a directory exclusively if it is free; yields whether it was.

    On file systems without locks on directories every directory counts as free.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        free = True
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free = False
            except OSError:
                pass
        yield free
    finally:
        os.close(descriptor)
