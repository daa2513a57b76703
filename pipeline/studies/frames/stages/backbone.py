"""Stage: train the network that maps a frame to its features, under a TRN or a TSN head.

The head serves only to train the features. The stages ``scales`` and ``tsn`` train the models that
are explained on these features.
"""

from pathlib import Path

import torch

from pipeline.data.something import read_classes, read_split, require_videos
from pipeline.models import checkpoints, devices
from pipeline.studies.frames.backbone import new_backbone, train_backbone
from pipeline.studies.frames.params import BackboneParams, DecodingParams

VERSION = 3


def main(
    *,
    model: str,
    root: Path,
    decoding: DecodingParams,
    params: BackboneParams,
    out: Path,
    clips: int | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Train the backbone of one model (trn or tsn) on the training clips below ``root``.

    Clips that cannot be decoded are left out; the stage ``skipped`` fails if there are too many.
    ``clips`` limits the split to its first clips.
    """
    torch.manual_seed(params.seed)
    backbone = new_backbone(model, params, decoding.size)
    if params.epochs > 0:
        chosen = read_split(root, "train")[:clips]
        require_videos(chosen, root, "train")
        train_backbone(
            model,
            backbone,
            chosen,
            len(read_classes(root)),
            params,
            decoding,
            device=devices.resolve(device),
            workers=threads,
        )
    description = {
        "architecture": params.architecture,
        "feature_dim": params.feature_dim,
        **decoding.model_dump(),
    }
    checkpoints.save(out, backbone, description)
