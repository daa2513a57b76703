"""Scores of sequences in which absent frames are replaced instead of deleted.

A coalition's sequence then has as many elements as the whole one. All sequences of a video are put
together of a few feature vectors: those of its frames and of what replaces them. So of the many
subsequences that the multi-scale model averages over, most occur in several sequences, or several
times in one. Each different subsequence is evaluated once, and its hidden units are then averaged
over all sequences that hold it. Which ones are equal does not depend on the video.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.models.sequences import Averaging
from pipeline.shapley import coalitions
from pipeline.studies.frames.coalition_scores import (
    Model,
    Score,
    check,
    class_scores,
    projections,
    single_scores,
)
from pipeline.studies.frames.params import MOST_REPLACED
from pipeline.studies.frames.removal import Removal, nearest_present


def replacements(features: Tensor) -> Tensor:
    """What sequences are put together of.

    Args:
        features: (sequence, n, feature_dim).

    Returns:
        (sequence, n + 2, feature_dim): the frames, their mean, and zeros.
    """
    mean = features.mean(dim=1, keepdim=True)
    return torch.cat([features, mean, torch.zeros_like(mean)], dim=1)


def patterns(n: int, removal: Removal) -> NDArray[np.int64]:
    """The elements of every coalition's sequence, as rows of :func:`replacements`.

    Args:
        n: players.
        removal: freeze, mean or blank.

    Returns:
        (2**n, n); with ``freeze`` the sequence of the empty coalition is undefined, and blank here.
    """
    frames = np.arange(n)
    present = (np.arange(2**n)[:, None] >> frames & 1).astype(bool)
    if removal == "freeze":
        blank = np.full((1, n), n + 1, dtype=np.int64)
        return np.concatenate([blank, nearest_present(present[1:])])
    return np.where(present, frames, n if removal == "mean" else n + 1)


@dataclass(frozen=True)
class _Size:
    """The subsequences of one length in a set of sequences."""

    different: Tensor
    """(subsequence, size) int32: rows of elements"""
    held: Tensor
    """(pair,) int32: numbers of subsequences, for one sequence after the other"""
    times: Tensor
    """(pair,) how often the sequence holds it, divided by the number of its subsequences"""
    starts: Tensor
    """(sequence,) int32: where each one's pairs begin"""


@lru_cache(maxsize=3 * MOST_REPLACED)
def _subsequences(n: int, removal: Removal, size: int, device: torch.device) -> _Size:
    members = coalitions.members(coalitions.of_size(n, size), size)
    of_sequences = patterns(n, removal)[:, members]
    # A subsequence as one number; the rows are at most n + 1.
    keys = of_sequences @ (np.int64(n + 2) ** np.arange(size))
    kinds, first, number = np.unique(keys, return_index=True, return_inverse=True)
    number = np.sort(number.reshape(keys.shape), axis=1)
    sequence = np.arange(len(keys))[:, None] * len(kinds)
    pairs, times = np.unique(sequence + number, return_counts=True)
    starts = np.searchsorted(pairs, sequence[:, 0])
    different = of_sequences.reshape(-1, size)[first]
    return _Size(
        different=torch.from_numpy(different.astype(np.int32)).to(device),
        held=torch.from_numpy((pairs % len(kinds)).astype(np.int32)).to(device),
        times=torch.from_numpy(times / len(members)).to(device),
        starts=torch.from_numpy(starts.astype(np.int32)).to(device),
    )


@torch.no_grad()
def replaced_table(
    model: Model,
    features: Tensor,
    empty: Tensor,
    removal: Removal,
    score: Score = "probability",
) -> Tensor:
    """Scores of all coalitions, with absent frames replaced.

    Args:
        model: in evaluation mode, on the features' device and of their dtype.
        features: (sequence, n, feature_dim), at most :data:`MOST_REPLACED` frames.
        empty: (class,) v(∅) of ``freeze``, which has nothing to repeat then.
        removal: ``freeze``, ``mean`` or ``blank``: absent frames repeat the nearest present one, or
            have the mean features of the sequence's frames, or zeros.
        score: what v is.

    Returns:
        (sequence, 2**n, class) in mask order.

    Raises:
        InputError: wrong shapes, NaN or Inf.
    """
    check(model, features, score, empty)
    n_sequences, n, _ = features.shape
    rows = replacements(features)
    if isinstance(model, Averaging):
        single = single_scores(model.classifier(rows), score)
        found = torch.from_numpy(patterns(n, removal)).to(features.device)
        result = class_scores(single[:, found].mean(dim=2), score)
    else:
        n_scales = min(n, model.n_max)
        total = features.new_zeros((2**n, n_sequences, model.n_classes))
        for size in range(1, n_scales + 1):
            of_size = _subsequences(n, removal, size, features.device)
            position = rows.shape[1] * torch.arange(size, dtype=torch.int32, device=rows.device)
            inner = functional.embedding_bag(
                of_size.different + position, projections(model, rows, size), mode="sum"
            ).relu_()
            second = model.scale(size).second
            if score == "mean_of_softmax":
                inner = second(inner.view(-1, n_sequences, model.hidden)).softmax(dim=-1)
            mean = functional.embedding_bag(
                of_size.held,
                inner.view(len(inner), -1),
                of_size.starts,
                mode="sum",
                per_sample_weights=of_size.times.to(inner.dtype),
            )
            if score == "mean_of_softmax":
                total += mean.view(total.shape)
            else:
                total += second(mean.view(2**n, n_sequences, model.hidden))
        result = class_scores(total / n_scales, score).transpose(0, 1)
    if removal == "freeze":
        result = result.clone()
        result[:, 0] = empty
    return result


def sequences_at_once(model: Model, n: int, budget_bytes: int) -> int:
    """How many sequences fit in one call of :func:`replaced_table` within a memory budget."""
    width = model.n_classes if isinstance(model, Averaging) else model.hidden
    elements = n * 2**n if isinstance(model, Averaging) else comb(2 * n, n) // 2 + 2**n
    return max(1, budget_bytes // (4 * width * elements))
