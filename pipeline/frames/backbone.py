"""Stage: train the network that maps a frame to its features, under a TRN or a TSN head.

The head is only there to train the features; the models that are explained are trained on them by
``scales`` and ``tsn``.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.datasets.something import read_classes, read_split
from pipeline.frames import sampling
from pipeline.frames.clips import clip_reader
from pipeline.networks import backbones, checkpoints, devices
from pipeline.networks.sequences import Averaging, SingleScale
from pipeline.networks.training import fit
from pipeline.params.frames import BackboneParams, BackboneWeights, DecodingParams
from pipeline.stage import run

log = logging.getLogger(__name__)

ModelName = Literal["trn", "tsn"]


class _UnderTrn(nn.Module):
    """Backbone and multi-scale head: each step, one subsequence of every length."""

    def __init__(self, backbone: nn.Module, feature_dim: int, frames: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        heads = (SingleScale(s, feature_dim, feature_dim, classes) for s in range(1, frames + 1))
        self.heads = nn.ModuleList(heads)

    def loss(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """Mean over lengths of the cross-entropy; pictures (clip, frame, 3, h, w)."""
        n_clips, n_frames = pictures.shape[:2]
        features = self.backbone(pictures.flatten(end_dim=1)).view(n_clips, n_frames, -1)
        losses = []
        for size, head in enumerate(self.heads, start=1):
            chosen = torch.randperm(n_frames)[:size].sort().values
            losses.append(functional.cross_entropy(head(features[:, chosen]), labels))
        return torch.stack(losses).mean()


class _UnderTsn(nn.Module):
    """Backbone and averaging head."""

    def __init__(self, backbone: nn.Module, feature_dim: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = Averaging(feature_dim, classes)

    def loss(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the mean of the frames' logits; pictures (clip, frame, 3, h, w)."""
        n_clips, n_frames = pictures.shape[:2]
        features = self.backbone(pictures.flatten(end_dim=1)).view(n_clips, n_frames, -1)
        return functional.cross_entropy(self.head(features), labels)


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
            _UnderTrn(backbone, params.feature_dim, params.frames, n_classes)
            if model == "trn"
            else _UnderTsn(backbone, params.feature_dim, n_classes)
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


def load_backbone(path: Path) -> tuple[nn.Module, DecodingParams]:
    """A trained backbone in evaluation mode, and how its frames were decoded."""
    description, state = checkpoints.load(path)
    backbone = backbones.build(
        description["architecture"], description["feature_dim"], description["size"]
    )
    checkpoints.fill(backbone, state, path)
    decoding = DecodingParams(fps=description["fps"], size=description["size"])
    return backbone.eval(), decoding


if __name__ == "__main__":
    run(main)
