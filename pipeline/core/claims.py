"""What a paper says, beside what a study's own results show.

A study decides every claim by comparing measured numbers, with a margin of two standard errors of
the difference where there are any. Here is what a claim is, how it is written to files, and how
claims stand in documents.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.core.files import write_json
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
    """What it is measured on, such as a model"""
    claim: str
    measured: str
    """The figures that decide it"""
    shows: str
    """``yes``, ``no`` or ``in part``"""


def claim(source: str, of: str, text: str, measured: str, shows: bool | None) -> Claim:
    """A claim that is shown, is not shown, or (None) is shown in part."""
    return Claim(source, of, text, measured, _WORDS[shows])


def all_of(parts: Iterable[bool]) -> bool | None:
    """Whether all parts of a claim hold; None if only some do."""
    each = list(parts)
    return True if all(each) else None if any(each) else False


def margin(*errors: float | None) -> float:
    """Two standard errors of a difference of independent numbers that have these.

    Of numbers of the same instances, which go together, it is more than that. None counts as 0.
    """
    return MARGIN * math.hypot(*(error or 0.0 for error in errors))


def rises(count: int, above: Callable[[int, int], bool]) -> bool | None:
    """Whether numbers rise along a row, which is judged alike wherever it is claimed.

    Shown, if the last is clearly above the first, and none clearly below the one before it; in
    part (None), if only the former holds, or if the last is clearly above another one.

    Args:
        count: of the numbers.
        above: whether the second of two, told by their places, is clearly above the first, such as
            by two standard errors of their difference.
    """
    last = count - 1
    if above(0, last):
        return None if any(above(i + 1, i) for i in range(last)) else True
    return None if any(above(i, last) for i in range(last)) else False


def clearly_above(
    means: Sequence[float], errors: Sequence[float | None]
) -> Callable[[int, int], bool]:
    """What :func:`rises` asks for, of independent means with these standard errors."""
    return lambda i, j: means[j] - means[i] > margin(errors[i], errors[j])


def write_claims(claims: Iterable[Claim], out: Path, table: Path, *, of: str = "of") -> None:
    """Write claims as JSON and as CSV.

    Args:
        claims: in the order of the files.
        out: the JSON file.
        table: the CSV file.
        of: the column's name for what a claim is measured on.
    """
    names = {name: of if name == "of" else name for name in COLUMNS}
    rows = [{names[name]: text for name, text in asdict(one).items()} for one in claims]
    write_table(table, list(names.values()), rows)
    write_json(out, rows)


def claims_by_row(claims: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table with one row per claim, which says what the claim is measured on.

    Args:
        claims: content of the JSON file.
    """
    rows = [[c["source"], c["claim"], c["of"], _shown(c)] for c in claims]
    return markdown_table(["", "the paper says", "on", "here"], rows)


def claims_by_model(claims: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table with one row per claim, and one column per model that it is measured on.

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
