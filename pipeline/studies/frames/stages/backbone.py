"""Stage: train the network that maps a frame to its features, under a TRN or a TSN head.

The head is only there to train the features; the models that are explained are trained on them by
``scales`` and ``tsn``.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.data.something import read_classes, read_split
from pipeline.models import backbones, checkpoints, devices
from pipeline.models.training import fit
from pipeline.studies.frames import sampling
from pipeline.studies.frames.backbone import UnderTrn, UnderTsn
from pipeline.studies.frames.clips import clip_reader
from pipeline.studies.frames.params import BackboneParams, BackboneWeights, DecodingParams

VERSION = 1


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

    Clips that cannot be decoded are left out; ``skipped`` says whether there are too many.
    ``clips`` limits the split to its first so many.
    """
    torch.manual_seed(params.seed)
    target = devices.resolve(device)
    backbone = backbones.build(
        params.architecture,
        params.feature_dim,
        decoding.size,
        pretrained=params.weights == "imagenet",
    )
    if isinstance(params.weights, BackboneWeights):
        source = Path(params.weights.trn if model == "trn" else params.weights.tsn)
        checkpoints.fill(backbone, checkpoints.load(source)[1], source)
    if params.epochs > 0:
        classes = read_classes(root)
        chosen = read_split(root, "train")[:clips]
        n_classes = len(classes)
        under = (
            UnderTrn(backbone, params.feature_dim, params.frames, n_classes)
            if model == "trn"
            else UnderTsn(backbone, params.feature_dim, n_classes)
        )
        under.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
        labels = torch.tensor([clip.label for clip in chosen], device=target)
        read = clip_reader(chosen, decoding, workers=threads)

        def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            rng = np.random.default_rng([params.seed, epoch])
            order = rng.permutation(len(chosen))
            for start in range(0, len(order), params.batch_clips):
                videos = read(order[start : start + params.batch_clips])
                if not videos:
                    continue
                lengths = np.array([len(pictures) for pictures in videos.values()])
                frames = sampling.in_segments(lengths, rng.random((len(videos), params.frames)))
                taken = [f[i] for f, i in zip(videos.values(), frames, strict=True)]
                pictures = torch.from_numpy(np.stack(taken)).to(target, non_blocking=True)
                yield backbones.normalise(pictures), labels[list(videos)]

        fit(
            under,
            lambda batch: under.loss(*batch),
            batches,
            epochs=params.epochs,
            batches_per_epoch=-(-len(chosen) // params.batch_clips),
            learning_rate=params.learning_rate,
            description=f"frames_backbone {model}",
            schedule="one_cycle",
            weight_decay=1e-2,
        )
    description = {
        "architecture": params.architecture,
        "feature_dim": params.feature_dim,
        "fps": decoding.fps,
        "size": decoding.size,
    }
    checkpoints.save(out, backbone, description)
