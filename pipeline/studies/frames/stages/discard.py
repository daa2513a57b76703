"""Stage: what is left of the class score as frames are discarded (Figs. 3 and 12).

All sequences that are left are coalitions, and their scores are read from the store: nothing is
evaluated.
"""

from pathlib import Path
from typing import Any

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.progress import progress
from pipeline.core.tables import plain, write_table
from pipeline.studies.frames.discard_stage import (
    ACCURACY_COLUMNS,
    AREA_COLUMNS,
    CURVE_COLUMNS,
    areas_of_stage,
    comparisons,
    curves_of_stage,
    line_of_stage,
    order_masks,
    point,
    store_of,
)
from pipeline.studies.frames.figures.analyses import DISCARD_GROUPS, DiscardLine, draw_discarding
from pipeline.studies.frames.params import DiscardParams
from pipeline.studies.frames.values import read_values

VERSION = 1


def main(
    *,
    receipts: list[Path],
    values: list[Path],
    gradients: list[Path],
    params: DiscardParams,
    out: Path,
    table: Path,
    areas: Path,
    figures: Path,
    threads: int = 1,  # noqa: ARG001
) -> None:
    """Curves and the areas under them, of TRN and TSN (files in this order).

    ``table`` has the curves and ``areas`` the areas (CSV), ``out`` the latter as JSON; figures are
    written below ``figures``, a PNG and an SVG for each group of orders.
    """
    lines: dict[str, dict[str, DiscardLine]] = {}
    compared: dict[str, dict[str, dict[str, float]]] = {}
    rows: list[dict[str, Any]] = []
    found: dict[str, Any] = {}
    unit = ""
    for name, receipt, of_values, of_gradients in zip(
        ("trn", "tsn"), receipts, values, gradients, strict=True
    ):
        known = read_values(of_values)
        unit = known.unit
        masks = order_masks(known, of_gradients, params)
        with (
            store_of(receipt, known) as store,
            progress(f"frames_discarded {name}", len(store), "videos") as advance,
        ):
            curves_of = curves_of_stage(store, known, masks, advance)
        lines[name] = {order: line_of_stage(of_order) for order, of_order in curves_of.items()}
        found[name] = {order: areas_of_stage(of_order) for order, of_order in curves_of.items()}
        compared[name] = comparisons(curves_of)
        rows += [
            {"model": name, "order": order, "discarded": k, **point(line, k)}
            for order, line in lines[name].items()
            for k in range(len(line.score))
        ]
    write_table(table, (*CURVE_COLUMNS, *ACCURACY_COLUMNS), rows)
    of_areas = [
        {"model": model, "order": order, **area}
        for model, orders in found.items()
        for order, area in orders.items()
    ]
    write_table(areas, (*AREA_COLUMNS, *ACCURACY_COLUMNS), of_areas)
    with figure_style():
        for group, orders in DISCARD_GROUPS.items():
            figure = draw_discarding(lines, orders, unit=unit)
            save(figure, figures / f"discarded_{group}.png")
    write_json(out, plain({**found, "comparisons": compared}))
