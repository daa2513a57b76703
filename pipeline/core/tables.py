"""Tables of results: CSV files, written whole or not at all, and Markdown."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.files import replacing

DIGITS = 7
"""Significant digits of a number in a table."""

NONE = "–"
"""Content of a document's cell without a result."""


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV.

    Args:
        path: the file.
        columns: names of the columns, in order.
        rows: a value for each column. Floats get seven significant digits; None and NaN leave the
            cell empty.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_text(row[name]) for name in columns])


def _text(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{float(value):.{DIGITS}g}" if isinstance(value, float) else value


def plain(value: Any) -> Any:
    """The content of a record or an array as JSON types; None for NaN and Inf."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The text of a Markdown table, with one line per row.

    Args:
        columns: the headings; any may be empty.
        rows: a cell for each column. Line breaks become blanks, and ``|`` is escaped.
    """
    return "\n".join([_line(columns), f"|{'---|' * len(columns)}", *map(_line, rows)])


def _line(values: Sequence[object]) -> str:
    cells = (" ".join(str(value).split()).replace("|", r"\|") for value in values)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
