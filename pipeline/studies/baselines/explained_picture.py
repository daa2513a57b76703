"""One picture's explanation for people: a table of its areas, and a figure."""

import re
from pathlib import Path

import numpy as np
from rich.table import Table

from pipeline.core.digits import signed, significant
from pipeline.core.errors import InputError
from pipeline.core.plotting import figure_style, save
from pipeline.shapley.methods import TITLES
from pipeline.store.explanations import Effort
from pipeline.studies.baselines.figures.own_picture import draw_picture
from pipeline.studies.baselines.own_picture import (
    Absent,
    PictureExplanation,
    explain_own_picture,
)
from pipeline.workflow.params import load


def explained_picture(
    path: Path,
    out: Path | None,
    *,
    model: str,
    areas: str,
    absent: Absent,
    score: str | None,
    class_name: str | None,
    weights: Path | None,
    effort: Effort,
    params: Path,
    results: Path,
    device: str | None,
) -> tuple[Table, list[str], Path]:
    """Explain a picture and draw it; return its table, remarks, and the path of the figure.

    Args:
        path, model, areas, absent, class_name, weights, effort, results: as for
            :func:`pipeline.studies.baselines.own_picture.explain_own_picture`.
        out: path of the figure; None: ``<file's name>.<model>.<areas>.<absent>.png`` here.
        score: ``probability`` (None) or ``logit``.
        params, device: the file of parameters; its device if ``device`` is None.
    """
    score = score or "probability"
    if score not in ("probability", "logit"):
        raise InputError(f"--score: {score} is of trn and tsn; choose probability or logit")
    found = explain_own_picture(
        path,
        model,
        areas=areas,
        absent=absent,
        score=score,
        weights=weights,
        class_name=class_name,
        effort=effort,
        results=results,
        device=device or load(params).device,
    )
    unit = score if model.startswith("torchvision:") else "score"
    name = "-".join(re.sub(r"[^\w.-]+", "-", text) for text in (model, areas))
    target = out or Path(f"{path.name}.{name}.{absent}.png")
    with figure_style():
        save(draw_picture(found, path.name, unit), target)
    estimate, n = found.estimate, len(found.estimate.values)
    kind = "exact" if found.is_exact else f"estimated ({TITLES[estimate.method]})"
    return (
        picture_table(found, model, unit),
        [
            f"Values are {kind}, from {estimate.evaluations:,} of {2**n:,} coalitions. "
            f"Absent areas: {absent}."
        ],
        target,
    )


def picture_table(found: PictureExplanation, model: str, unit: str) -> Table:
    """Table with areas as rows: Shapley values of both classes, and sums of gradients.

    Below the areas: the sums, the scores without any area and those of the whole picture.
    """
    values, errors = found.estimate.values, found.estimate.standard_errors
    gradients = [found.of_areas(g) for g in (found.gradients, found.shapley_gradients)]
    scale = float(np.abs(values).max())
    table = Table(title=f"Shapley values of areas, {model} ({unit})", title_style="bold")
    table.add_column("area", justify="right")
    for number, name in enumerate(found.classes):
        table.add_column(f"{'predicted: ' if number == 0 else ''}{name}", justify="right")
    table.add_column("Integrated Gradients", justify="right")
    table.add_column("Shapley IG", justify="right")
    for area in range(len(values)):
        cells = []
        for value, error in zip(values[area], errors[area], strict=True):
            text = f"[{'red' if value > 0 else 'blue'}]{signed(value, scale, 3)}[/]"
            cells.append(text if found.is_exact else f"{text} ± {significant(float(error), 2)}")
        cells += [signed(float(sums[area]), scale, 3) for sums in gradients]
        table.add_row(str(area), *cells)
    table.add_section()
    sums = [*values.sum(axis=0), *(g.sum() for g in gradients)]
    table.add_row("sum", *(signed(float(total), scale, 3) for total in sums))
    table.add_row("no areas", *(signed(float(s), scale, 3) for s in found.empty), "", "")
    table.add_row(
        "all areas", *(f"[bold]{signed(float(s), scale, 3)}[/]" for s in found.scores), "", ""
    )
    return table
