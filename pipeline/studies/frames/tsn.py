"""Train the averaging classifier (TSN) on TSN features."""

from pathlib import Path

import torch

from pipeline.models import checkpoints
from pipeline.models.sequences import Averaging
from pipeline.studies.frames import sampling
from pipeline.studies.frames.classifiers import train_classifier
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.params import TsnParams


def train_averaging(
    features: FeatureSet, n_classes: int, params: TsnParams, *, device: str = "auto"
) -> Averaging:
    """The classifier, trained on ``params.draws`` choices of frames of every clip per epoch."""
    torch.manual_seed(params.seed)
    network = Averaging(features.feature_dim, n_classes, params.dropout)
    train_classifier(
        network,
        features,
        lambda lengths, rng: sampling.drawn_in_segments(lengths, params.frames, rng),
        params=params,
        seed=[params.seed],
        description="frames_tsn",
        device=device,
    )
    return network


def load_averaging(path: Path) -> Averaging:
    """A trained averaging classifier in evaluation mode."""
    return checkpoints.build(path, Averaging, ("feature_dim", "n_classes")).eval()
