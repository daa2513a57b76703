"""Tables of the study of neurons in documents."""

from typing import Any

from pipeline.core.claims import claims_by_row
from pipeline.core.tables import NONE, markdown_table


def searches_table(search: Any) -> str:
    """What it takes to find the filters of largest values.

    Args:
        search: content of ``neurons/search.json``.
    """
    rows = [
        [
            row["method"],
            f"{row['evaluations']:,}",
            "yes" if row["decided"] else "no",
            f"{row['recall']:.2f}",
        ]
        for row in search["searches"]
    ]
    return markdown_table(["", "evaluations", "decided", "recall"], rows)


def costs_table(search: Any) -> str:
    """What estimates of all values cost.

    Args:
        search: content of ``neurons/search.json``.
    """
    rows = [
        [
            row["method"],
            f"{row['evaluations']:,}",
            f"{row['standard_error']:.4f}",
            NONE if row["gain"] is None else f"{row['gain']:.1f}",
        ]
        for row in search["costs"]
    ]
    return markdown_table(["", "evaluations", "standard error", "gain"], rows)


def repair_table(repair: Any) -> str:
    """Accuracy by subgroup before and after filters were removed.

    Args:
        repair: content of ``neurons/repair.json``.
    """
    rows = [
        [
            row["method"],
            str(row["removed"]),
            *(
                f"{row[f'{group} before']:.2f} → {row[f'{group} after']:.2f}"
                for group in ("conflicting", "aligned", "both")
            ),
        ]
        for row in repair["chosen"]
    ]
    return markdown_table(["", "removed", "conflicting", "aligned", "both"], rows)


TABLES = {
    "NEURONS_CLAIMS": ("neurons/claims.json", claims_by_row),
    "NEURONS_SEARCHES": ("neurons/search.json", searches_table),
    "NEURONS_COSTS": ("neurons/search.json", costs_table),
    "NEURONS_REPAIR": ("neurons/repair.json", repair_table),
}
"""Tables that documents may hold, by name: the JSON file below the folder of results, and what
makes Markdown of its content."""
