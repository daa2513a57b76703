"""Allows only one run at a time in a folder, also after a run was killed."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.core.errors import InputError

_HELD: list[FileLock] = []
"""The lock on the working directory; the system releases it when the process ends."""


def hold_folder() -> None:
    """Lock the working directory until this process ends, if the file system has locks.

    Removes Snakemake's locks of killed runs. Raises InputError if another process holds the lock.
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
