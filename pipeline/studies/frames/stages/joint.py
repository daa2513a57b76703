"""Stage: train the single-scale models of the multi-scale TRN jointly (Play Fair, supplement C).

Only their accuracy is measured: the paper explains models that are trained one by one.
"""

from pathlib import Path

from pipeline.models import checkpoints
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.params import ScalesParams
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.scales import train_jointly

VERSION = 2


def main(
    *,
    features: Path,
    priors: Path,
    params: ScalesParams,
    out: Path,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Train f^1 … f^n_max on the loss of their mean, into one checkpoint."""
    classes, _ = read_priors(priors)
    found = read_features(features, n_classes=len(classes), label=label)
    network = train_jointly(found, len(classes), params, device=device)
    description = {
        "n_max": params.n_max,
        "feature_dim": found.feature_dim,
        "hidden": params.hidden,
        "n_classes": len(classes),
        "backbone_sha256": found.backbone_sha256,
    }
    checkpoints.save(out, network, description)
