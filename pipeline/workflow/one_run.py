"""One run at a time in a folder."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.core.errors import InputError

FILE = Path(".snakemake/running")
HOLDER = Path(".snakemake/running.pid")

_held: list[FileLock] = []
"""The lock while this process holds it; the system lets go of it with the process."""


def hold() -> bool:
    """Hold the working directory until this process ends; False where there are no such locks.

    Raises InputError if another process holds it.
    """
    if _held:
        return True
    FILE.parent.mkdir(exist_ok=True)
    lock = FileLock(FILE, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        holder = HOLDER.read_text().strip() if HOLDER.exists() else "unknown"
        raise InputError(
            f"another snakemake (process {holder}) is at work in {Path.cwd()}; nothing was "
            "changed. Wait until it has finished, or stop it"
        ) from None
    except (OSError, NotImplementedError):
        # A file system without locks: Snakemake's own are all there is.
        return False
    HOLDER.write_text(f"{os.getpid()}\n")
    _held.append(lock)
    return True
