"""The ledger of a folder: which files Snakemake's records describe, and what is settled.

An entry says how a stage's files were made: Snakemake's own records of these files are of that
making. It is struck before a job makes any of them anew.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.core.files import write_json
from pipeline.workflow.made import Making

FILE = Path(".snakemake/tracked.json")
FORCED = "forced"
SETTLED = "settled"


def read() -> dict[str, Any]:
    """The ledger of the working directory; empty if there is none, or none that can be read."""
    try:
        content = json.loads(FILE.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write(ledger: Mapping[str, Any]) -> None:
    """Write it, whole or not at all."""
    write_json(FILE, ledger)


def entry(making: Making) -> dict[str, Any]:
    """What the ledger says of a stage."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(making)))
    return found


def read_entry(ledger: Mapping[str, Any], name: str) -> Making | None:
    """The inverse of :func:`entry`; None if nothing is said of the stage."""
    try:
        return Making(**ledger[name])
    except (KeyError, TypeError):
        return None


def identity(file: str) -> list[int]:
    """Tells a file from one that is put in its place."""
    try:
        found = Path(file).stat()
    except OSError:
        return []
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def signature(values: object, paths: Iterable[str]) -> str:
    """Tells by values, sizes and times whether anything was changed; no file is read.

    Args:
        values: what can be written as JSON.
        paths: files and directories, there or not.
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in sorted(set(paths)):
        for line in _listing(Path(path)):
            digest.update(line.encode())
    return digest.hexdigest()


def _listing(path: Path) -> Iterator[str]:
    if not path.is_dir():
        yield f"{path} {identity(str(path))}\n"
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = str(Path(folder, name))
            yield f"{file} {identity(file)}\n"
