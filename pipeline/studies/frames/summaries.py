"""Shared by the analyses of frames: one output out of several, and box-plot statistics."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.cbook import boxplot_stats
from numpy.typing import NDArray

from pipeline.core.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Read = Callable[[slice], NDArray[np.floating]]
"""Returns complete tables of some videos in mask order, (video, 2**n, output): ``lambda some:
store.read_many(range(some.start, some.stop))``, or ``tables.__getitem__`` of an array."""


@dataclass(frozen=True)
class Boxes:
    """Box-plot statistics (Tukey's) of the numbers in each group, all (group,)."""

    count: Ints
    mean: Floats
    lower_whisker: Floats
    """the lowest number that is at most 1.5 interquartile ranges below the lower quartile, or that
    quartile if it is lower (as in matplotlib)"""
    lower_quartile: Floats
    median: Floats
    upper_quartile: Floats
    upper_whisker: Floats
    outliers: Floats
    """share of numbers beyond the whiskers, in [0, 1]"""


def pick_output(values: NDArray[np.floating], outputs: NDArray[np.integer]) -> NDArray[np.floating]:
    """One output of each video: (video, ..., output) and (video,) → (video, ...).

    Raises:
        InputError: an output out of range, or not one for each video.
    """
    if outputs.shape != values.shape[:1]:
        raise InputError(f"{outputs.shape} outputs for {len(values)} videos; one of each is needed")
    if len(outputs) and not 0 <= outputs.min() <= outputs.max() < values.shape[-1]:
        raise InputError(
            f"outputs {outputs.min()} to {outputs.max()} are requested; there are 0 to "
            f"{values.shape[-1] - 1}"
        )
    chosen = outputs.astype(np.int64).reshape(-1, *([1] * (values.ndim - 1)))
    return np.take_along_axis(values, chosen, axis=-1)[..., 0]


def boxes(groups: list[NDArray[np.floating]]) -> Boxes:
    """Box-plot statistics of each group of numbers; NaN for an empty group.

    Args:
        groups: arrays of any shape; all numbers of an array are one group.
    """
    rows = np.array([_box(group.astype(np.float64).ravel()) for group in groups]).reshape(-1, 7)
    counts = np.array([group.size for group in groups], dtype=np.int64)
    return Boxes(counts, *rows.T)


def _box(numbers: Floats) -> list[float]:
    (box,) = boxplot_stats(numbers)
    names = ("mean", "whislo", "q1", "med", "q3", "whishi")
    inside = numbers.size - box["fliers"].size
    return [*(box[name] for name in names), 1 - inside / numbers.size if numbers.size else np.nan]
