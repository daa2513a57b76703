"""One run at a time in a folder, also where runs are killed."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.core.errors import InputError

_HELD: list[FileLock] = []
"""The lock on the working directory; the system lets go of it with the process."""


def hold_folder() -> None:
    """Hold the working directory until this process ends, where the file system has locks.

    The locks of runs that were killed are removed. Raises InputError if another process holds it.
    """
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    lock, holder = FileLock(folder / "running"), folder / "running.pid"
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"another snakemake (process {holder.read_text().strip()}) is at work in {Path.cwd()}; "
            "nothing was changed. Wait until it has finished, or stop it"
        ) from None
    except (OSError, NotImplementedError):
        return
    _HELD.append(lock)
    holder.write_text(f"{os.getpid()}\n")
    for left in (folder / "locks").glob("*.lock"):
        left.unlink(missing_ok=True)
