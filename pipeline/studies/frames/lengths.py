"""How many frames support the class, by the number of frames (Figs. 6b, 11b).

Exact values of the same videos with 1 … max_frames frames each. The games of all lengths have
max_frames players: with n frames, the players from number n on are null players.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.statistics import mean_and_error
from pipeline.store import CoalitionStore
from pipeline.studies.frames import sampling
from pipeline.studies.frames.contributions import supporting_share
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.tables import Scorer
from pipeline.studies.frames.values import coordinate, stored_shapley_values

COLUMNS = ("model", "frames", "videos", "supporting_percent", "standard_error")


def frames_of(features: FeatureSet, videos: Sequence[int], n: int) -> NDArray[np.float32]:
    """Features of ``n`` frames spread over each video: (video, n, D)."""
    some = np.asarray(videos, dtype=np.int64)
    return features.gather(some, sampling.spread(features.lengths[some], n))


def padded_tables(
    asked: Sequence[tuple[int, int]], features: FeatureSet, scores: Scorer, longest: int
) -> NDArray[np.float32]:
    """Scores of the true class of all coalitions; players beyond the frames are null players.

    Args:
        asked: (number of frames, video) of each instance.
        features: of all videos.
        scores: evaluates the sequences.
        longest: number of players.

    Returns:
        (instance, 2**longest, 1).
    """
    found = np.empty((len(asked), 2**longest, 1), dtype=np.float32)
    for n in sorted({n for n, _ in asked}):
        rows = [row for row, (frames, _) in enumerate(asked) if frames == n]
        videos = [asked[row][1] for row in rows]
        tables = scores(frames_of(features, videos, n), features.labels[videos][:, None])
        # In mask order, each null player repeats the table of the players before it.
        found[rows] = np.tile(tables, (1, 2 ** (longest - n), 1))
    return found


def values_by_length(store: CoalitionStore) -> list[NDArray[np.float64]]:
    """Values of the true class with 1 frame, with 2, …: (video, frame) each."""
    lengths = coordinate(store, "n_frames")
    return [
        stored_shapley_values(store, np.flatnonzero(lengths == n).tolist(), n)[:, :, 0]
        for n in range(1, store.record.n_players + 1)
    ]


def supporting_by_length(values: Sequence[NDArray[np.floating]]) -> dict[str, Any]:
    """Percentage of frames with a positive value, by number of frames.

    Args:
        values: (video, frame) of the true class for each number, of the same videos.

    Returns:
        ``videos``; ``supporting_percent`` and its ``standard_error`` over videos; ``falls``: the
        mean drop of the percentage from each number of frames to the largest number, in percentage
        points, with its standard error.
    """
    shares = [supporting_share(esv) for esv in values]
    of_videos = [100 * (esv > 0).mean(axis=1) for esv in values]
    falls = [mean_and_error(of_n - of_videos[-1]) for of_n in of_videos]
    return {
        "videos": len(values[0]),
        "supporting_percent": [share for share, _ in shares],
        "standard_error": [error for _, error in shares],
        "falls": [{"difference": float(mean), "error": float(error)} for mean, error in falls],
    }


def length_rows(
    model: str, frames: Sequence[int], found: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Results of :func:`supporting_by_length` as rows of a table."""
    return [
        {
            "model": model,
            "frames": n,
            "videos": found["videos"],
            "supporting_percent": found["supporting_percent"][i],
            "standard_error": found["standard_error"][i],
        }
        for i, n in enumerate(frames)
    ]
