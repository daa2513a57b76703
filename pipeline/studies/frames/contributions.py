"""Marginal contributions by size of coalition, and supporting frames (Play Fair, Figs. 6, 11 a b).

A frame's value is the mean over sizes s = 0 … n − 1 of its mean marginal contribution to the
coalitions of s frames (Play Fair, supplement, Eq. 22). How fast these fall with s shows how soon
the model has seen enough. A frame of positive value supports the class.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.statistics import mean_and_error
from pipeline.shapley import coalitions
from pipeline.studies.frames.summaries import Boxes, Floats, Read, boxes, pick_output


def mean_contributions(marginals: NDArray[np.floating]) -> Boxes:
    """Box-plot statistics of frames' mean marginal contributions at each size of coalition.

    Args:
        marginals: (video, size, frame), size = 0 … n − 1, for one output of each video.

    Returns:
        One group per size, of all frames of all videos.
    """
    return boxes([marginals[:, size] for size in range(marginals.shape[1])])


def single_contributions(
    read: Read,
    outputs: NDArray[np.integer],
    n: int,
    *,
    at_most: int = 2000,
    seed: int = 0,
    videos_at_once: int = 64,
) -> Boxes:
    """Box-plot statistics of the single marginal contributions v(S ∪ {i}) − v(S), by |S|.

    There are n · C(n − 1, s) contributions to coalitions of s frames. Up to ``at_most`` of them are
    all used. If there are more, ``at_most`` are drawn uniformly (with repeats), the same in every
    video.

    Args:
        read: returns the tables of a slice of videos, (video, 2**n, output) in mask order.
        outputs: (video,) number of the output that is used.
        n: number of frames.
        at_most: the most contributions per video and size.
        seed: of the draws.
        videos_at_once: how many videos' tables are read at once.

    Returns:
        One group per size s = 0 … n − 1.

    Raises:
        InputError: tables of another number of coalitions.
    """
    rng = np.random.default_rng(seed)
    joins = [_joins(n, size, at_most, rng) for size in range(n)]
    found: list[NDArray[np.floating]] = []
    for start in range(0, len(outputs), videos_at_once):
        some = slice(start, min(start + videos_at_once, len(outputs)))
        tables = np.asarray(read(some))
        if tables.shape[1] != 2**n:
            raise InputError(f"tables of {tables.shape[1]} coalitions; {n} frames have {2**n}")
        values = pick_output(tables, outputs[some])
        if not found:
            found = [np.empty((len(outputs), len(own[0])), values.dtype) for own in joins]
        for size, (without, holding) in enumerate(joins):
            found[size][some] = values[:, holding] - values[:, without]
    return boxes(found or [np.empty(0)] * n)


def _joins(
    n: int, size: int, at_most: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Coalitions of a size, and the same with one more frame: masks (contribution,) each."""
    masks = coalitions.of_size(n, size).astype(np.int64)
    count = len(masks) * (n - size)
    chosen = np.arange(count) if count <= at_most else rng.integers(count, size=at_most)
    of_each = masks[chosen // (n - size)]
    absent = ~coalitions.to_bool(of_each.astype(np.uint64), n)
    # The position of the frame that is the ``rank``-th absent one, counted from 0.
    rank = chosen % (n - size)
    player = (np.cumsum(absent, axis=1) > rank[:, None]).argmax(axis=1)
    return of_each, of_each | np.left_shift(np.int64(1), player)


def supporting_share(esv: NDArray[np.floating]) -> tuple[float, float]:
    """Percentage of frames with a value above 0, and its standard error over videos.

    Args:
        esv: (video, frame) of the true class.

    Returns:
        Both in per cent. The error is NaN with one video, both are NaN with none.
    """
    share = 100 * (esv > 0).mean(axis=1) if len(esv) else np.empty(0)
    mean, error = mean_and_error(share)
    return float(mean), float(error)


def mean_by_size(marginals: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Mean marginal contribution at each size and its standard error over videos: (size,) each.

    Args:
        marginals: (video, size, frame) for one output of each video.
    """
    return mean_and_error(marginals.mean(axis=2, dtype=np.float64))
