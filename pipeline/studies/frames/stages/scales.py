"""Stage: train one single-scale model f^s of the multi-scale TRN (Play Fair, supplement C)."""

from pathlib import Path

from pipeline.models import checkpoints
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.params import ScaleParams
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.scales import train_scale

VERSION = 2


def main(
    *,
    features: Path,
    priors: Path,
    scale: int,
    params: ScaleParams,
    out: Path,
    label: str | None = None,
    device: str = "auto",
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
