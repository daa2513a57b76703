"""Train one single-scale model f^s of the multi-scale TRN (Play Fair, supplement C)."""

from pathlib import Path

import numpy as np
import torch

from pipeline.models import checkpoints
from pipeline.models.sequences import SingleScale
from pipeline.studies.frames import sampling
from pipeline.studies.frames.classifiers import train_classifier
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.params import ScaleParams


def train_scale(
    features: FeatureSet, n_classes: int, scale: int, params: ScaleParams, *, device: str = "auto"
) -> SingleScale:
    """f^scale, trained on ``params.draws`` subsequences of every clip an epoch."""
    torch.manual_seed(np.random.SeedSequence([params.seed, scale]).generate_state(1)[0])
    network = SingleScale(scale, features.feature_dim, params.hidden, n_classes, params.dropout)
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


def load_scale(path: Path) -> SingleScale:
    """A trained single-scale model in evaluation mode."""
    keys = ("scale", "feature_dim", "hidden", "n_classes")
    return checkpoints.build(path, SingleScale, keys).eval()
