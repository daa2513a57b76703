"""Stage: attributions of pictures beside exact Shapley values of their areas.

Insertion and deletion curves are looked up in the stores, too: nothing is evaluated.
"""

from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.store.evaluation import StoredGame
from pipeline.store.vouching import believing
from pipeline.studies.baselines.figures.pictures import draw_curves, draw_measures
from pipeline.studies.baselines.params import AgreementParams
from pipeline.studies.baselines.picture_agreement import (
    MARGIN,
    MEASURES,
    PICTURE_COLUMNS,
    Compared,
    between,
    compare,
    differences,
    picture_rows,
    summary,
    summary_columns,
)
from pipeline.studies.baselines.picture_attributions import Attributions, read_attributions

VERSION = 1


def main(
    *,
    attributions: list[Path],
    receipts: list[Path],
    params: AgreementParams,
    out: Path,
    table: Path,
    pictures: Path,
    figures: Path,
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Compare all methods of each model.

    ``attributions`` and ``receipts`` are of the same models in the same order. ``out`` is JSON,
    ``table`` CSV with a row a model and method, ``pictures`` CSV with a row a picture and method;
    ``agreement`` and ``insertion`` are drawn below ``figures``.
    """
    if len(attributions) != len(receipts):
        raise InputError(
            f"{len(attributions)} files of attributions and {len(receipts)} receipts: as many of "
            "one as of the other are needed"
        )
    found: dict[str, tuple[Attributions, list[Compared]]] = {}
    for path, receipt in zip(attributions, receipts, strict=True):
        known = read_attributions(path)
        with believing(receipt) as store:
            if store.record.identity != known.identity or store.instances != known.instances:
                raise InputError(
                    f"{path}: holds attributions of other pictures or another game than "
                    f"{store.path}; run baselines_attributions first"
                )
            games = [StoredGame(store, i) for i in range(len(store))]
            found[known.model] = known, compare(known, games, params.ink)
    rows = [summary(model, one) for model, (_, all_) in found.items() for one in all_]
    paired = [row for model, (_, all_) in found.items() for row in differences(model, all_)]
    write_table(table, summary_columns(), rows)
    write_table(
        pictures, PICTURE_COLUMNS, [row for pair in found.values() for row in picture_rows(*pair)]
    )
    units = {model: known.unit for model, (known, _) in found.items()}
    with figure_style():
        save(draw_measures(rows, units), figures / "agreement.png")
        save(
            draw_curves({model: all_ for model, (_, all_) in found.items()}, units),
            figures / "insertion.png",
        )
    described: dict[str, Any] = {
        name: {"title": measure.title, "best": measure.best} for name, measure in MEASURES.items()
    }
    curves = [
        {"model": model, "method": one.method, "insertion": one.insertion, "deletion": one.deletion}
        for model, (_, all_) in found.items()
        for one in all_
    ]
    content = {
        "measures": described,
        "margin_standard_errors": MARGIN,
        "units": units,
        "rows": rows,
        "differences": paired,
        "between": [between(known) for known, _ in found.values()],
        "curves": [{name: plain(value) for name, value in curve.items()} for curve in curves],
    }
    write_json(out, plain(content))
