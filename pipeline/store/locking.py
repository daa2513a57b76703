"""Locks on directories, which the system releases when their holder dies."""

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
    """Hold a directory, alone or with others; wait for whoever holds it.

    The lock is on the directory itself and moves with it when it is renamed. Where the file
    system has no locks on directories (some network file systems) this does nothing.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
