"""The network that maps a frame to its features, and its training under a TRN or a TSN head.

The head serves only to train the features. The stages ``scales`` and ``tsn`` train the models that
are explained on these features.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.data.something import Clip
from pipeline.models import backbones, checkpoints
from pipeline.models.sequences import Averaging, SingleScale
from pipeline.models.training import fit
from pipeline.studies.frames import sampling
from pipeline.studies.frames.clips import clip_reader
from pipeline.studies.frames.params import BackboneParams, BackboneWeights, DecodingParams


class UnderTrn(nn.Module):
    """Backbone and multi-scale head; each step draws one subsequence of every length."""

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


def new_backbone(model: str, params: BackboneParams, size: int) -> nn.Module:
    """A backbone before its training, with random or given weights.

    Args:
        model: trn or tsn.
        params: architecture and weights.
        size: pixels, width and height, of the pictures.

    Raises:
        InputError: weights that cannot be used.
    """
    backbone = backbones.build(
        params.architecture, params.feature_dim, size, pretrained=params.weights == "imagenet"
    )
    if isinstance(params.weights, BackboneWeights):
        source = Path(params.weights.trn if model == "trn" else params.weights.tsn)
        checkpoints.fill(backbone, checkpoints.load(source)[1], source)
    return backbone


def train_backbone(
    model: str,
    backbone: nn.Module,
    clips: Sequence[Clip],
    n_classes: int,
    params: BackboneParams,
    decoding: DecodingParams,
    *,
    device: torch.device,
    workers: int,
) -> None:
    """Train a backbone in place, under the model's head; it is left on the device.

    Args:
        model: trn or tsn.
        backbone: the network.
        clips: of the training set, with labels. Those that cannot be decoded are left out.
        n_classes: number of classes.
        params: how it is trained.
        decoding: how frames are taken from a clip.
        device: where it is trained.
        workers: clips that are decoded at once.

    Raises:
        InputError: no clip can be decoded.
    """
    under = (
        UnderTrn(backbone, params.feature_dim, params.frames, n_classes)
        if model == "trn"
        else UnderTsn(backbone, params.feature_dim, n_classes)
    )
    under.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    labels = torch.tensor([clip.label for clip in clips], device=device)
    read = clip_reader(clips, decoding, workers=workers)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([params.seed, epoch])
        order = rng.permutation(len(clips))
        for start in range(0, len(order), params.batch_clips):
            videos = read(order[start : start + params.batch_clips])
            if not videos:
                continue
            lengths = np.array([len(pictures) for pictures in videos.values()])
            frames = sampling.in_segments(lengths, rng.random((len(videos), params.frames)))
            taken = [f[i] for f, i in zip(videos.values(), frames, strict=True)]
            pictures = torch.from_numpy(np.stack(taken)).to(device, non_blocking=True)
            yield backbones.normalise(pictures), labels[list(videos)]

    fit(
        under,
        lambda batch: under.loss(*batch),
        batches,
        epochs=params.epochs,
        batches_per_epoch=-(-len(clips) // params.batch_clips),
        learning_rate=params.learning_rate,
        description=f"frames_backbone {model}",
        schedule="one_cycle",
        weight_decay=1e-2,
    )


def load_backbone(path: Path) -> tuple[nn.Module, DecodingParams]:
    """A trained backbone in evaluation mode, and how its frames were decoded."""
    description, state = checkpoints.load(path)
    backbone = backbones.build(
        description["architecture"], description["feature_dim"], description["size"]
    )
    checkpoints.fill(backbone, state, path)
    decoding = DecodingParams(**{name: description[name] for name in DecodingParams.model_fields})
    return backbone.eval(), decoding
