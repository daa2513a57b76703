"""Stage: accuracy of both models against the number of frames that they are given (Fig. 10)."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.datasets.something import read_order_pairs
from pipeline.files import replacing, write_json
from pipeline.frames import sampling
from pipeline.frames.coalition_scores import Model, whole_scores
from pipeline.frames.feature_files import FeatureSet, read_features
from pipeline.frames.priors import read_priors
from pipeline.frames.trained import load_model
from pipeline.networks import devices
from pipeline.params.frames import AccuracyParams
from pipeline.progress import progress
from pipeline.stage import run

VIDEOS_AT_ONCE = {"cpu": 64, "cuda": 512}


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: AccuracyParams,
    out: Path,
    curve: Path,
    root: Path | None = None,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Predict every validation clip from 1 … max_frames frames spread evenly over it.

    ``out`` (JSON) becomes all of it, ``curve`` (CSV) the share of clips predicted rightly. If the
    data set below ``root`` says which pairs of classes only the order of the frames tells apart,
    ``within_pairs`` is how often such a clip's class scores above its counterpart.
    """
    target = devices.resolve(device)
    classes, _ = read_priors(priors)
    pairs = read_order_pairs(root) if root is not None else []
    counterpart = counterparts(pairs, classes)
    counts_of_frames = range(1, params.max_frames + 1)
    result: dict[str, object] = {"frames": list(counts_of_frames)}
    columns: dict[str, Sequence[float]] = {"frames": counts_of_frames}
    for name, path, weights in (("trn", trn_features, scales), ("tsn", tsn_features, [tsn])):
        features = read_features(path, n_classes=len(classes), label=label)
        model = load_model(name, weights).to(target)
        measured: dict[str, list[float]] = {}
        with progress(f"frames_accuracy {name}", params.max_frames, "frame counts") as advance:
            for n_frames in counts_of_frames:
                scores = predict(model, features, n_frames, target)
                for key, value in accuracies(scores, features.labels, counterpart).items():
                    measured.setdefault(key, []).append(value)
                advance()
        paired = counterpart[features.labels] >= 0
        counts = {"clips": len(features), "clips_of_pairs": int(paired.sum())}
        result[name] = {**counts, **measured}
        columns[name] = measured["top1"]
    chance = 1 / len(classes)
    result["chance"] = {"top1": chance, "top1_pairs": chance, "top1_rest": chance}
    result["chance"] |= {"within_pairs": 0.5} if (counterpart >= 0).any() else {}  # type: ignore[operator]
    with replacing(curve) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        write_json(out, result)


def counterparts(pairs: Sequence[tuple[str, str]], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """For each class the number of the other class of its pair, or −1: (class,)."""
    result = np.full(len(classes), -1)
    for first, second in pairs:
        if first in classes and second in classes:
            a, b = classes.index(first), classes.index(second)
            result[a], result[b] = b, a
    return result


def predict(
    model: Model, features: FeatureSet, n_frames: int, device: torch.device
) -> NDArray[np.float32]:
    """Scores of every clip from ``n_frames`` frames spread evenly over it: (clip, class)."""
    rows = []
    at_once = VIDEOS_AT_ONCE.get(device.type, 64)
    for start in range(0, len(features), at_once):
        videos = np.arange(start, min(start + at_once, len(features)))
        frames = sampling.spread(features.lengths[videos], n_frames)
        batch = torch.from_numpy(features.gather(videos, frames)).to(device)
        rows.append(whole_scores(model, batch).cpu().numpy())
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


if __name__ == "__main__":
    run(main)
