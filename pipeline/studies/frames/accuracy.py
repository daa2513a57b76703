"""Accuracy of both models against the number of frames that they are given (Fig. 10)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.progress import progress
from pipeline.studies.frames import sampling
from pipeline.studies.frames.coalition_scores import Model, Score, whole_scores
from pipeline.studies.frames.feature_files import FeatureSet

VIDEOS_AT_ONCE = {"cpu": 64, "cuda": 512}


def counterparts(pairs: Sequence[tuple[str, str]], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """For each class the number of the other class of its pair, or −1: (class,)."""
    result = np.full(len(classes), -1)
    for first, second in pairs:
        if first in classes and second in classes:
            a, b = classes.index(first), classes.index(second)
            result[a], result[b] = b, a
    return result


def predict(
    model: Model, features: FeatureSet, n_frames: int, score: Score, device: torch.device
) -> NDArray[np.float32]:
    """Scores of every clip from ``n_frames`` frames spread evenly over it: (clip, class)."""
    rows = []
    at_once = VIDEOS_AT_ONCE.get(device.type, 64)
    for start in range(0, len(features), at_once):
        videos = np.arange(start, min(start + at_once, len(features)))
        frames = sampling.spread(features.lengths[videos], n_frames)
        batch = torch.from_numpy(features.gather(videos, frames)).to(device)
        rows.append(whole_scores(model, batch, score).cpu().numpy())
    return np.concatenate(rows)


def accuracies(
    scores: NDArray[np.float32], labels: NDArray[np.int64], counterpart: NDArray[np.int64]
) -> dict[str, float]:
    """Shares of clips predicted rightly.

    Args:
        scores: (clip, class).
        labels: (clip,) true classes.
        counterpart: (class,) the other class of a pair, or −1.

    Returns:
        ``top1`` of all clips. If there are pairs: ``top1_pairs`` of clips of paired classes,
        ``within_pairs`` of them between the two classes of the pair alone, ``top1_rest`` of the
        others, ``top1_pair_blind`` of all where a pair counts as one class.
    """
    predicted = scores.argmax(axis=1)
    right = predicted == labels
    result = {"top1": float(right.mean())}
    other = counterpart[labels]
    paired = other >= 0
    if paired.any():
        clips = np.flatnonzero(paired)
        above = scores[clips, labels[clips]] > scores[clips, other[clips]]
        result["top1_pairs"] = float(right[paired].mean())
        result["within_pairs"] = float(above.mean())
        result["top1_pair_blind"] = float((right | (paired & (predicted == other))).mean())
        if not paired.all():
            result["top1_rest"] = float(right[~paired].mean())
    return result


def by_frames(
    name: str,
    model: Model,
    features: FeatureSet,
    counterpart: NDArray[np.int64],
    counts: Sequence[int],
    score: Score,
    device: torch.device,
) -> dict[str, list[float]]:
    """:func:`accuracies` for each number of frames, a list each.

    Args:
        name: of the model.
        model: in evaluation mode, on ``device``.
        features: of the clips.
        counterpart: (class,) the other class of a pair, or −1.
        counts: numbers of frames.
        score: what a class score is: that which is explained.
        device: where it is evaluated.
    """
    measured: dict[str, list[float]] = {}
    with progress(f"frames_accuracy {name}", len(counts), "frame counts") as advance:
        for n_frames in counts:
            scores = predict(model, features, n_frames, score, device)
            for key, value in accuracies(scores, features.labels, counterpart).items():
                measured.setdefault(key, []).append(value)
            advance()
    return measured


def by_chance(counterpart: NDArray[np.int64]) -> dict[str, float]:
    """What guessing gets: as :func:`accuracies`, with the class drawn evenly."""
    chance = 1 / len(counterpart)
    found = {"top1": chance, "top1_pairs": chance, "top1_rest": chance}
    return found | ({"within_pairs": 0.5} if (counterpart >= 0).any() else {})
