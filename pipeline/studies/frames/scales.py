"""Train the scales f^s of the multi-scale TRN, apart or jointly (Play Fair, supplement C)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.models import checkpoints
from pipeline.models.sequences import MultiScale, SingleScale
from pipeline.studies.frames import sampling
from pipeline.studies.frames.classifiers import train_classifier
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.params import ScaleParams, ScalesParams


def train_scale(
    features: FeatureSet, n_classes: int, scale: int, params: ScaleParams, *, device: str = "auto"
) -> SingleScale:
    """f^scale, trained on ``params.draws`` subsequences of every clip per epoch."""
    network = _untrained(features, n_classes, scale, params)
    train_classifier(
        network,
        features,
        lambda lengths, rng: sampling.subsequences(lengths, params.frames, scale, rng),
        params=params,
        seed=[params.seed, scale],
        description=f"frames_scales {scale}",
        device=device,
    )
    return network


class Joint(nn.Module):
    """The mean of f^1 … f^n_max, each on a subsequence of its own length."""

    def __init__(self, scales: Sequence[SingleScale]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)
        self.sizes = [scale.scale for scale in scales]

    def forward(self, features: Tensor) -> Tensor:
        """Logits (batch, class) of concatenated subsequences (batch, 1 + … + n_max, D)."""
        parts = features.split(self.sizes, dim=1)
        found = [scale(part) for scale, part in zip(self.scales, parts, strict=True)]
        return torch.stack(found).mean(dim=0)


def train_jointly(
    features: FeatureSet, n_classes: int, params: ScalesParams, *, device: str = "auto"
) -> MultiScale:
    """f^1 … f^n_max, trained on the loss of their common score (Eq. 8).

    They start from the same weights as :func:`train_scale` and take as many steps. The expectation
    over subsequences is sampled: one subsequence of each length per clip.
    """
    sizes = range(1, params.n_max + 1)
    scales = [_untrained(features, n_classes, size, params) for size in sizes]

    def choose(lengths: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        drawn = np.empty((len(lengths), sum(sizes)), dtype=np.int64)
        place = 0
        for size in sizes:
            found = sampling.subsequences(lengths, params.frames, size, rng)
            drawn[:, place : place + size] = found
            place += size
        return drawn

    train_classifier(
        Joint(scales),
        features,
        choose,
        params=params,
        seed=[params.seed, 0],
        description="frames_joint",
        device=device,
    )
    return MultiScale(scales)


def _untrained(
    features: FeatureSet, n_classes: int, scale: int, params: ScaleParams
) -> SingleScale:
    torch.manual_seed(np.random.SeedSequence([params.seed, scale]).generate_state(1)[0])
    return SingleScale(scale, features.feature_dim, params.hidden, n_classes, params.dropout)


def load_joint(path: Path) -> MultiScale:
    """Single-scale models that were trained jointly, in evaluation mode."""

    def empty(n_max: int, feature_dim: int, hidden: int, n_classes: int) -> MultiScale:
        shape = feature_dim, hidden, n_classes
        return MultiScale([SingleScale(size, *shape) for size in range(1, n_max + 1)])

    return checkpoints.build(path, empty, ("n_max", "feature_dim", "hidden", "n_classes")).eval()


def load_scale(path: Path) -> SingleScale:
    """A trained single-scale model in evaluation mode."""
    keys = ("scale", "feature_dim", "hidden", "n_classes")
    return checkpoints.build(path, SingleScale, keys).eval()
