"""Stage: patterns in the values of all videos.

* How much a frame adds, by the size of the coalition that it joins (Figs. 6a and 11a).
* Which positions in a class's videos have the higher values, for TRN beside TSN; on which classes
  the two models are most and least alike (Figs. 13 and 14).
* Which frames of misclassified videos support the true class (δ_i, supplement A.1).
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.studies.frames import patterns
from pipeline.studies.frames.confusions import confused_pairs, confusions, summarise
from pipeline.studies.frames.params import PatternsParams
from pipeline.studies.frames.paths import MODELS
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
    contributions: Path,
    positions: Path,
    pairs: Path,
) -> None:
    """Read the values and stores of TRN and TSN (files in this order).

    ``out`` is JSON. The others are CSV: one row per size, per class and per pair of classes.
    """
    classes, _ = read_priors(priors)
    known = {model: read_values(path) for model, path in zip(MODELS, values, strict=True)}
    sizes, confused, summaries = dict[str, Any](), list[dict[str, Any]](), dict[str, Any]()
    for (model, v), path, receipt in zip(known.items(), values, receipts, strict=True):
        sizes[model] = patterns.size_rows(model, *patterns.by_size(v, path, receipt, params))
        wrong = confusions(v.esv_true, v.esv_predicted, v.true_class, v.predicted_class)
        confused += patterns.pair_rows(model, confused_pairs(wrong), classes)
        summaries[model] = asdict(summarise(wrong))
    alike = patterns.positions(known, classes, params)
    write_table(contributions, patterns.SIZE_COLUMNS, [row for m in MODELS for row in sizes[m]])
    write_table(positions, patterns.CLASS_COLUMNS, alike["classes"])
    write_table(pairs, patterns.PAIR_COLUMNS, confused)
    found = {"contributions": sizes, "positions": alike, "confusions": summaries}
    write_json(out, plain({"unit": known["trn"].unit, **found}))
