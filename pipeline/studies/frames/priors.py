"""The class distribution of the training set, which is the score of a video without frames."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.studies.frames.coalition_scores import Score


def read_priors(path: str | Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes, and how many training clips each has (class,) int64."""
    content = json.loads(Path(path).read_bytes())
    return tuple(content["classes"]), np.array(content["counts"], dtype=np.int64)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Names of the classes, from a JSON file that has them under ``classes``."""
    return tuple(json.loads(path.read_bytes())["classes"])


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
