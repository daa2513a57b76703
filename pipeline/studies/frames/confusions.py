"""Misclassified videos: which frames support the true class, which the predicted one.

By the linearity of the Shapley value (Play Fair, supplement, B.3) the value of frame i for the
difference of class scores f_cc = f_gt − f_pt is δ_i = φ_i^gt − φ_i^pt. A frame with δ_i > 0
supports the true class although the video is misclassified. Over frames, Σ δ_i = f_cc(X) − f_cc(∅).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.statistics import mean_and_error
from pipeline.studies.frames.summaries import Floats, Ints


@dataclass(frozen=True)
class Confusions:
    """The misclassified videos; there may be none."""

    video: Ints
    """(wrong,) indices of the videos"""
    true_class: Ints
    """(wrong,)"""
    predicted_class: Ints
    """(wrong,)"""
    delta: Floats
    """(wrong, frame) δ_i, in the unit of the class score"""


@dataclass(frozen=True)
class ConfusionSummary:
    """Means over the misclassified videos; NaN if there are none."""

    videos: int
    mean_absolute: float
    """mean |δ_i|"""
    mean_absolute_error: float
    """its standard error over videos"""
    for_true: float
    """percentage of frames with δ_i > 0"""
    for_true_error: float
    by_position: Floats
    """(frame,) mean δ_i"""
    by_position_error: Floats
    for_true_by_position: Floats
    """(frame,) percentage of videos with δ_i > 0"""
    for_true_by_position_error: Floats
    some_for_true: float
    """percentage of videos that have a frame with δ_i > 0"""


@dataclass(frozen=True)
class ConfusedPairs:
    """Which class was mistaken for which; the most frequent pair first. All (pair,)."""

    true_class: Ints
    predicted_class: Ints
    videos: Ints
    mean_total: Floats
    """mean Σ δ_i"""
    for_true: Floats
    """percentage of frames with δ_i > 0"""


def confusions(
    esv_true: NDArray[np.floating],
    esv_predicted: NDArray[np.floating],
    true_class: NDArray[np.integer],
    predicted_class: NDArray[np.integer],
) -> Confusions:
    """δ_i of the videos whose predicted class differs from the true one.

    Args:
        esv_true: (video, frame) values for the true class.
        esv_predicted: (video, frame) values for the predicted class.
        true_class: (video,).
        predicted_class: (video,).

    Raises:
        InputError: arrays of different videos or frames.
    """
    shapes = {true_class.shape, predicted_class.shape, esv_true.shape[:1]}
    if esv_true.shape != esv_predicted.shape or len(shapes) != 1:
        raise InputError(
            f"values of shapes {esv_true.shape} and {esv_predicted.shape}, classes of "
            f"{true_class.shape} and {predicted_class.shape}: they must be of the same videos"
        )
    wrong = np.flatnonzero(true_class != predicted_class)
    delta = esv_true[wrong].astype(np.float64) - esv_predicted[wrong]
    true, predicted = (c[wrong].astype(np.int64) for c in (true_class, predicted_class))
    return Confusions(wrong, true, predicted, delta)


def summarise(found: Confusions) -> ConfusionSummary:
    """How large the differences are, and how many frames support the true class."""
    positive = 100.0 * (found.delta > 0)
    absolute, absolute_error = mean_and_error(np.abs(found.delta).mean(axis=1))
    share, share_error = mean_and_error(positive.mean(axis=1))
    some, _ = mean_and_error(positive.max(axis=1, initial=0))
    return ConfusionSummary(
        len(found.video),
        float(absolute),
        float(absolute_error),
        float(share),
        float(share_error),
        *mean_and_error(found.delta),
        *mean_and_error(positive),
        float(some),
    )


def inconsistency(
    found: Confusions,
    whole_difference: NDArray[np.floating],
    empty_difference: NDArray[np.floating],
) -> Floats:
    """|Σ δ_i − (f_cc(X) − f_cc(∅))| of each misclassified video: (wrong,), 0 up to rounding.

    Args:
        found: the misclassified videos.
        whole_difference: (video,) f_gt(X) − f_pt(X), of all videos.
        empty_difference: (video,) f_gt(∅) − f_pt(∅), of all videos.
    """
    expected = whole_difference.astype(np.float64) - empty_difference
    return np.abs(found.delta.sum(axis=1) - expected[found.video])


def confused_pairs(found: Confusions) -> ConfusedPairs:
    """The pairs of true and predicted class, by number of videos, then by class number."""
    both = np.stack([found.true_class, found.predicted_class], axis=1)
    pairs, which, counts = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    totals = np.bincount(which, weights=found.delta.sum(axis=1), minlength=len(pairs)) / counts
    positive = 100.0 * (found.delta > 0)
    share = np.bincount(which, weights=positive.mean(axis=1), minlength=len(pairs)) / counts
    order = np.argsort(-counts, kind="stable")
    true, predicted = pairs[order].T
    return ConfusedPairs(true, predicted, counts[order], totals[order], share[order])
