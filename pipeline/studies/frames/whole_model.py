"""The models' scores of whole sequences as differentiable modules.

``whole_scores`` returns the same numbers, faster and without gradients. For the multi-scale model
f(X) is an expectation over all subsequences of up to n_max elements. A subsequence's hidden
pre-activation is a sum of one projected row per element, so it is the sum of a left half's and a
right half's. There are few halves, and each is summed once. All subsequences are the outer sum of
the halves: a left half that ends at element l combines with every right half of later elements.
With halves listed by their last (first) element both sets are slices, so no indices are gathered.
Blocks of the outer sum are computed again for the gradients; none is kept.
"""

from collections.abc import Iterator, Sequence
from math import comb, isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.blocks import BLOCK_BYTES, map_blocks
from pipeline.core.errors import InputError
from pipeline.models.sequences import Averaging, MultiScale
from pipeline.studies.frames.coalition_scores import (
    Model,
    Score,
    check,
    check_subsequences,
    class_scores,
    members_of_ranks,
    single_scores,
)

Halves = tuple[Tensor, Tensor]
"""Left and right halves of the subsequences of one length: (half, sequence, hidden) each."""


class WholeModel(nn.Module):
    """f(X), differentiable with respect to X; the weights are constants, and there is no dropout.

    Args:
        model: the model to differentiate; its weights are read at every call.
        score: what f is.
    """

    def __init__(self, model: Model, score: Score = "probability") -> None:
        super().__init__()
        self.model = model
        self.score = score

    def forward(self, features: Tensor) -> Tensor:
        """Scores of whole sequences.

        Args:
            features: (sequence, frame, feature_dim), on the model's device and of its dtype.

        Returns:
            (sequence, class).

        Raises:
            InputError: wrong shapes, no sequence, NaN or Inf, too many subsequences.
        """
        check(self.model, features.detach())
        if len(features) == 0:
            raise InputError("there is no sequence to score")
        if isinstance(self.model, Averaging):
            classifier = self.model.classifier
            single = single_scores(_linear(classifier, features), self.score)
            return class_scores(single.mean(dim=1), self.score)
        n_frames = features.shape[1]
        check_subsequences(n_frames, self.model.n_max)
        halves = [
            halves_of(size, projected_frames(self.model, features, size), self.bias_of(size))
            for size in self.sizes(n_frames)
        ]
        return self.scores_of_halves(halves, n_frames)

    def sizes(self, n_frames: int) -> range:
        """Lengths of the subsequences of so many frames that the multi-scale model scores."""
        assert isinstance(self.model, MultiScale)
        return range(1, min(n_frames, self.model.n_max) + 1)

    def bias_of(self, size: int) -> Tensor:
        """Bias of the first layer of f^size: (hidden,)."""
        assert isinstance(self.model, MultiScale)
        return self.model.scale(size).first.bias.detach()

    def scores_of_halves(self, halves: Sequence[Halves], n_frames: int) -> Tensor:
        """Scores of sequences from the halves of all their subsequences, by length.

        Args:
            halves: left and right halves by length from 1 on, (half, sequence, hidden) each.
            n_frames: frames of each sequence.

        Returns:
            (sequence, class).
        """
        assert isinstance(self.model, MultiScale)
        means = [
            _scale_mean(self.model, of_size, n_frames, size, self.score)
            for size, of_size in enumerate(halves, start=1)
        ]
        return class_scores(torch.stack(means).mean(dim=0), self.score)

    def sequences_at_once(self, n_frames: int, budget_bytes: int) -> int:
        """How many sequences fit in one call, with gradients, within a memory budget."""
        values = n_frames * self.model.feature_dim + self.model.n_classes
        if isinstance(self.model, MultiScale):
            for size in range(1, min(n_frames, self.model.n_max) + 1):
                halves = sum(comb(n_frames, half) for half in (_left(size), size - _left(size)))
                values += (size * n_frames + halves) * self.model.hidden
        else:
            values += n_frames * self.model.n_classes
        element_size = next(self.model.parameters()).element_size()
        # Each value and its gradient.
        return max(1, budget_bytes // (2 * element_size * values))


def _linear(layer: nn.Linear, rows: Tensor) -> Tensor:
    return functional.linear(rows, layer.weight.detach(), layer.bias.detach())


def _left(size: int) -> int:
    """Elements of a subsequence's left half."""
    return (size + 1) // 2


def _scale_mean(
    model: MultiScale, halves: Halves, n_frames: int, size: int, score: Score
) -> Tensor:
    """Mean of f^size over the subsequences of that length: (sequence, class)."""
    left, right = halves
    second = model.scale(size).second

    # The output layer is linear: unless a softmax follows, hidden units are averaged instead.
    through_classes = score == "mean_of_softmax"
    total = _OuterSum.apply(left, right, n_frames, size, second if through_classes else None)
    mean = total / comb(n_frames, size)
    return mean if through_classes else _linear(second, mean)


def projected_frames(model: MultiScale, features: Tensor, size: int) -> Tensor:
    """First-layer terms of f^size, without the bias: (position, frame, sequence, hidden).

    Args:
        model: the model; its weights are constants.
        features: (sequence, frame, feature_dim).
        size: length of subsequences, which have as many positions.
    """
    n_sequences, n_frames, feature_dim = features.shape
    weights = model.scale(size).first.weight.detach().split(feature_dim, dim=1)
    rows = features.transpose(0, 1).reshape(-1, feature_dim)
    projected = torch.stack([rows @ weight.t() for weight in weights])
    return projected.view(size, n_frames, n_sequences, -1)


def halves_of(size: int, projected: Tensor, bias: Tensor | float = 0.0) -> Halves:
    """Sums of the projected elements of every left and right half of a subsequence.

    Args:
        size: length of the subsequences.
        projected: (position, frame, sequence, hidden).
        bias: added to the left halves.

    Returns:
        (half, sequence, hidden) each. Left halves are in the order of their last elements, right
        halves in the order of their first, from the end of the sequence.
    """
    n_frames, n_sequences = projected.shape[1:3]
    n_left = _left(size)
    projected = projected.reshape(size * n_frames, -1)
    device = projected.device

    players = members_of_ranks(n_frames, n_left, slice(0, comb(n_frames, n_left)), device)
    position = torch.arange(n_left, dtype=torch.int32, device=device)
    left = functional.embedding_bag(players + n_frames * position, projected, mode="sum")
    left = left.view(len(players), n_sequences, -1) + bias
    n_right = size - n_left
    if n_right == 0:
        return left, left.new_zeros((1, *left.shape[1:]))
    from_end = members_of_ranks(n_frames, n_right, slice(0, comb(n_frames, n_right)), device)
    players = n_frames - 1 - from_end
    position = size - 1 - torch.arange(n_right, dtype=torch.int32, device=device)
    right = functional.embedding_bag(players + n_frames * position, projected, mode="sum")
    return left, right.view(len(players), n_sequences, -1)


def _blocks(n_frames: int, size: int, left: Tensor) -> Iterator[tuple[slice, slice]]:
    """Blocks of left and right halves (as row slices) that together make up all subsequences."""
    n_left, n_right = _left(size), size - _left(size)
    # Results computed from a block take the same memory again.
    row_bytes = 2 * left[0].numel() * left.element_size()
    most = max(1, BLOCK_BYTES.get(left.device.type, 1 << 26) // row_bytes)
    for last in range(n_left - 1, n_frames - n_right):
        start, stop = comb(last, n_left), comb(last + 1, n_left)
        n_later = comb(n_frames - 1 - last, n_right)
        # Nearly square blocks: the traffic with the halves and their gradients grows with a block's
        # edges.
        columns = min(n_later, max(isqrt(most), most // (stop - start)))
        rows = max(1, most // columns)
        for row in range(start, stop, rows):
            for column in range(0, n_later, columns):
                last_column = min(column + columns, n_later)
                yield slice(row, min(row + rows, stop)), slice(column, last_column)


def _shares(n_sequences: int, device: torch.device) -> list[slice]:
    """Sequences per thread; on the CPU several threads work on several shares."""
    at_once = n_sequences if device.type != "cpu" else min(4, -(-n_sequences // 4))
    starts = range(0, n_sequences, at_once)
    return [slice(start, min(start + at_once, n_sequences)) for start in starts]


class _OuterSum(torch.autograd.Function):
    """Sum over all subsequences of their hidden units, or of the softmax of their logits.

    Each thread holds one block of subsequences of some sequences in memory at a time.
    """

    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, n_frames: int, size: int, output: nn.Linear | None
    ) -> Tensor:
        """(sequence, hidden), or (sequence, class) if there is an output layer."""
        ctx.save_for_backward(left, right)
        ctx.of = (n_frames, size, output)

        def share(sequences: slice) -> Tensor:
            return _total(left[:, sequences], right[:, sequences], n_frames, size, output)

        shares = _shares(left.shape[1], left.device)
        return torch.cat(list(map_blocks(share, shares, left.device)))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the halves."""
        left, right = ctx.saved_tensors
        n_frames, size, output = ctx.of
        left_grad, right_grad = torch.zeros_like(left), torch.zeros_like(right)

        def share(sequences: slice) -> None:
            _add_gradients(
                left[:, sequences],
                right[:, sequences],
                left_grad[:, sequences],
                right_grad[:, sequences],
                grad[sequences],
                n_frames,
                size,
                output,
            )

        for _ in map_blocks(share, _shares(left.shape[1], left.device), left.device):
            pass
        return left_grad, right_grad, None, None, None


def _total(
    left: Tensor, right: Tensor, n_frames: int, size: int, output: nn.Linear | None
) -> Tensor:
    total = left.new_zeros(
        (left.shape[1], left.shape[2] if output is None else output.out_features)
    )
    for rows, columns in _blocks(n_frames, size, left):
        hidden = (left[rows].unsqueeze(1) + right[columns]).relu_()
        total += hidden.sum(dim=(0, 1)) if output is None else _softmax_sum(output, hidden)
    return total


def _add_gradients(
    left: Tensor,
    right: Tensor,
    left_grad: Tensor,
    right_grad: Tensor,
    grad: Tensor,
    n_frames: int,
    size: int,
    output: nn.Linear | None,
) -> None:
    for rows, columns in _blocks(n_frames, size, left):
        inner = left[rows].unsqueeze(1) + right[columns]
        if output is None:
            # Every active unit has the same gradient, so counting the active ones is enough.
            inner = inner.gt_(0)
        else:
            inner.requires_grad_()
            with torch.enable_grad():
                part = _softmax_sum(output, inner.relu())
            (inner,) = torch.autograd.grad(part, inner, grad)
        left_grad[rows].add_(inner.sum(dim=1))
        right_grad[columns].add_(inner.sum(dim=0))
    if output is None:
        left_grad *= grad
        right_grad *= grad


def _softmax_sum(output: nn.Linear, hidden: Tensor) -> Tensor:
    return _linear(output, hidden).softmax(dim=-1).sum(dim=(0, 1))
