"""Exact values of softmax(mean of logits) by halves of the frames: the TSN with probabilities.

A coalition of k frames scores v_c(S) = exp(L_c(S) / k) / Σ_d exp(L_d(S) / k), where L(S) is the sum
of its frames' logits. Let S = A ∪ B with A in the first half of the frames and B in the second.
Then exp(L(S) / k) is a product of a factor of A and a factor of B, and with the matrices
F[A, c] = exp(L_c(A) / k) and G[B, c] = exp(L_c(B) / k)

    D = F Gᵀ,    Σ_B v_c(A ∪ B) = F[A, c] · ((1 / D) G)[A, c],

over all A and B of sizes that add up to k; likewise for the sums over A. Shapley values follow from
the sums over coalitions of each size that hold a frame (:class:`pipeline.shapley.SizeSums`). Each
coalition costs three products of C numbers within matrix products, and no exponential of its own:
2^(n/2) rows of factors are computed per size, not 2ⁿ. Nothing as long as all coalitions is kept.
All is computed in float64.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.blocks import map_blocks, moved
from pipeline.shapley import SizeSums

LEAST_VALUES = 1 << 21
"""Coalitions times classes from which this is faster than evaluating each coalition."""

MAX_FRAMES = 30
"""Frames beyond which the sums take minutes."""

LARGEST_SPAN = 600.0
"""Difference between a frame's largest and smallest logit from which factors could underflow."""

_BYTES = 1 << 24
"""Approximate memory of a matrix."""


def averaging_sums(logits: Tensor, empty: Tensor) -> SizeSums:
    """Sums of v over the coalitions of each size.

    Args:
        logits: (sequence, frame, class), of single frames, finite, with differences within a frame
            below :data:`LARGEST_SPAN`; at most :data:`MAX_FRAMES` frames.
        empty: (class,) v(∅), a probability.
    """
    n_sequences, n, n_classes = logits.shape
    sums = SizeSums(n, (n_sequences, n_classes), logits.device)
    sums.totals[0] = empty.to(sums.totals).expand(n_sequences, -1)
    per_sequence = 8 * n_classes * 2 ** (n - n // 2)
    at_once = max(1, _BYTES // per_sequence)
    for start in range(0, n_sequences, at_once):
        part = slice(start, start + at_once)
        first, second = _Half(logits[part, : n // 2]), _Half(logits[part, n // 2 :])

        def of_size(rows: slice, first: _Half = first, second: _Half = second) -> Sums:
            return _of_size(first, second, rows.start)

        sizes = [slice(size, size + 1) for size in range(1, n + 1)]
        for size, (holding, total) in enumerate(map_blocks(of_size, sizes, logits.device), 1):
            sums.holding[size, :, part] += holding
            sums.totals[size, part] += total
    return sums


Sums = tuple[Tensor, Tensor]
"""Over the coalitions of a size that hold each frame (frame, sequence, class), and over all."""


def _of_size(first: "_Half", second: "_Half", size: int) -> Sums:
    n = first.n + second.n
    holding, total = first.zeros(n), first.zeros(1)[0]
    for size_a in range(max(0, size - second.n), min(size, first.n) + 1):
        a, b = first.factors(size_a, size), second.factors(size - size_a, size)
        of_a, of_b = first.members(size_a), second.members(size - size_a)
        over_a = torch.zeros_like(b)
        at_once = max(1, _BYTES // (8 * b.shape[0] * b.shape[1]))
        for start in range(0, a.shape[1], at_once):
            rows = a[:, start : start + at_once]
            shares = torch.bmm(rows, b.transpose(1, 2)).reciprocal_()
            over_b = torch.bmm(shares, b).mul_(rows)
            over_a += torch.bmm(shares.transpose(1, 2), rows)
            holding[: first.n] += torch.einsum("ri,vrc->ivc", of_a[start : start + at_once], over_b)
            total += over_b.sum(dim=1)
        holding[first.n :] += torch.einsum("ri,vrc->ivc", of_b, over_a.mul_(b))
    return holding, total


@lru_cache(maxsize=4)
def _subsets(n: int, device: torch.device) -> tuple[NDArray[np.int64], Tensor]:
    """Where each size begins, and the subsets by size: (subset, frame), 1 where it is inside."""
    masks = np.arange(2**n)
    sizes = np.bitwise_count(masks)
    order = np.argsort(sizes, kind="stable")
    starts = np.searchsorted(sizes[order], np.arange(n + 2))
    inside = (order[:, None] >> np.arange(n)) & 1
    return starts, moved(inside.astype(np.float64), device)


class _Half:
    """Half of the frames: their subsets, by size, and the sums of the subsets' logits."""

    def __init__(self, logits: Tensor) -> None:
        self.n = logits.shape[1]
        self._starts, self._inside = _subsets(self.n, logits.device)
        self._sums = self._inside @ logits.double()

    def zeros(self, count: int) -> Tensor:
        """Zeros (count, sequence, class)."""
        n_sequences, _, n_classes = self._sums.shape
        return self._sums.new_zeros((count, n_sequences, n_classes))

    def _rows(self, size: int) -> slice:
        return slice(int(self._starts[size]), int(self._starts[size + 1]))

    def members(self, size: int) -> Tensor:
        """Subsets of a size: (subset, frame), 1 where the frame is inside."""
        return self._inside[self._rows(size)]

    def factors(self, size: int, of: int) -> Tensor:
        """exp(L / of) of a size's subsets (sequence, subset, class), each row times some factor."""
        sums = self._sums[:, self._rows(size)] / of
        return (sums - sums.amax(dim=2, keepdim=True)).exp_()
