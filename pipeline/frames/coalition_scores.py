"""Scores of every coalition of a sequence's elements, for all classes and many sequences at once.

A coalition of frames is the shorter sequence of the frames in it, in order (the absent ones are
deleted). Coalitions are evaluated by size, upward:

* the multi-scale model by the recursion of Play Fair (supplement, Eq. 28): with k = |S|,
  f(S) = (f^k(S) + (k − 1) · mean over i in S of f(S∖i)) / k while k ≤ n_max, and the mean alone
  beyond. The first layer of f^k is linear in the concatenation, so every frame is projected once
  for each position that it can take, and a subsequence's hidden pre-activation is a sum of k rows;
* the averaging model by the mean of its frames' logits.

Only the size below is needed, so nothing as long as all coalitions is kept unless asked for. A row
of a working table holds a coalition's values in all sequences side by side: indices are shared by
the sequences, and one pass serves as many of them as memory holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline import coalitions
from pipeline.errors import InputError
from pipeline.networks.sequences import Averaging, MultiScale

Score = Literal["probability", "logit", "mean_of_softmax"]
"""What a class score is: the softmax of the averaged logits, those logits, or the average of
the single evaluations' softmaxes."""

Model = MultiScale | Averaging

_BLOCK_BYTES = {"cpu": 1 << 21, "cuda": 1 << 28}
_MAX_INDEXED = 20
"""Frames up to which the members of all coalitions are kept listed (84 MB at 20)."""


@dataclass(frozen=True)
class _Size:
    """Indices of the coalitions of one size; R of them, in ascending mask order."""

    masks: Tensor
    """(R,) int64"""
    players: Tensor
    """(R, size) int32: members, ascending"""
    subsets: Tensor
    """(R, size) int32: ranks of S∖i among the coalitions one smaller"""


@dataclass(frozen=True)
class Block:
    """Scores of some coalitions of one size."""

    size: int
    masks: Tensor
    """(rows,) int64"""
    scores: Tensor
    """(rows, sequence, class)"""


@lru_cache(maxsize=4)
def _sizes(n_players: int, device: torch.device) -> tuple[_Size, ...]:
    rank = coalitions.ranks(n_players).astype(np.int32)
    result = []
    for size in range(n_players + 1):
        masks = coalitions.of_size(n_players, size)
        players = coalitions.members(masks, size)
        without = masks[:, None] & ~np.left_shift(np.uint32(1), players.astype(np.uint32))
        result.append(
            _Size(
                masks=torch.from_numpy(masks.astype(np.int64)).to(device),
                players=torch.from_numpy(players.astype(np.int32)).to(device),
                subsets=torch.from_numpy(rank[without]).to(device),
            )
        )
    return tuple(result)


def row_blocks(n_rows: int, row_bytes: int, device: torch.device) -> Iterator[slice]:
    """Cut rows into blocks that stay in a processor's cache, or fill a GPU."""
    step = max(64, _BLOCK_BYTES.get(device.type, 1 << 26) // row_bytes)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def check(model: Model, features: Tensor) -> None:
    """Raise InputError unless the features are finite and of the shape that the model takes."""
    if features.dim() != 3 or features.shape[2] != model.feature_dim:
        raise InputError(
            f"features have shape {tuple(features.shape)}; the model takes "
            f"(sequence, frame, {model.feature_dim})"
        )
    if features.shape[1] < 1:
        raise InputError("a sequence needs at least one frame")
    bad = ~torch.isfinite(features).flatten(start_dim=1).all(dim=1)
    if bad.any():
        where = torch.nonzero(bad).flatten().tolist()
        raise InputError(f"features hold NaN or Inf in sequence(s) {where[:8]}")


def class_scores(logits: Tensor, score: Score) -> Tensor:
    """What stands behind the averages."""
    return logits.softmax(dim=-1) if score == "probability" else logits


def single_scores(logits: Tensor, score: Score) -> Tensor:
    """What stands before the averages."""
    return logits.softmax(dim=-1) if score == "mean_of_softmax" else logits


def projections(model: MultiScale, features: Tensor, size: int) -> Tensor:
    """First-layer terms of each frame at each position: (size * frame, sequence * hidden)."""
    first = model.scale(size).first
    n_sequences, n_frames, feature_dim = features.shape
    rows = features.transpose(0, 1).reshape(-1, feature_dim)
    projected = rows.new_empty((size, len(rows), model.hidden))
    # Position by position, the weights are read where they are; all at once, they would be copied.
    for position, weight in enumerate(first.weight.split(feature_dim, dim=1)):
        torch.mm(rows, weight.t(), out=projected[position])
    projected[0] += first.bias
    return projected.view(size * n_frames, n_sequences * model.hidden)


def _multi_scale_blocks(model: MultiScale, features: Tensor, score: Score) -> Iterator[Block]:
    n_sequences, n_frames, _ = features.shape
    n_classes, device, dtype = model.n_classes, features.device, features.dtype
    row_bytes = n_sequences * max(model.hidden, n_classes) * features.element_size()
    smaller = torch.empty(0, dtype=dtype, device=device)
    for size, index in enumerate(_sizes(n_frames, device)[1:], start=1):
        table = torch.empty((len(index.masks), n_sequences * n_classes), dtype=dtype, device=device)
        if size <= model.n_max:
            mlp = model.scale(size)
            projected = projections(model, features, size)
            position = n_frames * torch.arange(size, dtype=torch.int32, device=device)
            weight, bias = mlp.second.weight.t(), mlp.second.bias
        for rows in row_blocks(len(index.masks), row_bytes, device):
            block = table[rows]
            if size > 1:
                mean = functional.embedding_bag(index.subsets[rows], smaller, mode="mean")
            if size > model.n_max:
                block.copy_(mean)
            else:
                slots = index.players[rows] + position
                inner = functional.embedding_bag(slots, projected, mode="sum").relu_()
                inner = inner.view(-1, inner.shape[1] // n_sequences)
                single = single_scores(torch.addmm(bias, inner, weight), score)
                single = single.view(len(block), -1)
                if size > 1:
                    torch.lerp(mean, single, 1 / size, out=block)
                else:
                    block.copy_(single)
            scores = class_scores(block.view(-1, n_sequences, n_classes), score)
            yield Block(size, index.masks[rows], scores)
        smaller = table


def _averaging_blocks(model: Averaging, features: Tensor, score: Score) -> Iterator[Block]:
    n_sequences, n_frames, _ = features.shape
    single = single_scores(model.classifier(features), score).transpose(0, 1)
    single = single.reshape(n_frames, -1)
    row_bytes = single.shape[1] * features.element_size()
    for size, index in enumerate(_sizes(n_frames, features.device)[1:], start=1):
        for rows in row_blocks(len(index.masks), row_bytes, features.device):
            mean = functional.embedding_bag(index.players[rows], single, mode="mean")
            mean = mean.view(-1, n_sequences, model.n_classes)
            yield Block(size, index.masks[rows], class_scores(mean, score))


def score_blocks(model: Model, features: Tensor, score: Score) -> Iterator[Block]:
    """Scores of every coalition but the empty one, by size upward, a block at a time."""
    coalitions.check_enumerable(features.shape[1])
    if isinstance(model, MultiScale):
        return _multi_scale_blocks(model, features, score)
    return _averaging_blocks(model, features, score)


@torch.no_grad()
def table(model: Model, features: Tensor, empty: Tensor, score: Score = "probability") -> Tensor:
    """Scores of all coalitions of the frames of each sequence.

    Args:
        model: in evaluation mode, on the features' device and of their dtype.
        features: (sequence, frame, feature_dim) float32 or float64, at most 26 frames.
        empty: (class,) v(∅), in the unit of ``score``.
        score: what v is.

    Returns:
        (sequence, 2**frame, class) in mask order, on the features' device.

    Raises:
        InputError: wrong shapes, too many frames, NaN or Inf.
    """
    check(model, features)
    n_sequences, n_frames, _ = features.shape
    result = features.new_empty((n_sequences, 2**n_frames, model.n_classes))
    result[:, 0] = empty.to(result)
    for block in score_blocks(model, features, score):
        result[:, block.masks] = block.scores.transpose(0, 1)
    return result


def subsequences(
    n_frames: int, size: int, row_bytes: int, device: torch.device
) -> Iterator[Tensor]:
    """Frames of every subsequence of one length, (rows, size) int32, in blocks of whole rows."""
    for rows in row_blocks(comb(n_frames, size), row_bytes, device):
        if n_frames <= _MAX_INDEXED:
            yield _sizes(n_frames, device)[size].players[rows]
        else:
            players = coalitions.members_of_ranks(n_frames, size, rows.start, rows.stop)
            yield torch.from_numpy(players).to(device, torch.int32)


@torch.no_grad()
def whole_scores(model: Model, features: Tensor, score: Score = "probability") -> Tensor:
    """Scores of the whole sequences alone, f(X): (sequence, class).

    Arguments and errors as :func:`table`, with any number of frames. For the multi-scale model
    this is the expectation over all subsequences of up to n_max frames; since the output layer is
    linear, unless a softmax stands behind it hidden units are averaged first and mapped to classes
    once.
    """
    check(model, features)
    n_sequences, n_frames, _ = features.shape
    if isinstance(model, Averaging):
        single = single_scores(model.classifier(features), score)
        return class_scores(single.mean(dim=1), score)
    n_scales = min(n_frames, model.n_max)
    result = features.new_zeros((n_sequences, model.n_classes))
    for size in range(1, n_scales + 1):
        mlp = model.scale(size)
        projected = projections(model, features, size)
        position = n_frames * torch.arange(size, dtype=torch.int32, device=features.device)
        width = model.n_classes if score == "mean_of_softmax" else model.hidden
        total = features.new_zeros((n_sequences, width))
        row_bytes = projected.shape[1] * features.element_size()
        for players in subsequences(n_frames, size, row_bytes, features.device):
            inner = functional.embedding_bag(players + position, projected, mode="sum").relu_()
            inner = inner.view(len(players), n_sequences, -1)
            if score == "mean_of_softmax":
                inner = mlp.second(inner).softmax(dim=-1)
            total += inner.sum(dim=0)
        mean = total / comb(n_frames, size)
        result += mean if score == "mean_of_softmax" else mlp.second(mean)
    return class_scores(result / n_scales, score)


def sequences_at_once(model: Model, n_frames: int, budget_bytes: int) -> int:
    """How many sequences :func:`table` may be given at once within a memory budget."""
    rows = 2 * comb(n_frames, n_frames // 2) + 2**n_frames
    return max(1, budget_bytes // (4 * model.n_classes * rows))
