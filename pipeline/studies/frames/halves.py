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

from collections.abc import Iterator
from functools import lru_cache, reduce

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
"""Approximate memory of a half's sums of logits."""

_CACHE_BYTES = 1 << 20
"""Approximate memory of the factors, and of a block of D, that a thread has at once."""


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

        def of_size(rows: slice, first: _Half = first, second: _Half = second) -> Tensor:
            return _of_size(first, second, rows.start)

        sizes = [slice(size, size + 1) for size in range(1, n + 1)]
        found = torch.stack(list(map_blocks(of_size, sizes, logits.device)))
        sums.holding[1:, :, part], sums.totals[1:, part] = found[:, :n], found[:, n]
    return sums


def _of_size(first: "_Half", second: "_Half", size: int) -> Tensor:
    """Sums over the coalitions that hold each frame, and over all: (frame + 1, sequence, class)."""
    parts = _parts(first, second, size)
    return reduce(torch.add, (_of_part(first, second, size, *part) for part in parts))


def _parts(first: "_Half", second: "_Half", size: int) -> Iterator[tuple[int, int]]:
    """Least and most frames in the first half, in parts whose factors stay in a cache."""
    least, last = max(0, size - second.n), min(size, first.n)
    used = 0
    for in_first in range(least, last + 1):
        needed = first.n_bytes(in_first) + second.n_bytes(size - in_first)
        if used and used + needed > _CACHE_BYTES:
            yield least, in_first - 1
            least, used = in_first, 0
        used += needed
    yield least, last


def _of_part(first: "_Half", second: "_Half", size: int, least: int, most: int) -> Tensor:
    rows_a, rows_b = first.rows(least, most), second.rows(size - most, size - least)
    a, b = first.factors(rows_a, size), second.factors(rows_b, size)
    for size_a in range(least, most + 1):
        of_a, of_b = first.rows(size_a, size_a), second.rows(size - size_a, size - size_a)
        # These rows are in no other pair of parts, so the sums can take their place.
        _factors_to_sums(
            a[:, of_a.start - rows_a.start : of_a.stop - rows_a.start],
            b[:, of_b.start - rows_b.start : of_b.stop - rows_b.start],
        )
    # Every subset of the second half holds its last column; those of the first would count twice.
    return torch.cat([first.by_frame(rows_a, a)[:-1], second.by_frame(rows_b, b)])


def _factors_to_sums(a: Tensor, b: Tensor) -> None:
    """Replace factors (sequence, subset, class) by the sums of v over the subsets of the other."""
    at_once = max(1, _CACHE_BYTES // (8 * b.shape[0] * b.shape[1]))
    over_a = torch.zeros_like(b)
    for rows in a.split(at_once, dim=1):
        shares = torch.bmm(rows, b.transpose(1, 2)).reciprocal_()
        over_a.baddbmm_(shares.transpose(1, 2), rows)
        rows.mul_(torch.bmm(shares, b))
    b.mul_(over_a)


@lru_cache(maxsize=4)
def _subsets(n: int, device: torch.device) -> tuple[NDArray[np.int64], Tensor]:
    """Where each size begins, and the subsets by size: (subset, frame + 1), 1 where it is inside.

    The last column is 1, for sums over all.
    """
    masks = np.arange(2**n)
    sizes = np.bitwise_count(masks)
    order = np.argsort(sizes, kind="stable")
    starts = np.searchsorted(sizes[order], np.arange(n + 2))
    inside = ((order | 1 << n)[:, None] >> np.arange(n + 1)) & 1
    return starts, moved(inside.astype(np.float64), device)


class _Half:
    """Half of the frames: their subsets, by size, and the sums of the subsets' logits."""

    def __init__(self, logits: Tensor) -> None:
        self.n = logits.shape[1]
        self._starts, self._inside = _subsets(self.n, logits.device)
        sums = self._inside[:, : self.n] @ logits.double()
        self._sums = sums.sub_(sums.amax(dim=2, keepdim=True))

    def rows(self, least: int, most: int) -> slice:
        """Rows of the subsets of ``least`` to ``most`` frames."""
        return slice(int(self._starts[least]), int(self._starts[most + 1]))

    def n_bytes(self, size: int) -> int:
        """Memory of the factors of a size's subsets."""
        rows = self.rows(size, size)
        n_sequences, _, n_classes = self._sums.shape
        return 8 * n_sequences * (rows.stop - rows.start) * n_classes

    def factors(self, rows: slice, of: int) -> Tensor:
        """exp(L / of) of some subsets (sequence, subset, class), each row times some factor."""
        return torch.div(self._sums[:, rows], of).exp_()

    def by_frame(self, rows: slice, values: Tensor) -> Tensor:
        """Sums over the subsets that hold each frame, and all: (frame + 1, sequence, class)."""
        return torch.matmul(self._inside[rows].t(), values).transpose(0, 1)
