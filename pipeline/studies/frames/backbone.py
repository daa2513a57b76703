"""Stage: train the network that maps a frame to its features, under a TRN or a TSN head.

The head is only there to train the features; the models that are explained are trained on them by
``scales`` and ``tsn``.
"""

import logging
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models import backbones, checkpoints
from pipeline.models.sequences import Averaging, SingleScale
from pipeline.studies.frames.params import DecodingParams

log = logging.getLogger(__name__)

ModelName = Literal["trn", "tsn"]


class UnderTrn(nn.Module):
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


class UnderTsn(nn.Module):
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


def load_backbone(path: Path) -> tuple[nn.Module, DecodingParams]:
    """A trained backbone in evaluation mode, and how its frames were decoded."""
    description, state = checkpoints.load(path)
    backbone = backbones.build(
        description["architecture"], description["feature_dim"], description["size"]
    )
    checkpoints.fill(backbone, state, path)
    decoding = DecodingParams(fps=description["fps"], size=description["size"])
    return backbone.eval(), decoding
