"""Stage: the class score that is left as frames are discarded (Figs. 3 and 12).

All remaining sequences are coalitions. Their scores are read from the store, without evaluations.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.studies.frames.discard import (
    AREA_COLUMNS,
    CURVE_COLUMNS,
    comparisons,
    curve_rows,
    mean_areas,
    read_attributions,
    stored_curves,
)
from pipeline.studies.frames.params import DiscardParams
from pipeline.studies.frames.values import read_values, store_behind

VERSION = 2


def main(
    *,
    receipts: list[Path],
    values: list[Path],
    gradients: list[Path],
    params: DiscardParams,
    out: Path,
    curves: Path,
    areas: Path,
) -> None:
    """Curves and the areas under them, of one or several models (files in one order).

    ``gradients`` may be empty; their orders are left out then. ``curves`` and ``areas`` are CSV;
    ``out`` (JSON) holds the areas and their comparisons.
    """
    rows, area_rows = list[dict[str, Any]](), list[dict[str, Any]]()
    found: dict[str, Any] = {"comparisons": {}}
    of_models: Sequence[Path | None] = gradients or [None] * len(values)
    for receipt, of_values, of_gradients in zip(receipts, values, of_models, strict=True):
        known = read_values(of_values)
        model = known.game
        attributions = read_attributions(known, of_gradients)
        orders = attributions, params.random_orders, params.seed
        with store_behind(receipt, known) as store:
            by_order = stored_curves(store, known, *orders)
        found["unit"], found["explained"] = known.unit, known.explained
        found[model] = {order: mean_areas(curve) for order, curve in by_order.items()}
        found["comparisons"][model] = comparisons(by_order)
        for order, curve in by_order.items():
            named = {"model": model, "order": order}
            rows += [named | row for row in curve_rows(curve)]
            area_rows.append(named | found[model][order])
    write_table(curves, CURVE_COLUMNS, rows)
    write_table(areas, AREA_COLUMNS, area_rows)
    write_json(out, plain(found))
