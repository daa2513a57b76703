"""Stage: what pairs of frames are worth together, model by model.

Nothing is evaluated: interactions of two frames follow from the complete tables in the stores.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.data.something import read_order_pairs
from pipeline.studies.frames.accuracy import counterparts
from pipeline.studies.frames.figures.interactions import draw_interactions
from pipeline.studies.frames.interactions import (
    COLUMNS,
    GAMES,
    distance_rows,
    means_and_chosen,
    pair_blocks,
    videos_to_draw,
)
from pipeline.studies.frames.params import InteractionsParams
from pipeline.studies.frames.priors import read_class_names
from pipeline.studies.frames.values import read_values, store_behind, true_outputs

VERSION = 2


def main(
    *,
    receipts: list[Path],
    values: list[Path],
    classes: Path,
    params: InteractionsParams,
    out: Path,
    table: Path,
    figure: Path,
    root: Path | None = None,
) -> None:
    """Interactions in the stores of one or several models.

    The game ``order`` needs a data set that lists pairs of classes, and a store of all classes.
    ``out`` is JSON, ``table`` is CSV with one row per model, game and distance.
    """
    names = read_class_names(classes)
    pairs = counterparts([] if root is None else read_order_pairs(root), names)
    known = {found.game: found for found in map(read_values, values)}
    chosen = videos_to_draw(list(known.values()), params.videos)
    found: dict[str, dict[str, Any]] = {}
    drawn: dict[str, np.ndarray] = {}
    for (model, v), receipt in zip(known.items(), receipts, strict=True):
        with store_behind(receipt, v) as store:
            other = pairs[v.true_class]
            if store.output_classes is not None:  # the counterpart's score is not stored
                other = np.full_like(other, -1)
            of_videos = pair_blocks(store, true_outputs(store, v), other, params.index)
            places = [v.uids.index(uid) for uid in chosen]
            found[model], drawn[model] = means_and_chosen(of_videos, places)
    rows = [r for m in known for game in GAMES for r in distance_rows(m, game, found[m][game])]
    write_table(table, COLUMNS, rows)
    titles = [f"{uid}: {names[c]}" for uid, c in chosen.items()]
    first = next(iter(known.values()))
    unit, explained = first.unit, first.explained
    with figure_style():
        save(draw_interactions(drawn, titles, found, params.index, unit, explained), figure)
    write_json(out, plain({"index": params.index, "unit": unit, **found}))
