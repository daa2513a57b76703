"""Commands of the study of Shapley explanation networks that people call by hand."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from pipeline.core.errors import InputError

COMMANDS: tuple[Callable[..., None], ...] = ()
"""None of its own: ``explain`` takes tables, too."""


def explain_table(
    path: Path, row: int | None, network: str, out: Path | None, params: Path, results: Path
) -> None:
    """Explain a row of a table: a table in print and a picture."""
    # Here, and not above: `store` should not wait for torch to load.
    from pipeline.studies.shapnets.explain import draw_row, explain_row, row_table  # noqa: PLC0415
    from pipeline.workflow.params import load  # noqa: PLC0415

    if row is None:
        raise InputError(f"--row: which row of {path} is to be explained? The first is 1")
    target = out or Path(f"{path.stem}.row{row}.png")
    if target.suffix.lower() != ".png" or target.is_dir():
        raise InputError(f"--out: {target} must name a .png file (an .svg goes beside it)")
    found = explain_row(path, row, network, load(params).shapnets, results)
    draw_row(found, target)
    lines = [] if found.error is None else [f"Standard errors are at most {found.error:.2g}."]
    Console().print(row_table(found), *lines, f"Picture: {target}", sep="\n")
