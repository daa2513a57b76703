"""Tables of the study of frames in documents."""

from decimal import Decimal
from typing import Any

from pipeline.core.claims import claims_by_model
from pipeline.core.tables import markdown_table


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
    "CLAIMS": ("frames/claims.json", claims_by_model),
    "RUNTIME": ("frames/runtime.json", runtime_table),
}
"""Tables that documents may hold, by name: the JSON file below the folder of results, and what
makes Markdown of its content."""
