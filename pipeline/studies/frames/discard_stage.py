"""Stage: what is left of the class score as frames are discarded (Figs. 3 and 12).

All sequences that are left are coalitions, and their scores are read from the store: nothing is
evaluated.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.store import CoalitionStore
from pipeline.store.vouching import believing
from pipeline.studies.frames.discard import (
    COMPARED,
    PLAIN_ORDERS,
    Curves,
    area_under,
    attribution_order,
    curves,
    kept_masks,
    over_draws,
    plain_order,
    random_orders,
)
from pipeline.studies.frames.figures.analyses import DiscardLine
from pipeline.studies.frames.gradients import read_gradients
from pipeline.studies.frames.params import DiscardParams
from pipeline.studies.frames.summaries import mean_and_error
from pipeline.studies.frames.values import FrameValues

CURVE_COLUMNS = ("model", "order", "discarded", "class_score", "class_score_error")
AREA_COLUMNS = ("model", "order", "class_score", "class_score_error")
ACCURACY_COLUMNS = ("accuracy", "accuracy_error")


@contextmanager
def store_of(receipt: Path, values: FrameValues) -> Iterator[CoalitionStore]:
    """The store that a receipt vouches for; as ``believing``.

    Raises:
        InputError: also if it lists other videos than the values.
    """
    with believing(receipt) as store:
        if store.instances != values.uids:
            raise InputError(f"{store.path}: lists other videos than the values; run both again")
        yield store


def order_masks(
    values: FrameValues, gradients: Path, params: DiscardParams
) -> dict[str, NDArray[np.int64]]:
    """What is left of every video after each discarded frame, by order: (video, draw, n) masks.

    Raises:
        InputError: if the gradients are of other videos, or of another number of frames.
    """
    other = read_gradients(gradients)
    if other.uids != values.uids:
        raise InputError(f"{gradients}: is of other videos than the values; run both again")
    n_videos, n = values.esv_true.shape
    if other.gradcam.shape[1] != n:
        raise InputError(
            f"{gradients}: is of {other.gradcam.shape[1]} frames a video, the values are of {n}; "
            "run both again"
        )
    attributions = {
        "esv": values.esv_true,
        "gc": other.gradcam[:, :, 0],
        "ig": other.integrated_gradients[:, :, 0],
    }
    orders = {
        f"{name}_{direction}": attribution_order(of_frames, descending=direction == "descending")
        for name, of_frames in attributions.items()
        for direction in ("ascending", "descending")
    }
    found = {name: order[:, None] for name, order in orders.items()}
    found["random"] = random_orders(n_videos, n, params.random_orders, params.seed)
    for name in PLAIN_ORDERS:
        found[name] = np.broadcast_to(plain_order(name, n), (n_videos, 1, n))
    return {name: kept_masks(order) for name, order in found.items()}


def curves_of_stage(
    store: CoalitionStore, values: FrameValues, masks: dict[str, NDArray[np.int64]], advance: Any
) -> dict[str, Curves]:
    holds_all = store.output_classes is None
    true = values.true_class if holds_all else np.zeros_like(values.true_class)

    def read(some: slice) -> NDArray[np.float32]:
        advance(some.stop - some.start)
        return store.read_many(range(some.start, some.stop))

    return curves(read, masks, true, holds_all_classes=holds_all)


def comparisons(curves_of: Mapping[str, Curves]) -> dict[str, dict[str, float]]:
    """Differences video by video, each with the standard error of its mean.

    Returns:
        For each of ``COMPARED`` the mean difference of areas under the class score; as
        ``"gain"`` by how much the mean score is higher than that of all frames where it is highest,
        frames of low ESV being discarded first.
    """
    areas = {name: area_under(over_draws(found.score)) for name, found in curves_of.items()}
    result = {}
    for first, second in COMPARED:
        mean, error = mean_and_error(areas[first] - areas[second])
        result[f"{first} - {second}"] = {"difference": float(mean), "error": float(error)}
    heights = over_draws(curves_of["esv_ascending"].score)
    highest = int(heights.mean(axis=0).argmax())
    mean, error = mean_and_error(heights[:, highest] - heights[:, 0])
    result["gain"] = {"difference": float(mean), "error": float(error)}
    return result


def line_of_stage(found: Curves) -> DiscardLine:
    score = mean_and_error(over_draws(found.score))
    if found.correct is None:
        return DiscardLine(*score)
    return DiscardLine(*score, *mean_and_error(over_draws(found.correct)))


def point(line: DiscardLine, k: int) -> dict[str, float | None]:
    accuracy, error = line.accuracy, line.accuracy_error
    return {
        "class_score": float(line.score[k]),
        "class_score_error": float(line.score_error[k]),
        "accuracy": None if accuracy is None else float(accuracy[k]),
        "accuracy_error": None if error is None else float(error[k]),
    }


def areas_of_stage(found: Curves) -> dict[str, float | None]:
    """Mean area under the curves of score and accuracy, and their standard errors over videos."""
    result: dict[str, float | None] = dict.fromkeys((*AREA_COLUMNS[2:], *ACCURACY_COLUMNS))
    for name, curve in (("class_score", found.score), ("accuracy", found.correct)):
        if curve is not None:
            mean, error = mean_and_error(area_under(over_draws(curve)))
            result[name] = float(mean)
            result[f"{name}_error"] = None if np.isnan(error) else float(error)
    mean_score, _ = mean_and_error(over_draws(found.score))
    result["score_of_all"], result["score_at_best"] = float(mean_score[0]), float(mean_score.max())
    return result
