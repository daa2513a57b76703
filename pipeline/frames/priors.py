"""Stage: the class distribution of the training set, which stands for a video without frames."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.datasets.something import classes_from, read_classes
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.frames.coalition_scores import Score
from pipeline.frames.feature_files import read_features
from pipeline.stage import run


def main(
    *,
    features: Path,
    out: Path,
    classes: Path | None = None,
    root: Path | None = None,
    label: str | None = None,
) -> None:
    """Count the classes of the training clips in ``features``.

    Their names come from the labels.json ``classes``, or that of the dataset ``root``; without
    either they are numbered.
    """
    found = read_features(features, label=label)
    if classes is not None:
        names = classes_from(classes)
    elif root is not None:
        names = read_classes(root)
    else:
        names = tuple(f"class {number}" for number in range(int(found.labels.max()) + 1))
    if found.labels.max() >= len(names):
        raise InputError(
            f"{features}: has class {found.labels.max()}, but only {len(names)} classes have names"
        )
    counts = np.bincount(found.labels, minlength=len(names))
    prior = counts / counts.sum()
    write_json(out, {"classes": names, "counts": counts.tolist(), "prior": prior.tolist()})


def read_priors(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes, and how many training clips each has (class,) int64."""
    content = json.loads(path.read_bytes())
    return tuple(content["classes"]), np.array(content["counts"], dtype=np.int64)


def empty_score(counts: np.ndarray, score: Score) -> Tensor:
    """v(∅) in the unit of ``score``: the class distribution, or its logarithm for logits.

    A class without training clips counts as half a clip in the logarithm.

    Args:
        counts: (class,) training clips of each class.
        score: what v is.

    Returns:
        (class,) float32.
    """
    prior = torch.from_numpy(counts / counts.sum())
    if score == "logit":
        prior = torch.from_numpy(np.maximum(counts, 0.5) / counts.sum()).log()
    return prior.float()


if __name__ == "__main__":
    run(main)
