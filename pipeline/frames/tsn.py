"""Stage: train the averaging classifier (TSN) on TSN features."""

from pathlib import Path

import torch

from pipeline.frames import sampling
from pipeline.frames.classifiers import train_classifier
from pipeline.frames.feature_files import FeatureSet, read_features
from pipeline.frames.priors import read_priors
from pipeline.networks import checkpoints
from pipeline.networks.sequences import Averaging
from pipeline.params.frames import TsnParams
from pipeline.stage import run


def main(
    *,
    features: Path,
    priors: Path,
    params: TsnParams,
    out: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Train the classifier on the mean of the logits of a clip's frames."""
    classes, _ = read_priors(priors)
    found = read_features(features, n_classes=len(classes), label=label)
    network = train_averaging(found, len(classes), params, device=device)
    description = {
        "feature_dim": found.feature_dim,
        "n_classes": len(classes),
        "backbone_sha256": found.backbone_sha256,
    }
    checkpoints.save(out, network, description)


def train_averaging(
    features: FeatureSet, n_classes: int, params: TsnParams, *, device: str = "auto"
) -> Averaging:
    """The classifier, trained on ``params.draws`` choices of frames of every clip an epoch."""
    torch.manual_seed(params.seed)
    network = Averaging(features.feature_dim, n_classes, params.dropout)
    train_classifier(
        network,
        features,
        lambda lengths, rng: sampling.in_segments(
            lengths, rng.random((len(lengths), params.frames))
        ),
        params=params,
        seed=[params.seed],
        description="frames_tsn",
        device=device,
    )
    return network


def load_averaging(path: Path) -> Averaging:
    """A trained averaging classifier in evaluation mode."""
    return checkpoints.build(path, Averaging, ("feature_dim", "n_classes")).eval()


if __name__ == "__main__":
    run(main)
