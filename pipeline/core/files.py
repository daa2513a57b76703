"""Writes files whole or not at all, and computes digests of arrays."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place if the block succeeds.

    The temporary path keeps the suffix, for writers that derive the format from it. After an
    exception, the temporary file is removed and ``path`` is unchanged. Leftovers of a killed
    process are removed by the next one that writes the same file. Only one process may write a file
    at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Give an empty directory beside ``path`` that takes its place if the block succeeds.

    After an exception, ``path`` is unchanged. If ``path`` is a link, the link is replaced and its
    target stays. Leftovers of a killed process are removed by the next one. Only one process may
    write a directory at a time.
    """
    new, old = (path.with_name(f".{path.name}.{suffix}.partial") for suffix in ("new", "old"))
    for leftover in (new, old):
        _remove(leftover)
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists() or path.is_symlink():
            path.rename(old)
        new.rename(path)
        _remove(old)
    finally:
        _remove(new)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON (UTF-8, indented, NaN refused), whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def array_digest(arrays: Iterable[np.ndarray]) -> str:
    """sha256 over dtype, shape and bytes of each array in turn, as hex."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
