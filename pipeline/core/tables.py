"""Tables for people and spreadsheets: CSV, whole or not at all."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.files import replacing

DIGITS = 7
"""Significant digits of a number in a table."""

NONE = "–"
"""What stands in a document's cell of which the results say nothing."""


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV.

    Args:
        path: the file.
        columns: names of the columns, in order.
        rows: a value for each column. Of a float seven digits are written; None and NaN are left
            empty.
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
    """What a record or an array holds as what JSON can say; None for NaN and Inf."""
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
    """Write a Markdown table, one line a row.

    Args:
        columns: the headings; any may be empty.
        rows: a cell for each column. What would end a cell or a line is escaped.
    """
    return "\n".join([_line(columns), f"|{'---|' * len(columns)}", *map(_line, rows)])


def _line(values: Sequence[object]) -> str:
    cells = (" ".join(str(value).split()).replace("|", r"\|") for value in values)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
