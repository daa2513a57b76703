"""Tables of results in documents.

A document holds a table between two comments on separate lines, which stay invisible on the page::

    <!-- CLAIMS -->
    | … |
    <!-- /CLAIMS -->

The lines between them are written from the results. The function comes from ``TABLES`` in a study's
module ``report``, under the same name. All other lines stay unchanged. To add a table, add a
function and its entry in ``TABLES``.

Benchmarks take too long to be part of the results. The measurements of one run are recorded in
``docs/results/recorded/<name>.json``; they are table ``RECORDED_<NAME>``.
"""

import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.core.tables import markdown_table
from pipeline.studies import STUDIES

_MARKER = re.compile(r"^<!--[ \t]*(/?)([A-Z][A-Z0-9_]*)[ \t]*-->[ \t]*$", re.MULTILINE)


RECORDED = Path(__file__).parents[2] / "docs/results/recorded"


class Table(NamedTuple):
    """A table that documents may hold."""

    result: str | Path
    """the JSON file that Snakemake makes, relative to the folder of results; or the absolute path
    of recorded measurements"""
    write: Callable[[Any], str]
    """turns the file's content into Markdown"""


class Written(NamedTuple):
    """A document with its tables updated from the results."""

    path: Path
    text: str
    tables: tuple[str, ...]
    """names of the tables in it, in order"""
    outdated: tuple[str, ...]
    """those of the tables that differed from the results"""
    left: tuple[str, ...] = ()
    """tables left unchanged, since their studies have no results"""


def _tables() -> dict[str, Table]:
    """Tables of all studies that have a module ``report``."""
    found: dict[str, Table] = {}
    for study in STUDIES:
        name = f"pipeline.studies.{study}.report"
        if importlib.util.find_spec(name) is not None:
            own = importlib.import_module(name).TABLES
            found |= {table: Table(*of_table) for table, of_table in own.items()}
    for path in sorted(RECORDED.glob("*.json")):
        found[f"RECORDED_{path.stem.upper()}"] = Table(path, recorded_table)
    return found


def recorded_table(record: Any) -> str:
    """A table of one benchmark run's measurements, with its command, machine and date.

    Args:
        record: ``columns`` and ``rows`` of text, ``command``, ``machine`` and ``date``.
    """
    table = markdown_table(record["columns"], record["rows"])
    source = f"`{record['command']}`, {record['machine']}, {record['date']}"
    return f"{table}\n\n*{source}.*"


TABLES = _tables()
"""Tables that documents may hold, by name."""


def default_documents(root: Path) -> list[Path]:
    """``README.md``, ``docs/*.md`` and ``docs/results/*.md`` below a folder."""
    found = [root / "README.md"]
    for folder in ("docs", "docs/results"):
        found += sorted((root / folder).glob("*.md"))
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


def write_documents(
    documents: Iterable[Path], results: Path, *, check: bool = False
) -> list[Written]:
    """Update the tables of results in documents.

    Writes only documents that change, and nothing if any table cannot be made.

    Args:
        documents: Markdown files in UTF-8.
        results: the folder of results.
        check: write nothing, only report.

    Returns:
        The documents, in order.

    Raises:
        InputError: a document cannot be read or has a marker without its pair; a result is missing
            or has another form than its stage writes.
    """
    made: dict[str, str] = {}
    found = [_with_tables(path, results, made) for path in documents]
    if not check:
        for document in found:
            if document.outdated:
                with replacing(document.path) as temporary:
                    temporary.write_bytes(document.text.encode())
    return found


def _with_tables(path: Path, results: Path, made: dict[str, str]) -> Written:
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    parts, names, outdated, left = [], [], [], []
    end = 0
    for name, start, stop in _places(path, text):
        result = Path(TABLES[name].result)
        if not result.is_absolute() and not (results / result.parts[0]).is_dir():
            left.append(name)
            continue
        if name not in made:
            made[name] = _made(name, results)
        table = f"\n{made[name]}\n"
        parts += [text[end:start], table]
        names.append(name)
        if text[start:stop] != table:
            outdated.append(name)
        end = stop
    text = "".join([*parts, text[end:]])
    return Written(path, text, tuple(names), tuple(outdated), tuple(left))


def _places(path: Path, text: str) -> list[tuple[str, int, int]]:
    """Name of each table, with the start and stop of the text between its markers."""
    markers = list(_MARKER.finditer(text))
    closed = {marker[2] for marker in markers if marker[1]}
    # A single marker with an unknown name is an ordinary comment.
    markers = [marker for marker in markers if marker[2] in TABLES or marker[2] in closed]
    places = []
    for first, second in zip_longest(markers[::2], markers[1::2]):
        name, line = first[2], text.count("\n", 0, first.start()) + 1
        if first[1] or second is None or not second[1] or second[2] != name:
            raise InputError(
                f"{path}, line {line}: {first[0].strip()} has no other half; put a table between "
                f"<!-- {name} --> and <!-- /{name} -->, with no other markers inside"
            )
        if name not in TABLES:
            raise InputError(
                f"{path}, line {line}: no table is called {name}; there are {', '.join(TABLES)}"
            )
        places.append((name, first.end(), second.start()))
    return places


def _made(name: str, results: Path) -> str:
    table = TABLES[name]
    path = results / table.result
    command = f"uv run snakemake --cores all results/{table.result}"
    try:
        return table.write(json.loads(path.read_bytes()))
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; table {name} needs it; make it with: {command}"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not usable for table {name} ({type(error).__name__}: {error}); "
            f"make it again with: {command}"
        ) from error
