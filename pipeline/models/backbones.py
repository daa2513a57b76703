"""Convolutional networks that map a picture to a feature vector."""

from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.errors import InputError

Architecture = Literal["small", "resnet50"]

# Mean and standard deviation of ImageNet, in RGB; torchvision's weights were trained with them.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class _Residual(nn.Module):
    """Two 3×3 convolutions with a shortcut; halves the picture."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(x)))
        inner = self.second_norm(self.second(inner))
        return torch.relu(inner + self.shortcut(functional.avg_pool2d(x, 2, ceil_mode=True)))


class SmallResidual(nn.Module):
    """A residual network for small pictures of moving things.

    The last feature map is not pooled: position matters as much as appearance.
    """

    def __init__(
        self, feature_dim: int, size: int, widths: tuple[int, ...] = (16, 32, 64, 128)
    ) -> None:
        """For pictures of ``size`` × ``size`` pixels."""
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.Sequential(*(_Residual(a, b) for a, b in pairwise(widths)))
        side = -(-size // 2 ** len(widths))
        self.bottleneck = nn.Linear(widths[-1] * side**2, feature_dim)

    def forward(self, pictures: Tensor) -> Tensor:
        """(picture, 3, height, width) normalised → (picture, feature_dim)."""
        x = torch.relu(self.stem_norm(self.stem(pictures)))
        return torch.relu(self.bottleneck(self.blocks(x).flatten(start_dim=1)))


class ResNet50(nn.Module):
    """torchvision's ResNet-50 with a 2048 → feature_dim bottleneck (Play Fair, supplement C)."""

    def __init__(self, feature_dim: int, pretrained: bool) -> None:
        super().__init__()
        from torchvision import models  # noqa: PLC0415  only this network needs torchvision

        weights = models.ResNet50_Weights.IMAGENET1K_V2
        try:
            self.trunk = models.resnet50(weights=weights if pretrained else None)
        except OSError as error:  # urllib's connection errors are OSErrors
            file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
            raise InputError(
                f"frames.backbone.weights: imagenet: there is no {file}, and {weights.url} cannot "
                f"be downloaded ({error}); put the file there, or set weights to null or to "
                "checkpoints of your own"
            ) from None
        self.trunk.fc = nn.Identity()
        self.bottleneck = nn.Linear(2048, feature_dim)

    def forward(self, pictures: Tensor) -> Tensor:
        """(picture, 3, height, width) normalised → (picture, feature_dim)."""
        return torch.relu(self.bottleneck(self.trunk(pictures)))


def build(
    architecture: Architecture, feature_dim: int, size: int, *, pretrained: bool = False
) -> nn.Module:
    """A backbone for pictures of ``size`` × ``size`` pixels.

    ``pretrained`` downloads torchvision's ImageNet weights (resnet50 only).
    """
    if architecture == "resnet50":
        return ResNet50(feature_dim, pretrained)
    return SmallResidual(feature_dim, size)


def normalise(pictures: Tensor) -> Tensor:
    """Pictures (…, height, width, 3) uint8 → (…, 3, height, width) float32 of about unit scale."""
    mean = torch.tensor(_MEAN, device=pictures.device).mul(255)
    std = torch.tensor(_STD, device=pictures.device).mul(255)
    return ((pictures.float() - mean) / std).movedim(-1, -3)
