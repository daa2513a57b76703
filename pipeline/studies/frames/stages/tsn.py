"""Stage: train the averaging classifier (TSN) on TSN features."""

from pathlib import Path

from pipeline.models import checkpoints
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.params import TsnParams
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.tsn import train_averaging

VERSION = 2


def main(
    *,
    features: Path,
    priors: Path,
    params: TsnParams,
    out: Path,
    label: str | None = None,
    device: str = "auto",
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
