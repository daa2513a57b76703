"""Accuracy of both models against the number of frames that they see (Fig. 10)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.core.progress import progress
from pipeline.core.statistics import mean_and_error
from pipeline.models.sequences import MultiScale
from pipeline.studies.frames import sampling
from pipeline.studies.frames.coalition_scores import Model, Score, whole_scores
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.feature_rows import ranges

LINEAR_CLIPS = 2000
"""Training clips that a linear classifier is fitted to."""

VIDEOS_AT_ONCE = {"cpu": 64, "cuda": 512}
ALONE_AT_ONCE = 1 << 10
"""Clips that a single-scale model classifies at once."""


def counterparts(pairs: Sequence[tuple[str, str]], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """For each class the number of the other class of its pair, or −1: (class,)."""
    result = np.full(len(classes), -1)
    for first, second in pairs:
        if first in classes and second in classes:
            a, b = classes.index(first), classes.index(second)
            result[a], result[b] = b, a
    return result


def score_blocks(
    model: Model,
    features: FeatureSet,
    n_frames: int,
    score: Score,
    device: torch.device,
    clips: NDArray[np.int64] | None = None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Scores of some clips from ``n_frames`` frames spread evenly over each, some clips at a time.

    Args:
        model: in evaluation mode, on ``device``.
        features: of the clips.
        n_frames: frames per clip.
        score: what a class score is.
        device: where the model is evaluated.
        clips: numbers of clips (clip,); None: all.

    Yields:
        Numbers of clips (clip,), and their scores (clip, class).
    """
    chosen = np.arange(len(features)) if clips is None else clips
    at_once = VIDEOS_AT_ONCE.get(device.type, 64)
    for start in range(0, len(chosen), at_once):
        videos = chosen[start : start + at_once]
        frames = sampling.spread(features.lengths[videos], n_frames)
        batch = torch.from_numpy(features.gather(videos, frames)).to(device)
        yield videos, whole_scores(model, batch, score).cpu().numpy()


def _predicted(
    blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]],
) -> NDArray[np.int64]:
    """Class of highest score of each clip, (clip,), from what :func:`score_blocks` yields."""
    return np.concatenate([scores.argmax(axis=1) for _, scores in blocks])


def accuracies(
    scores: NDArray[np.float32], labels: NDArray[np.int64], counterpart: NDArray[np.int64]
) -> dict[str, float]:
    """Shares of clips predicted correctly.

    Args:
        scores: (clip, class).
        labels: (clip,) true classes.
        counterpart: (class,) the other class of a pair, or −1.

    Returns:
        ``top1`` of all clips. If there are pairs: ``top1_pairs`` of the clips of paired classes;
        ``within_pairs`` of the same clips, with only the two classes of the pair to choose from;
        ``top1_rest`` of the other clips; ``top1_pair_blind`` of all clips, with each pair counted
        as one class.
    """
    return _shares(*_judged(scores, labels, counterpart[labels]), labels, counterpart)


def _judged(
    scores: NDArray[np.float32], labels: NDArray[np.int64], other: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Predicted classes (clip,), and whether the true class is above the other of its pair."""
    clips = np.arange(len(scores))
    return scores.argmax(axis=1), scores[clips, labels] > scores[clips, other]


def _shares(
    predicted: NDArray[np.int64],
    above: NDArray[np.bool_],
    labels: NDArray[np.int64],
    counterpart: NDArray[np.int64],
) -> dict[str, float]:
    """:func:`accuracies` from what :func:`_judged` returns."""
    right = predicted == labels
    result = {"top1": float(right.mean())}
    other = counterpart[labels]
    paired = other >= 0
    if paired.any():
        result["top1_pairs"] = float(right[paired].mean())
        result["within_pairs"] = float(above[paired].mean())
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
    """:func:`accuracies` for each number of frames: one list per measure.

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
            # Scores of all classes of all clips would grow with both.
            judged = [
                _judged(scores, features.labels[clips], counterpart[features.labels[clips]])
                for clips, scores in score_blocks(model, features, n_frames, score, device)
            ]
            predicted, above = (np.concatenate(parts) for parts in zip(*judged, strict=True))
            for key, value in _shares(predicted, above, features.labels, counterpart).items():
                measured.setdefault(key, []).append(value)
            advance()
    return measured


@dataclass(frozen=True)
class Learning:
    """Whether a model has learned from its features, compared with a linear classifier of their
    mean over a clip. Shares of clips classified correctly, 0 … 1."""

    clips: int
    """number of training clips that are classified: all, or some spread over them"""
    frames: int
    """frames per clip"""
    train: float
    validation: float
    linear_train: float
    linear_validation: float
    most_frequent: float
    """share of the training clips that are of the most frequent class"""

    @property
    def has_learned(self) -> bool:
        """Whether the model gains, on training clips, at least half of what the linear classifier
        gains over chance."""
        least = (self.linear_train + self.most_frequent) / 2
        return self.train >= least

    def told(self) -> dict[str, float | bool]:
        """For JSON."""
        return {**asdict(self), "has_learned": self.has_learned}


def learning(
    model: Model,
    train: FeatureSet,
    validation: FeatureSet,
    n_frames: int,
    score: Score,
    device: torch.device,
) -> Learning:
    """Compare a model with a linear classifier, on at most :data:`LINEAR_CLIPS` training clips.

    Args:
        model: in evaluation mode, on ``device``.
        train, validation: features of clips.
        n_frames: frames per clip.
        score: what a class score is.
        device: where it is evaluated.
    """
    some = np.linspace(0, len(train) - 1, min(LINEAR_CLIPS, len(train))).round().astype(np.int64)
    every = np.arange(len(validation))
    labels, means = train.labels[some], _means(train, some)
    one_class = len(np.unique(labels)) == 1
    linear = make_pipeline(
        StandardScaler(),
        DummyClassifier() if one_class else LogisticRegression(C=0.1, max_iter=1000),
    ).fit(means, labels)
    of_linear = [linear.score(means, labels)]
    right = [
        linear.predict(_means(validation, every[some.start : some.stop]))
        == validation.labels[some.start : some.stop]
        for some in ranges(len(validation))
    ]
    of_linear.append(np.concatenate(right).mean())
    of_model = []
    for features, clips in ((train, some), (validation, every)):
        said = _predicted(score_blocks(model, features, n_frames, score, device, clips))
        of_model.append(float((said == features.labels[clips]).mean()))
    return Learning(
        clips=len(some),
        frames=n_frames,
        train=of_model[0],
        validation=of_model[1],
        linear_train=float(of_linear[0]),
        linear_validation=float(of_linear[1]),
        most_frequent=float(np.bincount(labels).max() / len(labels)),
    )


def jointly(
    apart: MultiScale,
    joint: MultiScale,
    features: FeatureSet,
    score: Score,
    device: torch.device,
) -> dict[str, object]:
    """Compare single-scale models that are trained one by one with those trained jointly.

    Args:
        apart, joint: of equal n_max, in evaluation mode, on ``device``.
        features: of the clips.
        score: what a class score is.
        device: where they are evaluated.

    Returns:
        ``scales``: the models' lengths. For ``apart`` and ``joint`` each, the shares of correctly
        classified clips: ``alone`` by each f^s from s frames, ``mean_alone`` over scales,
        ``together`` by the whole model from n_max frames. ``differences`` of the last two, apart
        minus joint, from differences clip by clip.
    """
    sizes = range(1, apart.n_max + 1)
    found: dict[str, object] = {"scales": list(sizes)}
    each = {}
    for name, model in (("apart", apart), ("joint", joint)):
        alone = np.stack([_right_alone(model, features, size, device) for size in sizes])
        said = _predicted(score_blocks(model, features, model.n_max, score, device))
        each[name] = {"mean_alone": alone.mean(axis=0)}
        each[name]["together"] = said == features.labels
        shares = {key: float(right.mean()) for key, right in each[name].items()}
        found[name] = {"alone": alone.mean(axis=1).tolist(), **shares}
    differences = {}
    for key, right in each["apart"].items():
        mean, error = mean_and_error(right.astype(np.float64) - each["joint"][key])
        differences[key] = {"difference": float(mean), "error": float(error)}
    return {**found, "differences": differences}


def _right_alone(
    model: MultiScale, features: FeatureSet, size: int, device: torch.device
) -> NDArray[np.bool_]:
    """Whether f^size classifies each clip correctly from ``size`` frames spread over it: (clip,)"""
    frames = sampling.spread(features.lengths, size)
    said = []
    for some in ranges(len(features), ALONE_AT_ONCE):
        with torch.no_grad():
            inputs = features.gather(np.asarray(some), frames[some.start : some.stop])
            scores = model.scale(size)(torch.from_numpy(inputs).to(device))
            said.append(scores.argmax(dim=1).cpu().numpy())
    return np.asarray(np.concatenate(said) == features.labels)


def _means(features: FeatureSet, clips: NDArray[np.integer]) -> NDArray[np.float64]:
    """Mean features of clips: (clip, feature_dim)."""
    first, last = int(clips[0]), int(clips[-1])
    if last - first == len(clips) - 1:
        # A range is read at once.
        rows = features.of_videos(first, last + 1)
        parts = np.split(rows, features.starts[first + 1 : last + 1] - features.starts[first])
    else:
        parts = [features.of_videos(c, c + 1) for c in clips]
    return np.stack([part.mean(axis=0, dtype=np.float64) for part in parts])


def by_chance(counterpart: NDArray[np.int64]) -> dict[str, float]:
    """Expected :func:`accuracies` if the class is drawn uniformly."""
    chance = 1 / len(counterpart)
    found = {"top1": chance, "top1_pairs": chance, "top1_rest": chance}
    return found | ({"within_pairs": 0.5} if (counterpart >= 0).any() else {})
