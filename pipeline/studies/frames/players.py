"""A trained model, and videos sampled at as many frames as there are players."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.studies.frames import sampling
from pipeline.studies.frames.coalition_scores import Model, Score, whole_scores
from pipeline.studies.frames.feature_files import FeatureSet, read_features
from pipeline.studies.frames.params import ShortVideos
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.trained import load_model

log = logging.getLogger(__name__)

BLOCK = 256
"""Instances whose features are read at once where they are read one by one."""


@dataclass(frozen=True)
class Setting:
    """A model, its score of no frames, and its videos."""

    model: str
    """trn or tsn"""
    network: Model
    """in evaluation mode, on ``device``"""
    empty: torch.Tensor
    """(class,) v(∅), in the unit of ``score``, on ``device``"""
    score: Score
    classes: tuple[str, ...]
    features: FeatureSet
    """of all videos"""
    device: torch.device


class Sequences:
    """Features of chosen frames of videos, which are gathered when they are indexed.

    Attributes:
        shape: (instance, n, feature_dim).
    """

    def __init__(
        self, features: FeatureSet, videos: NDArray[np.int64], frames: NDArray[np.int64]
    ) -> None:
        """Frames (instance, n) of the videos (instance,) with these numbers."""
        self.shape = (*frames.shape, features.feature_dim)
        self._features = features
        self._videos = videos
        self._frames = frames
        self._block: tuple[int, NDArray[np.float32]] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(
        self, instances: int | slice | Sequence[int] | NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Features of an instance (n, feature_dim), or of several (k, n, feature_dim)."""
        if isinstance(instances, int | np.integer):
            # Whoever goes through all of them reads each block once.
            number, place = divmod(range(len(self))[int(instances)], BLOCK)
            if self._block is None or self._block[0] != number:
                self._block = number, self[number * BLOCK : (number + 1) * BLOCK]
            return self._block[1][place]
        some = instances if isinstance(instances, slice) else np.asarray(instances, dtype=np.intp)
        return self._features.gather(self._videos[some], self._frames[some])


@dataclass(frozen=True)
class Players:
    """Videos sampled at n frames each."""

    instances: tuple[str, ...]
    """ids of the videos"""
    videos: NDArray[np.int64]
    """(instance,) numbers of the videos in the features"""
    frames: NDArray[np.int64]
    """(instance, n) rows of each video"""
    labels: NDArray[np.int64]
    """(instance,) true classes"""
    inputs: Sequences
    """(instance, n, feature_dim), read when they are needed"""


def read_setting(
    model: str,
    features: Path,
    weights: Sequence[Path],
    priors: Path,
    score: Score,
    *,
    label: str | None = None,
    device: torch.device,
) -> Setting:
    """Read a setting from files; the result is the same in every process.

    Args:
        model: trn or tsn.
        features: feature file of the videos.
        weights: checkpoints of the model.
        priors: classes and how many training clips each has (JSON).
        score: what v is.
        label: which class numbers of the feature file to use; by default the only ones there.
        device: where the model is evaluated.

    Raises:
        InputError: a file that cannot be used.
    """
    classes, counts = read_priors(priors)
    found = read_features(features, n_classes=len(classes), label=label)
    network = load_model(model, weights).to(device)
    empty = empty_score(counts, score).to(device)
    return Setting(model, network, empty, score, classes, found, device)


def sample_players(features: FeatureSet, videos: NDArray[np.int64], n: int) -> Players:
    """Sample ``n`` frames spread over each of the videos with the given numbers."""
    frames = sampling.spread(features.lengths[videos], n)
    return Players(
        instances=tuple(features.uids[video] for video in videos),
        videos=videos,
        frames=frames,
        labels=features.labels[videos],
        inputs=Sequences(features, videos, frames),
    )


def long_enough(
    features: FeatureSet, n: int, short_videos: ShortVideos, parameter: str
) -> NDArray[np.int64]:
    """Numbers of the videos to sample at n frames; ``short_videos`` decides on shorter ones.

    Raises InputError if no video is left; the message names ``parameter``, which sets n.
    """
    videos = np.arange(len(features))
    short = features.lengths < n
    if short.any():
        what = "sampled with repeats"
        if short_videos == "leave_out":
            videos, what = videos[~short], "left out"
        names = ", ".join(np.array(features.uids)[short][:8])
        log.warning("%d videos of fewer than n: %d frames are %s: %s", short.sum(), n, what, names)
    if not len(videos):
        raise InputError(
            f"no video has {n} frames, and shorter ones are left out; lower {parameter}, or set "
            "frames.coalitions.short_videos: repeat"
        )
    return videos


def predict(
    network: Model, inputs: NDArray[np.float32] | Sequences, score: Score, device: torch.device
) -> NDArray[np.int64]:
    """The class of highest score of each sequence: (instance, n, feature_dim) → (instance,).

    ``network`` is in evaluation mode on ``device``.
    """
    parts = []
    for i in range(0, len(inputs), 64):
        scores = whole_scores(network, torch.from_numpy(inputs[i : i + 64]).to(device), score)
        parts.append(scores.cpu().numpy().argmax(axis=1))
    return np.concatenate(parts)
