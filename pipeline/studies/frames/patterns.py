"""Patterns in the values of all videos, as rows of tables.

* How much a frame adds, by the size of the coalition that it joins (Figs. 6a and 11a).
* Which positions in a class's videos have the higher values, for TRN beside TSN; on which classes
  the two models are most and least alike (Figs. 13 and 14).
* Which frames of misclassified videos support the true class (δ_i, supplement A.1).
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.statistics import mean_and_error
from pipeline.studies.frames.confusions import ConfusedPairs
from pipeline.studies.frames.contributions import single_contributions
from pipeline.studies.frames.params import PatternsParams
from pipeline.studies.frames.positions import (
    Likeness,
    likeness,
    most_and_least_alike,
    position_maps,
)
from pipeline.studies.frames.summaries import Boxes
from pipeline.studies.frames.values import (
    FrameValues,
    mean_marginals,
    store_behind,
    tables_at_once,
    true_outputs,
)

MOST_CONTRIBUTIONS = 8_000_000
"""The most marginal contributions of one size that are used, over all videos."""
SIZE_COLUMNS = (
    "model",
    "size",
    "contributions",
    "mean",
    "lower_whisker",
    "lower_quartile",
    "median",
    "upper_quartile",
    "upper_whisker",
    "outliers",
    "mean_of_frames",
    "mean_of_frames_error",
)
CLASS_COLUMNS = (
    "class",
    "videos",
    "difference",
    "standard_error",
    "by_chance",
    "p_value",
    "correlation",
    "drawn",
)
PAIR_COLUMNS = ("model", "true_class", "predicted_class", "videos", "mean_total", "for_true")


def by_size(
    values: FrameValues, path: Path, receipt: Path, params: PatternsParams
) -> tuple[Boxes, tuple[NDArray[Any], NDArray[Any]]]:
    """Boxes of single contributions, and their mean over frames with its error over videos."""
    with store_behind(receipt, values) as store:
        boxes = single_contributions(
            lambda some: store.read_many(range(some.start, some.stop)),
            true_outputs(store, values),
            store.record.n_players,
            at_most=max(1, min(2000, MOST_CONTRIBUTIONS // max(1, len(store)))),
            seed=params.seed,
            videos_at_once=tables_at_once(store),
        )
    return boxes, mean_and_error(mean_marginals(path))


def size_rows(
    model: str, boxes: Boxes, means: tuple[NDArray[Any], NDArray[Any]]
) -> list[dict[str, Any]]:
    """Results of :func:`by_size`, one row per size."""
    of_boxes = {
        "contributions": boxes.count,
        "mean": boxes.mean,
        "lower_whisker": boxes.lower_whisker,
        "lower_quartile": boxes.lower_quartile,
        "median": boxes.median,
        "upper_quartile": boxes.upper_quartile,
        "upper_whisker": boxes.upper_whisker,
        "outliers": boxes.outliers,
        "mean_of_frames": means[0],
        "mean_of_frames_error": means[1],
    }
    return [
        {"model": model, "size": size, **{k: v[size].item() for k, v in of_boxes.items()}}
        for size in range(len(boxes.mean))
    ]


def positions(
    of_model: dict[str, FrameValues], classes: tuple[str, ...], params: PatternsParams
) -> dict[str, Any]:
    """Position maps of both models over their common videos, and how alike they are.

    Returns:
        ``classes``: one row per class, the most alike first; ``most_alike`` and ``least_alike``:
        names of the classes to draw; ``maps``: for each model (class, n, n) per cent.
    """
    esv, labels = _in_common(of_model)
    found = likeness(
        esv["trn"], esv["tsn"], labels, len(classes), draws=params.draws, seed=params.seed
    )
    most, least = most_and_least_alike(found, params.classes, at_least=params.videos_at_least)
    return {
        "classes": _class_rows(found, classes, params.videos_at_least),
        "most_alike": [classes[c] for c in most],
        "least_alike": [classes[c] for c in least],
        "maps": {
            name: position_maps(of_videos, labels, len(classes))[0]
            for name, of_videos in esv.items()
        },
    }


def _in_common(
    of_model: dict[str, FrameValues],
) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """Values (video, frame) and classes (video,) of the videos that both models have."""
    first, second = of_model["trn"], of_model["tsn"]
    places = {uid: i for i, uid in enumerate(second.uids)}
    ours = [i for i, uid in enumerate(first.uids) if uid in places]
    theirs = [places[first.uids[i]] for i in ours]
    values = {"trn": first.esv_true[ours], "tsn": second.esv_true[theirs]}
    return values, first.true_class[ours]


def _class_rows(
    found: Likeness, classes: tuple[str, ...], videos_at_least: int
) -> list[dict[str, Any]]:
    columns = {
        "videos": found.videos,
        "difference": found.difference,
        "standard_error": found.standard_error,
        "by_chance": found.by_chance,
        "p_value": found.p_value,
        "correlation": found.correlation,
    }
    beyond_chance = found.difference - found.by_chance
    return [
        {
            "class": classes[c],
            **{name: column[c].item() for name, column in columns.items()},
            "drawn": bool(found.videos[c] >= videos_at_least) and not np.isnan(found.difference[c]),
        }
        for c in np.argsort(beyond_chance, kind="stable")
    ]


def pair_rows(model: str, pairs: ConfusedPairs, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Which class was mistaken for which, one row per pair."""
    return [
        {
            "model": model,
            "true_class": classes[pairs.true_class[i]],
            "predicted_class": classes[pairs.predicted_class[i]],
            "videos": int(pairs.videos[i]),
            "mean_total": float(pairs.mean_total[i]),
            "for_true": float(pairs.for_true[i]),
        }
        for i in range(len(pairs.videos))
    ]
