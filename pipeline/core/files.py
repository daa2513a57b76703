"""Files that appear whole or not at all, and digests of arrays."""

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

    The suffix is kept, for writers that read the file's kind off it. After an exception nothing is
    left, and what stood at ``path`` still stands. What a killed process left behind is swept by
    the next that writes the same file; no two may write it at once.
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

    After an exception what stood at ``path`` still stands. A link there is replaced itself, not
    what it leads to. What a killed process left behind is swept by the next; no two processes may
    write the same directory at once.
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
    """Write JSON (UTF-8, indented, NaN refused) so that the file is never seen half-written."""
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
