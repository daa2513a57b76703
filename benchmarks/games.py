"""The benchmarked games: random videos for random models, and their plain evaluation.

``plain_scores`` is the code that one would write to give a sequence model to a library of Shapley
values: a forward pass with the coalitions of each size as one batch. The averaging model can be
called directly. For the multi-scale model it computes the mean over all subsequences of each
coalition, with one batch per length of subsequence.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Literal

import torch
from torch import Tensor

from pipeline.models.sequences import Averaging, MultiScale, SingleScale

ModelName = Literal["TRN", "TSN"]

FEATURE_DIM = 256
HIDDEN = 256
N_CLASSES = 174
N_MAX = 8

_BATCH_FLOATS = 1 << 24


@dataclass(frozen=True)
class Game:
    """Videos of equal length, the model that scores them, and its scores without frames."""

    name: ModelName
    model: MultiScale | Averaging
    features: Tensor
    """(video, frame, feature_dim)"""
    empty: Tensor
    """(class,)"""

    @property
    def n_frames(self) -> int:
        """Players of the game."""
        return self.features.shape[1]

    @property
    def target(self) -> int:
        """The class explained by methods for a single class: the likeliest of the first video."""
        everyone = torch.ones((1, self.n_frames), dtype=torch.bool, device=self.features.device)
        return int(plain_scores(self, everyone).argmax())


def make(name: ModelName, n_frames: int, device: torch.device, n_videos: int = 1) -> Game:
    """A game with random weights and features, the same in every process."""
    torch.manual_seed(0)
    model: MultiScale | Averaging
    if name == "TRN":
        sizes = range(1, N_MAX + 1)
        model = MultiScale([SingleScale(k, FEATURE_DIM, HIDDEN, N_CLASSES) for k in sizes])
    else:
        model = Averaging(FEATURE_DIM, N_CLASSES)
    # Large features, so that scores differ between classes, and contributions between frames.
    features = 16 * torch.randn(n_videos, n_frames, FEATURE_DIM)
    empty = torch.randn(N_CLASSES).softmax(dim=0)
    return Game(name, model.eval().to(device), features.to(device), empty.to(device))


@torch.no_grad()
def plain_scores(game: Game, present: Tensor) -> Tensor:
    """Class probabilities of coalitions of the first video's frames.

    Args:
        game: its features must be on the device of ``present``.
        present: (coalition, frame) bool.

    Returns:
        (coalition, class).
    """
    result = game.empty.repeat(len(present), 1)
    sizes = present.sum(dim=1)
    for size in range(1, game.n_frames + 1):
        rows = torch.nonzero(sizes == size).flatten()
        if len(rows):
            frames = torch.nonzero(present[rows])[:, 1].view(-1, size)
            result[rows] = _logits(game, frames).softmax(dim=1)
    return result


def _logits(game: Game, frames: Tensor) -> Tensor:
    """Logits (coalition, class) of coalitions (coalition, size), all of one size."""
    if isinstance(game.model, Averaging):
        step = max(1, _BATCH_FLOATS // (frames.shape[1] * FEATURE_DIM))
        return torch.cat([game.model(game.features[0, part]) for part in frames.split(step)])
    return _expectation(game.model, game.features[0], frames)


def _expectation(model: MultiScale, features: Tensor, frames: Tensor) -> Tensor:
    size = frames.shape[1]
    n_scales = min(size, model.n_max)
    logits = features.new_zeros((len(frames), model.n_classes))
    for scale in range(1, n_scales + 1):
        picks = _picks(size, scale).to(frames.device)
        step = max(1, _BATCH_FLOATS // (len(picks) * scale * FEATURE_DIM))
        for start in range(0, len(frames), step):
            chosen = frames[start : start + step, picks]
            outputs = model.scale(scale)(features[chosen].flatten(end_dim=1))
            logits[start : start + step] += outputs.view(*chosen.shape[:2], -1).mean(dim=1)
    return logits / n_scales


@lru_cache
def _picks(size: int, scale: int) -> Tensor:
    return torch.tensor(list(combinations(range(size), scale)))


def plain_cost(name: ModelName, n_frames: int) -> float:
    """Number of single evaluations by ``plain_scores`` for all coalitions."""
    if name == "TSN":
        return float(n_frames * 2**n_frames)
    return float(
        sum(
            comb(n_frames, size) * sum(comb(size, z) for z in range(1, min(size, N_MAX) + 1))
            for size in range(1, n_frames + 1)
        )
    )
