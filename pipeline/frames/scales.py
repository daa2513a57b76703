"""Stage: train one single-scale model f^s of the multi-scale TRN (Play Fair, supplement C)."""

from pathlib import Path

import numpy as np
import torch

from pipeline.frames import sampling
from pipeline.frames.classifiers import train_classifier
from pipeline.frames.feature_files import FeatureSet, read_features
from pipeline.frames.priors import read_priors
from pipeline.networks import checkpoints
from pipeline.networks.sequences import SingleScale
from pipeline.params.frames import ScaleParams
from pipeline.stage import run


def main(
    *,
    features: Path,
    priors: Path,
    scale: int,
    params: ScaleParams,
    out: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Train f^scale on random subsequences of the training clips' frames."""
    classes, _ = read_priors(priors)
    found = read_features(features, n_classes=len(classes), label=label)
    network = train_scale(found, len(classes), scale, params, device=device)
    description = {
        "scale": scale,
        "feature_dim": found.feature_dim,
        "hidden": params.hidden,
        "n_classes": len(classes),
        "backbone_sha256": found.backbone_sha256,
    }
    checkpoints.save(out, network, description)


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


if __name__ == "__main__":
    run(main)
