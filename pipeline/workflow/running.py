"""One run at a time in a folder."""

import os
from pathlib import Path

from pipeline.core.errors import InputError

try:
    import fcntl
except ImportError:  # pragma: no cover (no such locks on this system)
    fcntl = None  # type: ignore[assignment]

FILE = Path(".snakemake/running")

_held: list[int] = []
"""Descriptor of the file while this process holds it; the system lets go of it with the process."""


def hold() -> bool:
    """Hold the working directory until this process ends; False where there are no such locks.

    Raises InputError if another process holds it.
    """
    if _held or fcntl is None:
        return bool(_held)
    FILE.parent.mkdir(exist_ok=True)
    descriptor = os.open(FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise InputError(
            f"another snakemake (process {holder}) is at work in {Path.cwd()}; nothing was "
            "changed. Wait until it has finished, or stop it"
        ) from None
    except OSError:
        # A file system without locks: Snakemake's own are all there is.
        os.close(descriptor)
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    _held.append(descriptor)
    return True
