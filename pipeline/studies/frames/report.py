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


def learning_table(accuracy: Any) -> str:
    """How well the models are trained, beside a linear classifier of mean features.

    Args:
        accuracy: content of ``frames/accuracy.json``.
    """
    rows = []
    for model in ("trn", "tsn"):
        found = accuracy[model]["learning"]
        shares = ("train", "validation", "linear_train", "linear_validation")
        told = "" if found["has_learned"] else " (has hardly learned)"
        rows.append([f"{model.upper()}{told}", *(f"{100 * found[name]:.1f} %" for name in shares)])
    heading = ["", "training clips", "validation clips"]
    return markdown_table([*heading, "linear: training clips", "validation clips"], rows)


def _time(seconds: float, sd: float) -> str:
    """Mean to three digits and standard deviation to two, in ms below one second."""
    factor, unit = (1000, "ms") if seconds < 1 else (1, "s")
    return f"{_digits(factor * seconds, 3)} ± {_digits(factor * sd, 2)} {unit}"


def _digits(value: float, digits: int) -> str:
    """Rounded to so many significant digits, and written without a power of ten."""
    return format(Decimal(f"{value:.{digits}g}"), "f")


TABLES = {
    "LEARNING": ("frames/accuracy.json", learning_table),
    "CLAIMS": ("frames/claims.json", claims_by_model),
    "RUNTIME": ("frames/runtime.json", runtime_table),
}
"""Tables that documents may hold, by name: the JSON file below the folder of results, and what
makes Markdown of its content."""
