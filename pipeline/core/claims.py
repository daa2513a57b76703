"""Claims of a paper, with what a study's own results show.

A study decides every claim by comparing measured numbers. The margin is two standard errors of the
difference, if errors are known. This module defines claims and writes them to files and documents.
"""

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.core.files import replacing, write_json
from pipeline.core.statistics import MARGIN
from pipeline.core.tables import NONE, markdown_table, write_table

COLUMNS = ("source", "of", "claim", "measured", "shows")

_WORDS = {True: "yes", False: "no", None: "in part"}


@dataclass(frozen=True)
class Claim:
    """One claim of a paper."""

    source: str
    """Section or figure of the paper"""
    of: str
    """What the claim is measured on, such as a model"""
    claim: str
    measured: str
    """The numbers that decide the claim"""
    shows: str
    """``yes``, ``no`` or ``in part``"""


def claim(source: str, of: str, text: str, measured: str, shows: bool | None) -> Claim:
    """A claim that the results show (True), do not show (False) or show in part (None)."""
    return Claim(source, of, text, measured, _WORDS[shows])


def all_of(parts: Iterable[bool]) -> bool | None:
    """True if all parts of a claim hold, None if only some do, False if none does."""
    each = list(parts)
    return True if all(each) else None if any(each) else False


def margin(*errors: float | None) -> float:
    """Two standard errors of the difference of independent numbers with these standard errors.

    For positively correlated numbers, such as those of the same instances, this is more than two
    standard errors. None counts as 0.
    """
    return MARGIN * math.hypot(*(error or 0.0 for error in errors))


def rises(count: int, above: Callable[[int, int], bool]) -> bool | None:
    """Whether a sequence of numbers rises. All claims of a rise use this rule.

    True if the last is clearly above the first, and none is clearly below its predecessor. None (in
    part) if only the former holds, or if the last is clearly above any other number.

    Args:
        count: length of the sequence.
        above: takes two indices; whether the second number is clearly above the first, such as by
            two standard errors of their difference.
    """
    last = count - 1
    if above(0, last):
        return None if any(above(i + 1, i) for i in range(last)) else True
    return None if any(above(i, last) for i in range(last)) else False


def clearly_above(
    means: Sequence[float], errors: Sequence[float | None]
) -> Callable[[int, int], bool]:
    """The argument ``above`` of :func:`rises`, for independent means with standard errors."""
    return lambda i, j: means[j] - means[i] > margin(errors[i], errors[j])


def write_claims(
    claims: Iterable[Claim],
    headline: Mapping[str, float | None],
    *,
    out: Path,
    table: Path,
    page: Path,
    metrics: Path,
    of: str = "of",
) -> None:
    """Write claims as JSON, as CSV and as an HTML page, and a study's headline numbers as JSON.

    Args:
        claims: the claims, in the order of the files.
        headline: few numbers, for `dvc metrics`. All studies share one table of 80 columns, so a
            name is short, no other study has it, and numbers are rounded to three decimals. A
            number may be unknown (None), such as the distance between values that are all equal.
        out: the JSON file.
        table: the CSV file.
        page: the HTML file.
        metrics: the JSON file of the headline numbers.
        of: name of the column that says what a claim is measured on.
    """
    names = {name: of if name == "of" else name for name in COLUMNS}
    rows = [{names[name]: text for name, text in asdict(one).items()} for one in claims]
    write_table(table, list(names.values()), rows)
    write_json(out, rows)
    with replacing(page) as temporary:
        temporary.write_text(_page(list(names.values()), rows), encoding="utf-8")
    rounded = {k: None if v is None else round(v, 3) for k, v in headline.items()}
    write_json(metrics, rounded)


_STYLE = """\
body { font: 14px/1.4 sans-serif; margin: 1em }
th, td { text-align: left; vertical-align: top; padding: .3em .8em; border-bottom: 1px solid #ccc }
td:last-child { font-weight: bold; white-space: nowrap }
"""


def _page(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    """A table as an HTML page, with one row per line."""
    lines = [[f"<th>{html.escape(name)}</th>" for name in columns]]
    lines += [[f"<td>{html.escape(row[name])}</td>" for name in columns] for row in rows]
    table = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in lines)
    head = f'<meta charset="utf-8"><title>Claims of the paper</title><style>\n{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n{head}\n<table>\n{table}\n</table>\n</html>\n'


def claims_by_row(claims: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table with one row per claim, and a column for what it is measured on.

    Args:
        claims: content of the JSON file.
    """
    rows = [[c["source"], c["claim"], c["of"], _shown(c)] for c in claims]
    return markdown_table(["", "the paper says", "on", "here"], rows)


def claims_by_model(claims: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table with one row per claim and one column per model.

    Args:
        claims: content of the JSON file, with the column ``model``.
    """
    models = sorted({one["model"] for one in claims})
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for one in claims:
        cells.setdefault((one["source"], one["claim"]), {})[one["model"]] = _shown(one)
    rows = [
        [source, said, *(of_models.get(model, NONE) for model in models)]
        for (source, said), of_models in cells.items()
    ]
    return markdown_table(["", "the paper says", *models], rows)


def _shown(one: Mapping[str, str]) -> str:
    return f"**{one['shows']}**: {one['measured']}"
