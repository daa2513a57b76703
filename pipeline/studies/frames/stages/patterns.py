"""Stage: what the values of all videos say together.

* How much a frame adds by the size of the coalition that it joins (Figs. 6a and 11a).
* Which positions of a class's videos have the higher values, for TRN beside TSN; which classes the
  two models are most and least alike on (Figs. 13 and 14).
* Of wrongly classified videos, which frames speak for the true class (δ_i, supplement A.1).
"""

from dataclasses import asdict
from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.studies.frames.confusions import confused_pairs, confusions, summarise
from pipeline.studies.frames.figures.analyses import draw_contributions
from pipeline.studies.frames.figures.comparisons import draw_confusions, draw_position_maps
from pipeline.studies.frames.params import PatternsParams
from pipeline.studies.frames.patterns import (
    CLASS_COLUMNS,
    MODELS,
    PAIR_COLUMNS,
    SIZE_COLUMNS,
    by_size,
    pair_rows,
    positions,
    size_rows,
)
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.values import read_values

VERSION = 1


def main(
    *,
    receipts: list[Path],
    values: list[Path],
    priors: Path,
    params: PatternsParams,
    out: Path,
    tables: Path,
    figures: Path,
    threads: int = 1,  # noqa: ARG001
) -> None:
    """Read the values and stores of TRN and TSN (files in this order).

    ``out`` is JSON; ``tables`` is a folder of CSV files, ``figures`` one of PNGs with their SVGs.
    """
    classes, _ = read_priors(priors)
    of_model = {name: read_values(path) for name, path in zip(MODELS, values, strict=True)}
    unit = of_model["trn"].unit
    sizes = {
        name: by_size(of_model[name], path, receipt, params)
        for name, path, receipt in zip(MODELS, values, receipts, strict=True)
    }
    wrong = {
        name: confusions(v.esv_true, v.esv_predicted, v.true_class, v.predicted_class)
        for name, v in of_model.items()
    }
    summaries = {name: summarise(found) for name, found in wrong.items()}
    alike = positions(of_model, classes, params)
    write_table(
        tables / "contributions.csv",
        SIZE_COLUMNS,
        [row for name, (boxes, means) in sizes.items() for row in size_rows(name, boxes, means)],
    )
    write_table(tables / "positions.csv", CLASS_COLUMNS, alike["classes"])
    write_table(
        tables / "confusions.csv",
        PAIR_COLUMNS,
        [row for name in MODELS for row in pair_rows(name, confused_pairs(wrong[name]), classes)],
    )
    with figure_style():
        boxes_of = {name: boxes for name, (boxes, _) in sizes.items()}
        what = "marginal contribution, true class"
        save(
            draw_contributions(boxes_of, unit=unit, what=what),
            figures / "contributions.png",
        )
        for which in ("most", "least"):
            chosen = [(number, classes[number]) for number in alike[which]]
            figure = draw_position_maps(
                alike["maps"],
                chosen,
                alike["counts"],
                title=f"Classes on which the two models are {which} alike",
            )
            save(figure, figures / f"{which}_alike.png")
        save(draw_confusions(summaries, unit=unit), figures / "confusions.png")
    write_json(
        out,
        plain(
            {
                "contributions": {name: size_rows(name, *sizes[name]) for name in MODELS},
                "positions": {
                    "classes": alike["classes"],
                    "most_alike": [classes[c] for c in alike["most"]],
                    "least_alike": [classes[c] for c in alike["least"]],
                    "maps": dict(alike["maps"]),
                },
                "confusions": {name: asdict(summary) for name, summary in summaries.items()},
            }
        ),
    )
