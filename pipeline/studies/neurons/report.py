"""Tables of the study of neurons in documents."""

from typing import Any

from pipeline.core.claims import claims_by_row
from pipeline.core.digits import apart
from pipeline.core.tables import markdown_table


def searches_table(search: Any) -> str:
    """Cost and recall of each search for the filters of largest values.

    Args:
        search: content of ``neurons/search.json``.
    """
    found = search["searches"]
    recalls = apart(*(row["recall"] for row in found))
    rows = [
        [row["method"], f"{row['evaluations']:,}", "yes" if row["decided"] else "no", recall]
        for row, recall in zip(found, recalls, strict=True)
    ]
    return markdown_table(["", "evaluations", "decided", "recall"], rows)


def costs_table(search: Any) -> str:
    """Cost of estimates of all values, by method.

    Args:
        search: content of ``neurons/search.json``.
    """
    found = search["costs"]
    errors, gains = (apart(*(row[name] for row in found)) for name in ("standard_error", "gain"))
    rows = [
        [row["method"], f"{row['evaluations']:,}", error, gain]
        for row, error, gain in zip(found, errors, gains, strict=True)
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
                " → ".join(apart(row[f"{group} before"], row[f"{group} after"]))
                for group in ("conflicting", "aligned", "both")
            ),
        ]
        for row in repair["chosen"]
    ]
    return markdown_table(["", "removed", "conflicting", "aligned", "both"], rows)


def short_table(faces: Any) -> str:
    """A face detector's accuracy without its five filters of largest values.

    Args:
        faces: content of ``neurons/faces.json``.
    """
    if faces["left_out"] is not None:
        return f"Left out: {faces['left_out']}."
    found = {
        (row["method"], row["removed"]): row["value"]
        for row in faces["overall"]
        if row["of"] == row["metric"] == "accuracy"
    }
    removed = min(5, max(number for _, number in found))
    cases = {
        "all filters": ("shapley", 0),
        f"without the {removed} of largest Shapley value": ("shapley", removed),
        f"without {removed} random ones": ("random", removed),
    }
    shares = [f"{100 * found[case]:.1f} %" for case in cases.values()]
    return markdown_table(["", *cases], [["accuracy", *shares]])


TABLES = {
    "NEURONS_SHORT": ("neurons/faces.json", short_table),
    "NEURONS_CLAIMS": ("neurons/claims.json", claims_by_row),
    "NEURONS_SEARCHES": ("neurons/search.json", searches_table),
    "NEURONS_COSTS": ("neurons/search.json", costs_table),
    "NEURONS_REPAIR": ("neurons/repair.json", repair_table),
}
"""Tables that documents may hold, by name: the JSON file below the folder of results, and what
makes Markdown of its content."""
