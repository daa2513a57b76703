"""How a frame's value changes when its neighbour in the video stands in (Play Fair, Figs. 6c, 11c).

Of a video sampled at n frames, the frame at position i is replaced by that which lies k rows of the
feature file away, k = ±1, ±2, …; the other frames stay. The value of the element at i in the
changed sequence is computed anew, exactly, and |Δφ_i| compared by |k|: where values are smooth in
time, near neighbours change them little.

Frames stay in order of time and none comes twice: a frame is shifted only as far as it stays
strictly between the sampled frames beside it (or within the video, at the ends). So an element
keeps its position i, and what changes is its content alone. With ``crossing`` it may go anywhere
in the video where no other frame is that is looked at; frames are put in order of time again, and
the value is that of the shifted frame at its new position.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import InputError
from pipeline.frames.coalition_scores import Model, Score, sequences_at_once
from pipeline.frames.element_shapley import element_shapley_values
from pipeline.frames.feature_files import FeatureSet
from pipeline.frames.summaries import Boxes, Floats, Ints, boxes

BYTES_AT_ONCE = 1 << 27
"""What the tables of the sequences in one batch may take, about."""


@dataclass(frozen=True)
class Shifts:
    """Changed sequences, one a row."""

    video: Ints
    """(change,) which of the videos"""
    position: Ints
    """(change,) i of the frame that is replaced"""
    shift: Ints
    """(change,) k, in rows of the feature file; never 0"""
    frames: Ints
    """(change, n) rows of the changed sequence, ascending"""
    place: Ints
    """(change,) where the shifted frame stands in it; ``position`` unless it crossed others"""


@dataclass(frozen=True)
class ShiftChanges:
    """Changes of value by distance, all (distance,)."""

    distance: Ints
    """|k|, in rows of the feature file, ascending"""
    absolute: Boxes
    """of |Δφ_i|, in the unit of the class score"""
    error: Floats
    """standard error of the mean |Δφ_i|, over videos; NaN with one video"""
    relative: Floats
    """mean |Δφ_i| over ``spread``"""
    spread: float
    """mean |φ_i − φ_j| of two different frames of a video: the change to expect if a frame were
    replaced by any other of those sampled. NaN with one frame a video"""


def changed_sequences(
    frames: NDArray[np.integer],
    lengths: NDArray[np.integer],
    *,
    furthest: int | None = None,
    crossing: bool = False,
) -> Shifts:
    """All sequences with one frame replaced by another near it.

    Args:
        frames: (video, n) ascending rows of each video, as sampled.
        lengths: (video,) rows of each video.
        furthest: the largest |k|; by default as far as there are frames.
        crossing: whether a frame may be shifted past others.

    Raises:
        InputError: frames that are not in the video, or not in order.
    """
    sampled, ends = frames.astype(np.int64), lengths.astype(np.int64)[:, None]
    if (np.diff(sampled, axis=1) < 0).any() or (sampled < 0).any() or (sampled >= ends).any():
        raise InputError("frames to be shifted must be ascending rows of their video")
    start = np.zeros_like(ends)
    if crossing:
        lowest, highest = np.broadcast_arrays(start, ends - 1, sampled)[:2]
    else:
        lowest = np.concatenate([start, sampled[:, :-1] + 1], axis=1)
        highest = np.concatenate([sampled[:, 1:], ends], axis=1) - 1
    longest = int(ends.max(initial=1)) - 1
    reach = longest if furthest is None else min(furthest, longest)
    shift = np.array([k for k in range(-reach, reach + 1) if k != 0], dtype=np.int64)
    target = sampled[:, :, None] + shift
    exists = (target >= lowest[:, :, None]) & (target <= highest[:, :, None])
    if crossing:
        # Two players of the same content would share what is due to one.
        exists &= ~(target[..., None] == sampled[:, None, None, :]).any(axis=-1)
    video, position, which = np.nonzero(exists)
    changed = sampled[video]
    changed[np.arange(len(video)), position] = target[exists]
    order = np.argsort(changed, axis=1, kind="stable")
    place = (order == position[:, None]).argmax(axis=1)
    in_order = np.take_along_axis(changed, order, axis=1)
    return Shifts(video, position, shift[which], in_order, place)


@torch.no_grad()
def shifted_values(
    model: Model,
    features: FeatureSet,
    videos: NDArray[np.integer],
    shifts: Shifts,
    true_class: NDArray[np.integer],
    empty: Tensor,
    score: Score = "probability",
    *,
    batch: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> Floats:
    """Exact values of the shifted frames for the true class: (change,).

    Args:
        model: in evaluation mode; its device is computed on.
        features: of the frames that the model takes.
        videos: (video,) which of the feature file's videos those of ``shifts`` are.
        shifts: the changed sequences.
        true_class: (video,).
        empty: (class,) v(∅), in the unit of ``score``.
        score: what v is.
        batch: sequences at once; by default as many as BYTES_AT_ONCE hold.
        advance: told after each batch how many sequences it had.

    Raises:
        InputError: as :func:`pipeline.frames.element_shapley.element_shapley_values`.
    """
    parameter = next(model.parameters())
    size = batch or min(512, sequences_at_once(model, shifts.frames.shape[1], BYTES_AT_ONCE))
    result = np.empty(len(shifts.video))
    for start in range(0, len(result), size):
        some = slice(start, start + size)
        rows = features.gather(videos[shifts.video[some]].astype(np.int64), shifts.frames[some])
        sequences = torch.from_numpy(rows).to(parameter)
        esv = element_shapley_values(model, sequences, empty, score).cpu().numpy()
        classes = true_class[shifts.video[some]]
        result[some] = esv[np.arange(len(esv)), shifts.place[some], classes]
        if advance is not None:
            advance(len(esv))
    return result


def changes_by_distance(
    esv: NDArray[np.floating], shifts: Shifts, shifted: NDArray[np.floating]
) -> ShiftChanges:
    """|Δφ_i| by |k|.

    Args:
        esv: (video, n) values of the true class in the sequences as sampled.
        shifts: the changed sequences.
        shifted: (change,) values in them, from :func:`shifted_values`.
    """
    change = np.abs(shifted - esv[shifts.video, shifts.position])
    distances = np.unique(np.abs(shifts.shift))
    groups = [np.abs(shifts.shift) == distance for distance in distances]
    errors = [_clustered_error(change[group], shifts.video[group]) for group in groups]
    found = boxes([change[group] for group in groups])
    spread = _spread(esv)
    return ShiftChanges(distances, found, np.array(errors), found.mean / spread, spread)


def _clustered_error(values: Floats, videos: Ints) -> float:
    """Standard error of the mean of values of which those of a video belong together."""
    _, video = np.unique(videos, return_inverse=True)
    n_videos = int(video.max()) + 1
    if n_videos < 2:
        return float("nan")
    sums = np.bincount(video, weights=values - values.mean())
    return float(np.sqrt((sums**2).sum() * n_videos / (n_videos - 1)) / len(values))


def _spread(esv: NDArray[np.floating]) -> float:
    n = esv.shape[1]
    if n < 2 or not len(esv):
        return float("nan")
    differences = np.abs(esv[:, :, None].astype(np.float64) - esv[:, None, :])
    return float(differences.sum() / (len(esv) * n * (n - 1)))
