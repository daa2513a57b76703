"""Classifiers of sequences of feature vectors: multi-scale (TRN) and averaging (TSN).

Both take sequences of any length. Their evaluation on all coalitions of a sequence at once is in
``pipeline/studies/frames/coalition_scores.py``.
"""

from typing import cast

import torch
from torch import Tensor, nn


class SingleScale(nn.Module):
    """f^s: an MLP on the concatenation of ``scale`` feature vectors (Play Fair, supplement C)."""

    def __init__(
        self, scale: int, feature_dim: int, hidden: int, n_classes: int, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.first = nn.Linear(scale * feature_dim, hidden)
        self.second = nn.Linear(hidden, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (batch, class) of sequences (batch, scale, feature_dim)."""
        joined = self.dropout(features.flatten(start_dim=1))
        return self.second(torch.relu(self.first(joined)))


class MultiScale(nn.Module):
    """TRN: the expectation of f^s over scales s and subsequences of length s (Play Fair, Eq. 8).

    Args:
        scales: f^1 … f^n_max, in this order, of equal feature, hidden and class counts.
    """

    def __init__(self, scales: list[SingleScale]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)

    def scale(self, size: int) -> SingleScale:
        """f^size."""
        return cast(SingleScale, self.scales[size - 1])

    @property
    def n_max(self) -> int:
        """Length of the longest subsequence, which equals the number of scales."""
        return len(self.scales)

    @property
    def n_classes(self) -> int:
        """Number of outputs."""
        return self.scale(1).second.out_features

    @property
    def feature_dim(self) -> int:
        """Length of one frame's feature vector."""
        return self.scale(1).first.in_features

    @property
    def hidden(self) -> int:
        """Width of the hidden layers."""
        return self.scale(1).first.out_features


class Averaging(nn.Module):
    """TSN: one linear classifier on every frame's features; a sequence gets the mean of logits."""

    def __init__(self, feature_dim: int, n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(feature_dim, n_classes)

    @property
    def n_classes(self) -> int:
        """Number of outputs."""
        return self.classifier.out_features

    @property
    def feature_dim(self) -> int:
        """Length of one frame's feature vector."""
        return self.classifier.in_features

    def forward(self, features: Tensor) -> Tensor:
        """Logits (batch, class) of sequences (batch, frame, feature_dim) of equal length."""
        return self.classifier(self.dropout(features)).mean(dim=1)
