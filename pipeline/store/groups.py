"""What opening, reading and writing a store have in common."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from pipeline.core.errors import InputError

Stamp = tuple[int, int, int]
"""Device, inode and modification time of a store's metadata."""


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a group. Raises KeyError if it is missing, TypeError if it is not an array."""
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{name!r} is not an array")
    return array


def texts_of(group: zarr.Group, name: str) -> tuple[str, ...]:
    """The texts of a string array of a group."""
    return tuple(str(text) for text in np.asarray(array_of(group, name)[:]))


@contextmanager
def refusing_full_disk(path: str) -> Iterator[None]:
    """Turn the system's error for a full disk into an InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{path}: the disk is full ({error.strerror}); finished instances are kept. Make room "
            f"and run again: only the rest is computed"
        ) from error


def stamp_of(path: Path) -> Stamp | None:
    """A mark that differs between plans at the same path; None if there is no store."""
    try:
        status = (path / "zarr.json").stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def first_line(reason: object) -> str:
    """What went wrong, in one line without a full stop."""
    text = str(reason).strip() or type(reason).__name__
    return text.splitlines()[0].rstrip(".")
