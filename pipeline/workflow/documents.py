"""Tables of results in documents.

A document holds a table between two comments on lines of their own, which nobody sees on the page::

    <!-- CLAIMS -->
    | … |
    <!-- /CLAIMS -->

What is between them is written from the results, by the function that :data:`TABLES` has for this
name; every other line is left as it is. A further table is one more function and its line there.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.core.tables import markdown_table
from pipeline.studies.baselines import report as baselines

_MARKER = re.compile(r"^<!--[ \t]*(/?)([A-Z][A-Z0-9_]*)[ \t]*-->[ \t]*$", re.MULTILINE)

NONE = "–"
"""What stands in a cell of which the results say nothing."""


class Table(NamedTuple):
    """A table that documents may hold."""

    result: str
    """the JSON file below the folder of results, as Snakemake makes it"""
    write: Callable[[Any], str]
    """makes Markdown of its content"""


class Written(NamedTuple):
    """A document, and what it is with the results' tables in it."""

    path: Path
    text: str
    tables: tuple[str, ...]
    """names of the tables in it, in order"""
    outdated: tuple[str, ...]
    """of these, the tables that were not as the results have them"""
    left: tuple[str, ...] = ()
    """tables of studies of which there are no results: left as they are"""


def claims_table(claims: Sequence[Any]) -> str:
    """What the paper says, a line a claim, beside whether each model shows it and by which figures.

    Args:
        claims: content of ``frames/claims.json``.
    """
    models = sorted({claim["model"] for claim in claims})
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for claim in claims:
        of_models = cells.setdefault((claim["source"], claim["claim"]), {})
        of_models[claim["model"]] = f"**{claim['shows']}**: {claim['measured']}"
    rows = [
        [source, said, *(of_models.get(model, NONE) for model in models)]
        for (source, said), of_models in cells.items()
    ]
    return markdown_table(["", "the paper says", *models], rows)


def runtime_table(runtime: Any) -> str:
    """Time of one video, here and in the paper: means ± standard deviations.

    Args:
        runtime: content of ``frames/runtime.json``.
    """
    gpu = runtime["paper_device"].partition(",")[0].removeprefix("NVIDIA ")
    rows = [
        [
            row["model"].upper(),
            row["frames"],
            row["configuration"],
            _time(row["seconds"], row["sd"]),
            _time(row["paper_seconds"], row["paper_sd"]),
        ]
        for row in runtime["rows"]
    ]
    return markdown_table(["", "frames", "", "here", f"paper ({gpu})"], rows)


def _time(seconds: float, sd: float) -> str:
    """Mean to three digits and standard deviation to two, in ms below one second."""
    factor, unit = (1000, "ms") if seconds < 1 else (1, "s")
    return f"{_digits(factor * seconds, 3)} ± {_digits(factor * sd, 2)} {unit}"


def _digits(value: float, digits: int) -> str:
    """Rounded to so many significant digits, and written without a power of ten."""
    return format(Decimal(f"{value:.{digits}g}"), "f")


TABLES = {
    "CLAIMS": Table("frames/claims.json", claims_table),
    "RUNTIME": Table("frames/runtime.json", runtime_table),
    "BASELINES_CLAIMS": Table("baselines/claims.json", baselines.claims_table),
    "BASELINES_RATIOS": Table("baselines/ratios.json", baselines.ratios_table),
    "BASELINES_PICTURES": Table("baselines/agreement.json", baselines.pictures_table),
    "BASELINES_RUNTIME": Table("baselines/runtime.json", baselines.runtime_table),
}
"""Tables that documents may hold, by name."""


def default_documents(root: Path) -> list[Path]:
    """``README.md`` and ``docs/*.md`` below a folder."""
    found = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


def write_documents(
    documents: Iterable[Path], results: Path, *, check: bool = False
) -> list[Written]:
    """Put the results' tables into documents.

    Nothing is written unless every table can be made, and no document that is as it should be.

    Args:
        documents: Markdown files in UTF-8.
        results: the folder of results.
        check: only tell what would be written.

    Returns:
        Each document, in order.

    Raises:
        InputError: a document that cannot be read or whose markers are not in pairs; a result
            that is not there or is not what its stage writes.
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
        raise InputError(f"{path}: not a document that can be read: {error}") from error
    parts, names, outdated, left = [], [], [], []
    end = 0
    for name, start, stop in _places(path, text):
        if not (results / Path(TABLES[name].result).parts[0]).is_dir():
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
    """Name of each table and what lies between its markers: where it starts and stops."""
    markers = list(_MARKER.finditer(text))
    closed = {marker[2] for marker in markers if marker[1]}
    # Of names that nobody knows, a single one is a comment like any other.
    markers = [marker for marker in markers if marker[2] in TABLES or marker[2] in closed]
    places = []
    for first, second in zip_longest(markers[::2], markers[1::2]):
        name, line = first[2], text.count("\n", 0, first.start()) + 1
        if first[1] or second is None or not second[1] or second[2] != name:
            raise InputError(
                f"{path}, line {line}: {first[0].strip()} has no other half; a table stands "
                f"between <!-- {name} --> and <!-- /{name} -->, and none within another"
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
            f"{path}, of which table {name} is made: {error.strerror}; make it by: {command}"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not what table {name} is made of ({type(error).__name__}: {error}); "
            f"make it anew by: {command}"
        ) from error
