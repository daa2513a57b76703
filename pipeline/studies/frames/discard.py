"""Frames dropped one after another: the class score that is left (Play Fair, Figs. 3 and 12).

The frames of a video are discarded in some order until one is left. If an attribution is right, the
class score falls fast when frames of high attribution go first (descending order), and holds or
rises when frames of low attribution go first (ascending order). The sequences that are left are
coalitions: a stored table of all coalitions answers without evaluations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.statistics import mean_and_error
from pipeline.store import CoalitionStore
from pipeline.studies.frames.gradients import read_gradients
from pipeline.studies.frames.summaries import Floats, Ints, Read, pick_output
from pipeline.studies.frames.values import FrameValues, table_blocks, true_outputs

PlainOrder = Literal["first_to_last", "last_to_first", "edges_inward", "centre_outward"]
PLAIN_ORDERS: tuple[PlainOrder, ...] = (
    "first_to_last",
    "last_to_first",
    "edges_inward",
    "centre_outward",
)

COMPARED = (
    ("esv_ascending", "random"),
    ("random", "esv_descending"),
    ("esv_ascending", "gc_ascending"),
    ("esv_ascending", "ig_ascending"),
    ("gc_descending", "esv_descending"),
    ("ig_descending", "esv_descending"),
)
"""Orders whose areas are compared."""

MEASURES = ("class_score", "class_score_error", "accuracy", "accuracy_error")
CURVE_COLUMNS = ("model", "order", "discarded", *MEASURES)
AREA_COLUMNS = ("model", "order", *MEASURES)


@dataclass(frozen=True)
class Curves:
    """What is left of each video after 0 … n − 1 frames are discarded, in one or several orders."""

    score: NDArray[np.floating]
    """(video, ..., discarded) score of the true class, in the unit of the game"""
    correct: NDArray[np.number | np.bool_] | None
    """(video, ..., discarded) whether the true class has the highest score of all, or how often;
    None if the tables do not hold all classes"""


def attribution_order(attribution: NDArray[np.floating], *, descending: bool) -> Ints:
    """Frames in the order of their attribution; of equal ones the earlier frame goes first.

    Args:
        attribution: (video, ..., n).
        descending: discard the frame of highest attribution first, rather than the lowest.

    Returns:
        (video, ..., n) numbers of frames, the first to be discarded first.

    Raises:
        InputError: if an attribution is NaN.
    """
    if np.isnan(attribution).any():
        raise InputError("attributions hold NaN: frames cannot be put in order")
    key = -attribution if descending else attribution
    return np.argsort(key, axis=-1, kind="stable")


def plain_order(name: PlainOrder, n: int) -> Ints:
    """An order that depends only on positions: (n,) numbers of frames, first discarded first.

    ``edges_inward`` discards the frame farthest from the centre first, ``centre_outward`` the
    nearest. Of two frames at the same distance the earlier goes first.
    """
    frames = np.arange(n)
    from_centre = np.abs(2 * frames - (n - 1))
    keys = {
        "first_to_last": frames,
        "last_to_first": -frames,
        "edges_inward": -from_centre,
        "centre_outward": from_centre,
    }
    if name not in keys:
        raise InputError(f"order {name!r}: there are {', '.join(keys)}")
    return np.argsort(keys[name], kind="stable")


def random_orders(n_videos: int, n: int, draws: int, seed: int | np.random.Generator) -> Ints:
    """Orders drawn uniformly: (video, draw, n).

    The draws of a video do not depend on how many videos follow it.
    """
    rng = np.random.default_rng(seed)
    return np.argsort(rng.random((n_videos, draws, n)), axis=-1)


def kept_masks(orders: NDArray[np.integer]) -> Ints:
    """Coalitions that are left when 0 … n − 1 frames are discarded.

    Args:
        orders: (..., n) permutations of the n frames.

    Returns:
        (..., n) masks; ``[..., k]`` is left after the first k frames of the order are discarded.

    Raises:
        InputError: if an order is no permutation, or has more than 62 frames.
    """
    n = orders.shape[-1]
    if not 1 <= n <= 62:
        raise InputError(f"orders of {n} frames; 1 to 62 fit a mask")
    if (np.sort(orders, axis=-1) != np.arange(n)).any():
        raise InputError(f"an order does not hold every frame 0 to {n - 1} once")
    bits = np.left_shift(np.int64(1), orders.astype(np.int64))
    return np.cumsum(bits[..., ::-1], axis=-1)[..., ::-1]


def curves(
    read: Read,
    masks: Mapping[str, Ints],
    true_outputs: NDArray[np.integer],
    *,
    holds_all_classes: bool,
    videos_at_once: int = 64,
) -> dict[str, Curves]:
    """Class score and correctness after each discarded frame, looked up in complete tables.

    Every table is read once, whatever the number of orders.

    Args:
        read: returns the tables of a slice of videos, (video, 2**n, output) in mask order.
        masks: of each group of orders (video, ..., n), as :func:`kept_masks` returns them.
        true_outputs: (video,) number of the output that is the video's true class.
        holds_all_classes: whether the outputs are all classes. If only some are stored (as with
            ``outputs: true_and_predicted``), the highest class is unknown, and the curves'
            ``correct`` is None.
        videos_at_once: how many videos' tables are read at once; one takes 4 · 2**n · output
            bytes.

    Raises:
        InputError: masks outside the tables, or masks of another number of videos.
    """
    n_videos = len(true_outputs)
    for name, of_group in masks.items():
        if len(of_group) != n_videos:
            raise InputError(f"{name}: masks of {len(of_group)} videos, true classes of {n_videos}")
    score = {name: np.empty(found.shape) for name, found in masks.items()}
    correct = {name: np.empty(found.shape, dtype=bool) for name, found in masks.items()}
    for start in range(0, n_videos, videos_at_once):
        some = slice(start, min(start + videos_at_once, n_videos))
        tables = np.asarray(read(some))
        for name, of_group in masks.items():
            rows = of_group[some].reshape(len(tables), -1)
            if rows.size and not 0 <= rows.min() <= rows.max() < tables.shape[1]:
                raise InputError(
                    f"{name}: mask {int(rows.max())} is not in tables of {tables.shape[1]} "
                    "coalitions: the orders are of another number of frames"
                )
            values = tables[np.arange(len(tables))[:, None], rows]
            shape = of_group[some].shape
            score[name][some] = pick_output(values, true_outputs[some]).reshape(shape)
            hits = values.argmax(axis=-1) == true_outputs[some, None]
            correct[name][some] = hits.reshape(shape)
    return {
        name: Curves(score[name], correct[name] if holds_all_classes else None) for name in masks
    }


def over_draws(curve: NDArray[np.number | np.bool_]) -> Floats:
    """Mean over the orders of each video: (video, ..., discarded) → (video, discarded)."""
    return curve.reshape(len(curve), -1, curve.shape[-1]).mean(axis=1, dtype=np.float64)


def area_under(curve: NDArray[np.number | np.bool_]) -> Floats:
    """Area under a curve over the fraction of frames discarded, by the trapezoid rule.

    The area is divided by the length of the curve's base, from 0 to n − 1 of n frames discarded. It
    is the curve's mean height in the curve's unit.

    Args:
        curve: (..., discarded) after 0 … n − 1 discarded frames.

    Returns:
        (...); with n = 1 the curve's only height.
    """
    heights = curve.astype(np.float64)
    n = heights.shape[-1]
    if n == 1:
        return heights[..., 0]
    return (heights[..., 1:] + heights[..., :-1]).sum(axis=-1) / (2 * (n - 1))


def read_attributions(values: FrameValues, gradients: Path | None) -> dict[str, Floats]:
    """Attributions that order the frames: (video, frame) each, of the true class.

    Without a file of ``gradients`` these are the values alone.

    Raises:
        InputError: the gradients belong to other videos than the values, or have another number of
            frames.
    """
    if gradients is None:
        return {"esv": values.esv_true}
    other = read_gradients(gradients)
    if other.uids != values.uids:
        raise InputError(f"{gradients}: belongs to other videos than the values; run both again")
    n = values.esv_true.shape[1]
    if other.gradcam.shape[1] != n:
        raise InputError(
            f"{gradients}: has {other.gradcam.shape[1]} frames per video, the values have {n}; "
            "run both again"
        )
    return {
        "esv": values.esv_true,
        "gc": other.gradcam[:, :, 0],
        "ig": other.integrated_gradients[:, :, 0],
    }


def masks_by_order(
    attributions: Mapping[str, NDArray[np.floating]],
    n_random: int,
    seed: int | np.random.Generator,
) -> dict[str, Ints]:
    """What is left of every video after each discarded frame, by order: (video, draw, n) masks.

    Args:
        attributions: (video, n) each, by name; used in ascending and in descending order.
        n_random: number of random orders per video.
        seed: of the random orders, or their generator.
    """
    n_videos, n = next(iter(attributions.values())).shape
    orders = {
        f"{name}_{direction}": attribution_order(of_frames, descending=direction == "descending")
        for name, of_frames in attributions.items()
        for direction in ("ascending", "descending")
    }
    found = {name: order[:, None] for name, order in orders.items()}
    found["random"] = random_orders(n_videos, n, n_random, seed)
    for name in PLAIN_ORDERS:
        found[name] = np.broadcast_to(plain_order(name, n), (n_videos, 1, n))
    return {name: kept_masks(order) for name, order in found.items()}


def stored_curves(
    store: CoalitionStore,
    values: FrameValues,
    attributions: Mapping[str, NDArray[np.floating]],
    n_random: int,
    seed: int,
) -> dict[str, Curves]:
    """:func:`curves` of the tables of a store, as means over the orders of each video.

    Args:
        store: of complete tables.
        values: of the same videos.
        attributions, n_random, seed: of :func:`masks_by_order`.
    """
    rng, holds_all = np.random.default_rng(seed), store.output_classes is None
    outputs = true_outputs(store, values)
    parts: dict[str, list[Curves]] = {}
    for some, tables in table_blocks(store, f"frames_discard {store.record.game}"):
        chosen = {name: of_frames[some] for name, of_frames in attributions.items()}
        masks = masks_by_order(chosen, n_random, rng)
        found = curves(tables.__getitem__, masks, outputs[some], holds_all_classes=holds_all)
        for name, of_order in found.items():
            correct = None if of_order.correct is None else _compact(of_order.correct)
            # Scores are read as float32, so nothing is lost.
            score = _compact(of_order.score.astype(np.float32))
            parts.setdefault(name, []).append(Curves(score, correct))
    return {
        name: Curves(
            np.concatenate([part.score for part in of_order]),
            np.concatenate([part.correct for part in of_order if part.correct is not None])
            if holds_all
            else None,
        )
        for name, of_order in parts.items()
    }


def _compact(curve: NDArray[Any]) -> NDArray[Any]:
    """:func:`over_draws`, but a single order as it is, which takes less memory."""
    is_single = curve.size == len(curve) * curve.shape[-1]
    return curve.reshape(len(curve), -1) if is_single else over_draws(curve)


def comparisons(curves_of: Mapping[str, Curves]) -> dict[str, dict[str, float]]:
    """Differences video by video, each with the standard error of its mean.

    Returns:
        For each pair of ``COMPARED`` whose orders are there, the mean difference of the areas under
        the class score. ``"gain"``: how far the highest mean score is above that of all frames when
        frames of low ESV are discarded first.
    """
    areas = {name: area_under(over_draws(found.score)) for name, found in curves_of.items()}
    result = {}
    for first, second in COMPARED:
        if not {first, second} <= areas.keys():
            continue
        mean, error = mean_and_error(areas[first] - areas[second])
        result[f"{first} - {second}"] = {"difference": float(mean), "error": float(error)}
    heights = over_draws(curves_of["esv_ascending"].score)
    highest = int(heights.mean(axis=0).argmax())
    mean, error = mean_and_error(heights[:, highest] - heights[:, 0])
    result["gain"] = {"difference": float(mean), "error": float(error)}
    return result


def curve_rows(found: Curves) -> list[dict[str, Any]]:
    """Means over videos after each discarded frame, and their standard errors."""
    measured = dict.fromkeys(MEASURES, np.full(found.score.shape[-1], np.nan))
    for name, curve in (("class_score", found.score), ("accuracy", found.correct)):
        if curve is not None:
            measured[name], measured[f"{name}_error"] = mean_and_error(over_draws(curve))
    return [
        {"discarded": k, **{name: float(of_all[k]) for name, of_all in measured.items()}}
        for k in range(found.score.shape[-1])
    ]


def mean_areas(found: Curves) -> dict[str, float | None]:
    """Mean area under the curves of score and accuracy, and their standard errors over videos.

    ``score_of_all`` is the mean score of all frames, ``score_at_best`` the highest on the curve.
    """
    result: dict[str, float | None] = dict.fromkeys(MEASURES)
    for name, curve in (("class_score", found.score), ("accuracy", found.correct)):
        if curve is not None:
            mean, error = mean_and_error(area_under(over_draws(curve)))
            result[name] = float(mean)
            result[f"{name}_error"] = None if np.isnan(error) else float(error)
    mean_score, _ = mean_and_error(over_draws(found.score))
    result["score_of_all"], result["score_at_best"] = float(mean_score[0]), float(mean_score.max())
    return result
