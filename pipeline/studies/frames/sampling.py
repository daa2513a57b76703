"""Choice of the frames of a video."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError

Indices = NDArray[np.int64]

_AT_ONCE = 1 << 14
"""Videos whose random numbers are in memory at once."""


def spread(lengths: NDArray[np.int64], count: int) -> Indices:
    """Middle frames of ``count`` equal segments of each video: (video, count).

    Some frames of a video with fewer than ``count`` frames are repeated.

    Args:
        lengths: (video,) frames of each video, at least 1.
        count: frames per video.
    """
    return in_segments(lengths, np.full((len(lengths), count), 0.5))


def evenly(count: int, most: int | None) -> Indices:
    """Numbers of at most ``most`` of ``count`` videos, spread evenly over all of them."""
    if most is None or most >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def in_segments(lengths: NDArray[np.int64], positions: NDArray[np.float64]) -> Indices:
    """One frame of each of equal segments, at a relative position inside the segment.

    Args:
        lengths: (video,) frames of each video, at least 1.
        positions: (video, segment) in [0, 1).

    Returns:
        (video, segment) ascending frame numbers in [0, length).

    Raises:
        InputError: if a video has no frames.
    """
    if (lengths < 1).any():
        raise InputError(f"video {int(np.argmin(lengths))} has no frames to sample from")
    count = positions.shape[1]
    segment = lengths[:, None] / count
    chosen = np.floor((np.arange(count) + positions) * segment).astype(np.int64)
    return np.minimum(chosen, lengths[:, None] - 1)


def drawn_in_segments(
    lengths: NDArray[np.int64], segments: int, rng: np.random.Generator
) -> Indices:
    """A random frame of each of equal segments of each video: (video, segment) ascending."""
    frames = np.empty((len(lengths), segments), dtype=np.int64)
    for some in _blocks(len(lengths)):
        frames[some] = in_segments(lengths[some], rng.random(frames[some].shape))
    return frames


def subsequences(
    lengths: NDArray[np.int64], segments: int, size: int, rng: np.random.Generator
) -> Indices:
    """A random subsequence of each video, as in the training of the multi-scale model.

    One frame is drawn from each of ``segments`` equal segments; ``size`` of them are kept, in
    order.

    Returns:
        (video, size) ascending frame numbers.
    """
    frames = drawn_in_segments(lengths, segments, rng)
    chosen = np.empty((len(lengths), size), dtype=np.int64)
    for some in _blocks(len(lengths)):
        drawn = rng.random(frames[some].shape)
        kept = np.sort(np.argsort(drawn, axis=1)[:, :size], axis=1)
        chosen[some] = np.take_along_axis(frames[some], kept, axis=1)
    return chosen


def _blocks(count: int) -> Iterator[slice]:
    """Rows in blocks: the same numbers are drawn as for all at once, and take less memory."""
    return (slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE))
