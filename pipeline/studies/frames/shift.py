"""How a frame's value changes when a neighbour in the video replaces it (Play Fair, Figs. 6c, 11c).

In a video sampled at n frames, the frame at position i is replaced by the frame k rows away in the
feature file, k = ±1, ±2, …; the other frames stay. The value of element i in the changed sequence
is computed exactly, and |Δφ_i| is compared by |k|: if values are smooth in time, near neighbours
change them little.

Frames stay in order of time and are all different: a shifted frame stays strictly between the
sampled frames beside it (or within the video, at the ends). So an element keeps its position i, and
only its content changes. With ``crossing`` the frame may move to any row of the video without a
sampled frame. The frames are then sorted by time again, and the value is that of the shifted frame
at its new position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.store import CoalitionStore
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.summaries import Boxes, Floats, Ints, boxes
from pipeline.studies.frames.tables import Scorer
from pipeline.studies.frames.values import IN_FEATURES, coordinate, stored_shapley_values

COLUMNS = (
    "model",
    "shift",
    "changes",
    "mean",
    "standard_error",
    "lower_quartile",
    "median",
    "upper_quartile",
    "relative",
)


@dataclass(frozen=True)
class Shifts:
    """Changed sequences, one per row."""

    video: Ints
    """(change,) index of the video"""
    position: Ints
    """(change,) i of the frame that is replaced"""
    shift: Ints
    """(change,) k, in rows of the feature file; never 0"""
    frames: Ints
    """(change, n) rows of the changed sequence, ascending"""
    place: Ints
    """(change,) its position in the changed sequence; ``position`` unless it crossed others"""


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
    """mean |φ_i − φ_j| of two different frames of a video: the expected change if any other sampled
    frame replaced a frame. NaN with one frame per video"""


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
        InputError: frames that are outside the video, or out of order.
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
        # Two players of the same content would share the value of one.
        exists &= ~(target[..., None] == sampled[:, None, None, :]).any(axis=-1)
    video, position, which = np.nonzero(exists)
    changed = sampled[video]
    changed[np.arange(len(video)), position] = target[exists]
    order = np.argsort(changed, axis=1, kind="stable")
    place = (order == position[:, None]).argmax(axis=1)
    in_order = np.take_along_axis(changed, order, axis=1)
    return Shifts(video, position, shift[which], in_order, place)


def shift_outputs(n_frames: int, furthest: int) -> tuple[str, ...]:
    """Names of the outputs of a video's coalitions: as it is, and with each frame shifted.

    The first output is the video as sampled. :func:`output_of` numbers the outputs with frame i
    (from 0) shifted by k rows, |k| ≤ furthest.
    """
    shifts = [k for k in range(-furthest, furthest + 1) if k != 0]
    moved = [f"frame {i + 1}, {k:+d}" for i in range(n_frames) for k in shifts]
    return ("as it is", *moved)


def output_of(shifts: Shifts, furthest: int) -> Ints:
    """Number of each change among :func:`shift_outputs`: (change,)."""
    after = shifts.shift > 0
    return 1 + shifts.position * 2 * furthest + shifts.shift + furthest - after


def shift_tables(
    features: FeatureSet,
    videos: NDArray[np.integer],
    frames: NDArray[np.integer],
    shifts: Shifts,
    furthest: int,
    scores: Scorer,
    at_once: int,
    chosen: Sequence[int],
) -> NDArray[np.float32]:
    """Scores of the true class of all coalitions, for each of :func:`shift_outputs`.

    If a changed sequence does not exist (the video ends, or the row is sampled already), its output
    holds the scores of the video as it is.

    Args:
        features: of all videos.
        videos: (video,) numbers of the videos of ``shifts`` in the feature file.
        frames: (video, n) rows of the videos as they are sampled.
        shifts: the changed sequences of all of them.
        furthest: the largest |k|.
        scores: evaluates up to ``at_once`` sequences.
        at_once: sequences per call of ``scores``.
        chosen: indices into ``videos``.

    Returns:
        (len(chosen), 2**n, output).
    """
    n = frames.shape[1]
    found = []
    for video in chosen:
        own = np.flatnonzero(shifts.video == video)
        sequences = np.concatenate([frames[[video]], shifts.frames[own]])
        number = int(videos[video])
        inputs = features.gather(np.full(len(sequences), number), sequences)
        label = features.labels[[number]][None].repeat(len(sequences), axis=0)
        parts = [
            scores(inputs[i : i + at_once], label[i : i + at_once])
            for i in range(0, len(inputs), at_once)
        ]
        tables = np.concatenate(parts)[:, :, 0]
        table = np.repeat(tables[0][:, None], 1 + 2 * furthest * n, axis=1)
        table[:, output_of(shifts, furthest)[own]] = tables[1:].T
        found.append(table)
    return np.stack(found)


def changes_by_distance(
    esv: NDArray[np.floating], shifts: Shifts, moved: NDArray[np.floating]
) -> ShiftChanges:
    """|Δφ_i| by |k|.

    Args:
        esv: (video, n) values of the true class in the sequences as sampled.
        shifts: the changed sequences.
        moved: (change,) values of the shifted frames in them.
    """
    change = np.abs(moved - esv[shifts.video, shifts.position])
    distances = np.unique(np.abs(shifts.shift))
    groups = [np.abs(shifts.shift) == distance for distance in distances]
    errors = [_clustered_error(change[group], shifts.video[group]) for group in groups]
    found = boxes([change[group] for group in groups])
    spread = _spread(esv)
    return ShiftChanges(distances, found, np.array(errors), found.mean / spread, spread)


def stored_changes(store: CoalitionStore) -> ShiftChanges:
    """:func:`changes_by_distance` of the games in a store."""
    frames, lengths = coordinate(store, IN_FEATURES), coordinate(store, "rows")
    n = store.record.n_players
    furthest = (len(store.record.outputs) - 1) // (2 * n)
    crossing = bool(store.record.specification["crossing"])
    # If all videos are too short, there are no shifts.
    whole = lengths >= n
    shifts = changed_sequences(frames[whole], lengths[whole], furthest=furthest, crossing=crossing)
    esv = stored_shapley_values(store)
    changed = esv[shifts.video, shifts.place, output_of(shifts, furthest)]
    return changes_by_distance(esv[whole, :, 0], shifts, changed)


def shift_rows(model: str, changes: ShiftChanges) -> list[dict[str, Any]]:
    """Changes as rows of a table."""
    boxes = changes.absolute
    return [
        {
            "model": model,
            "shift": int(distance),
            "changes": int(boxes.count[i]),
            "mean": float(boxes.mean[i]),
            "standard_error": float(changes.error[i]),
            "lower_quartile": float(boxes.lower_quartile[i]),
            "median": float(boxes.median[i]),
            "upper_quartile": float(boxes.upper_quartile[i]),
            "relative": float(changes.relative[i]),
        }
        for i, distance in enumerate(changes.distance)
    ]


def _clustered_error(values: Floats, videos: Ints) -> float:
    """Standard error of the mean of values that are clustered by video."""
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
