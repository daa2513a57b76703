"""Stage: how many frames support the class, against how many are looked at (Figs. 6b, 11b).

Exact values of the same videos with 1 … max_frames frames each. All of a model's games stand in one
store, as games of max_frames players: with n frames, players from n on are null players. They
change nobody's value, and what they repeat in a table takes no room once it is compressed.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.files import array_digest
from pipeline.store import CoalitionStore, GameRecord
from pipeline.studies.frames import sampling
from pipeline.studies.frames.coalition_scores import Model, Score, sequences_at_once
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.summaries import mean_and_error
from pipeline.studies.frames.true_class import (
    Scorer,
    evaluated,
    scorer,
)
from pipeline.workflow.versions import version

BYTES_AT_ONCE = 1 << 26
MOST_AT_ONCE = 16
COLUMNS = ("model", "frames", "videos", "supporting_percent", "standard_error")


def fall(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, float]:
    """By how many per cent points fewer frames support the class with the most frames."""
    mean, error = mean_and_error(before - after)
    return {"difference": float(mean), "error": float(error)}


def of_all_lengths(record: GameRecord) -> GameRecord:
    """The record of a game of the most frames, as one that is played with fewer, too."""
    return replace(
        record,
        game=f"{record.game}_lengths",
        player=f"{record.player}; with fewer frames than players, those beyond are null players",
        specification={
            **record.specification,
            "frames": "as many as the instance says",
            "games": version("frames", "lengths_games"),
        },
    )


def play_lengths(
    model: Model,
    empty: torch.Tensor,
    score: Score,
    features: FeatureSet,
    videos: NDArray[np.int64],
    record: GameRecord,
    path: Path,
    receipt: Path,
) -> CoalitionStore:
    """The store of the games of 1 … n_players frames of each video; what it lacks is evaluated.

    Args:
        model: in evaluation mode, on the device where this is to be computed.
        empty: (class,) v(∅), in the unit of ``score``, on the same device.
        score: what v is.
        features: of all videos.
        videos: (video,) numbers of those that are looked at.
        record: from :func:`of_all_lengths`.
        path: of the store. Its instances are all videos with one frame, with two, and so on.
        receipt: where it is written.
    """
    longest = record.n_players
    asked = [(n, int(video)) for n in range(1, longest + 1) for video in videos]
    at_once = min(MOST_AT_ONCE, sequences_at_once(model, longest, BYTES_AT_ONCE))
    scores = scorer(model, empty, score, at_once)

    def tables(indices: Sequence[int]) -> NDArray[np.float32]:
        return padded_tables([asked[i] for i in indices], features, scores, longest)

    return evaluated(
        path,
        record,
        [f"{features.uids[video]} at {n}" for n, video in asked],
        [
            array_digest([frames_of(features, [video], n), features.labels[[video]]])
            for n, video in asked
        ],
        tables,
        batch_size=at_once,
        receipt=receipt,
        description=f"frames_{record.game}",
        device=empty.device,
        evaluations=lambda i: 2 ** asked[i][0],
    )


def frames_of(features: FeatureSet, videos: Sequence[int], n: int) -> NDArray[np.float32]:
    """Features of ``n`` frames spread over each video: (video, n, D)."""
    some = np.asarray(videos, dtype=np.int64)
    return features.gather(some, sampling.spread(features.lengths[some], n))


def padded_tables(
    asked: Sequence[tuple[int, int]], features: FeatureSet, scores: Scorer, longest: int
) -> NDArray[np.float32]:
    """Scores of the true class of all coalitions, players beyond the frames being null.

    Args:
        asked: (number of frames, video) of each instance.
        features: of all videos.
        scores: what evaluates them.
        longest: number of players.

    Returns:
        (instance, 2**longest, 1).
    """
    found = np.empty((len(asked), 2**longest, 1), dtype=np.float32)
    for n in sorted({n for n, _ in asked}):
        rows = [row for row, (frames, _) in enumerate(asked) if frames == n]
        videos = [asked[row][1] for row in rows]
        tables = scores(frames_of(features, videos, n), features.labels[videos][:, None])
        # In mask order the players beyond repeat the table of those before them.
        found[rows] = np.tile(tables, (1, 2 ** (longest - n), 1))
    return found
