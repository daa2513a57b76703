"""Scores of every coalition of a sequence's elements, for all classes and many sequences at once.

A coalition of frames is the shorter sequence of its frames, in order; absent frames are deleted.
Coalitions are evaluated by size, upward:

* the multi-scale model by the recursion of Play Fair (supplement, Eq. 28): with k = |S|,
  f(S) = (f^k(S) + (k − 1) · mean over i in S of f(S∖i)) / k while k ≤ n_max; beyond, f(S) is the
  mean alone. The first layer of f^k is linear in the concatenation, so every frame is projected
  once for each position that it can take, and a subsequence's hidden pre-activation is a sum of k
  rows;
* the averaging model by the mean of its frames' logits.

Each size needs only the size below, so the scores of all coalitions are kept only on request. A row
of a working table holds a coalition's values in all sequences side by side. The sequences share the
indices, and one pass serves as many of them as memory holds.

On a GPU the host only starts operations: between sizes nothing is copied to it, and it waits for
nothing, which tests check with tensors without values. What is done otherwise there than on the CPU
(one product for the projections of all positions, rows of a complete table in another order first)
was tested on the CPU. Nothing of it was timed on a GPU; docs/performance.md says what is expected.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, reduce
from math import comb
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.blocks import (
    Result,
    available_bytes,
    map_blocks,
    most_rows,
    moved,
    on_cpu,
    row_blocks,
    threads_for_blocks,
    untouched,
)
from pipeline.core.errors import InputError, TooLittleMemory
from pipeline.models.sequences import Averaging, MultiScale
from pipeline.shapley import coalitions

Score = Literal["probability", "logit", "mean_of_softmax"]
"""What a class score is: the softmax of the averaged logits, those logits, or the average of the
single evaluations' softmaxes."""

Model = MultiScale | Averaging

_MAX_INDEXED = 20
"""The most frames for which the members of all coalitions are kept in memory (84 MB at 20)."""

_MANY_FRAMES = 13
"""Frames from which coalitions take most of the time, and first layers little."""

_SMALL_BYTES = 1 << 26
"""Memory that is taken without asking how much is free, which takes longer than a small game."""

MAX_SUBSEQUENCES = 200_000_000
"""The most subsequences of up to n_max frames for an exact answer, which then takes minutes."""


@dataclass(frozen=True)
class _Size:
    """Indices of the R coalitions of one size, in ascending mask order."""

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
    places: slice
    """places among all coalitions, by size and then by mask"""
    scores: Tensor
    """(rows, sequence, class)"""


def _size(n_players: int, size: int, device: torch.device) -> _Size:
    masks = coalitions.of_size(n_players, size)
    players = coalitions.members(masks, size)
    without = masks[:, None] & ~np.left_shift(np.uint32(1), players.astype(np.uint32))
    return _Size(
        masks=moved(masks.astype(np.int64), device),
        players=moved(players.astype(np.int32), device),
        subsets=moved(_ranks(n_players)[without], device),
    )


@lru_cache(maxsize=1)
def _ranks(n_players: int) -> NDArray[np.int32]:
    return coalitions.ranks(n_players).astype(np.int32)


@lru_cache(maxsize=4)
def _kept_sizes(n_players: int, device: torch.device) -> tuple[_Size, ...]:
    return tuple(_size(n_players, size, device) for size in range(n_players + 1))


@lru_cache(maxsize=4)
def _places(n_players: int, device: torch.device) -> Tensor:
    """Place of each mask among all coalitions, by size and then by mask: (2**n,) int64."""
    sizes = coalitions.sizes(n_players)
    starts = np.cumsum([0, *(comb(n_players, size) for size in range(n_players))])
    return moved(starts[sizes] + coalitions.ranks(n_players), device)


def _indexed(n_players: int, size: int, device: torch.device) -> _Size:
    """Indices of one size; kept for the next call unless there are too many."""
    if n_players <= _MAX_INDEXED:
        return _kept_sizes(n_players, device)[size]
    return _size(n_players, size, device)


def check(
    model: Model,
    features: Tensor,
    score: Score = "probability",
    empty: Tensor | None = None,
    classes: Tensor | None = None,
) -> None:
    """Raise InputError unless the arguments of :func:`table` fit one another and are finite."""
    if not isinstance(model, MultiScale | Averaging):
        raise InputError(
            f"the model is a {type(model).__name__}; coalitions of frames are evaluated here for "
            "MultiScale (TRN) and Averaging (TSN). For any other model fill a table of its scores "
            "of all coalitions and give it to pipeline.shapley.shapley_values"
        )
    if score not in get_args(Score):
        raise InputError(f"score {score!r}: choose one of {', '.join(get_args(Score))}")
    if not isinstance(features, Tensor) or not features.is_floating_point():
        kind = str(features.dtype) if isinstance(features, Tensor) else type(features).__name__
        raise InputError(
            f"features are of type {kind}; a torch.Tensor of float32 or float64 is needed"
        )
    weights = next(model.parameters())
    if (weights.dtype, weights.device) != (features.dtype, features.device):
        raise InputError(
            f"features are {features.dtype} on {features.device}, the model is {weights.dtype} on "
            f"{weights.device}; bring one to the other with .to(…)"
        )
    if not _all_finite(*model.parameters()):
        raise InputError("the model's weights hold NaN or Inf")
    if empty is not None:
        _check_empty(empty, model.n_classes)
    if classes is not None and (
        classes.dim() != 2
        or len(classes) != len(features)
        or not ((classes >= 0) & (classes < model.n_classes)).all()
    ):
        raise InputError(
            f"classes have shape {tuple(classes.shape)}; numbers from 0 to {model.n_classes - 1} "
            f"are needed, (sequence, output) of {len(features)} sequences"
        )
    if features.dim() != 3 or features.shape[2] != model.feature_dim:
        raise InputError(
            f"features have shape {tuple(features.shape)}; the model takes "
            f"(sequence, frame, {model.feature_dim})"
        )
    if features.shape[1] < 1:
        raise InputError("a sequence needs at least one frame")
    if not _all_finite(features):
        bad = ~torch.isfinite(features).flatten(start_dim=1).all(dim=1)
        where = torch.nonzero(bad).flatten().tolist()
        raise InputError(f"features hold NaN or Inf in sequence(s) {where[:8]}")


@threads_for_blocks()
def _all_finite(*tensors: Tensor) -> bool:
    """Whether no value is NaN or Inf."""
    # NaN and Inf pass on to a sum, which is several times as fast as looking at each value. Only a
    # sum of finite values that overflows needs the look.
    total = torch.stack([each.sum() for each in tensors]).sum()
    return bool(torch.isfinite(total)) or all(bool(torch.isfinite(each).all()) for each in tensors)


def _check_empty(empty: Tensor, n_classes: int) -> None:
    shape = tuple(empty.shape) if isinstance(empty, Tensor) else type(empty).__name__
    if shape != (n_classes,):
        raise InputError(
            f"the scores of no frames, v(∅), are of shape {shape}; a tensor of ({n_classes},) is "
            "needed, one score per class"
        )
    if not torch.isfinite(empty).all():
        raise InputError("the scores of no frames, v(∅), hold NaN or Inf")


def _check_memory(model: Model, features: Tensor) -> None:
    """Raise TooLittleMemory if the working tables of a multi-scale model do not fit."""
    n_sequences, n_frames, _ = features.shape
    if isinstance(model, Averaging):
        return
    row_bytes = n_sequences * model.n_classes * features.element_size()
    largest = comb(n_frames, n_frames // 2)
    if n_frames <= _MAX_INDEXED:
        needed = 2 * largest * row_bytes + 2**n_frames * (8 + 4 * n_frames)
    else:
        needed = 2 * largest * (row_bytes + 8 * n_frames)
    if needed < _SMALL_BYTES:
        return
    available = available_bytes(features.device)
    if needed > available:
        raise TooLittleMemory(
            f"{n_frames} players: {needed / 2**30:.1f} GiB of memory are needed and "
            f"{available / 2**30:.1f} GiB are free; use fewer frames, or score: logit, which "
            "needs little memory"
        )


def class_scores(logits: Tensor, score: Score) -> Tensor:
    """Class scores from averaged logits; the softmax after the averages, if any."""
    return logits.softmax(dim=-1) if score == "probability" else logits


def single_scores(logits: Tensor, score: Score) -> Tensor:
    """Values to be averaged, from single logits; the softmax before the averages, if any."""
    return logits.softmax(dim=-1) if score == "mean_of_softmax" else logits


def threads_by_work(model: Model, features: Tensor) -> AbstractContextManager[None]:
    """Threads for blocks only where most of the work is in blocks, else PyTorch's as well.

    With few frames, the first layers take as long as the coalitions, and run in PyTorch's threads.
    """
    n_frames, most = features.shape[1], most_rows(_row_bytes(model, features), features.device)
    many = n_frames >= _MANY_FRAMES and comb(n_frames, n_frames // 2) > most
    return threads_for_blocks() if many and on_cpu(features) else nullcontext()


def _row_bytes(model: Model, features: Tensor) -> int:
    """Memory of a coalition's largest row, in all sequences."""
    width = model.n_classes if isinstance(model, Averaging) else max(model.hidden, model.n_classes)
    return len(features) * width * features.element_size()


@torch.no_grad()
def projections(model: MultiScale, features: Tensor, size: int) -> Tensor:
    """First-layer terms of each frame at each position: (size * frame, sequence * hidden)."""
    first = model.scale(size).first
    n_sequences, n_frames, feature_dim = features.shape
    rows = features.transpose(0, 1).reshape(-1, feature_dim)
    projected = rows.new_empty((size, len(rows), model.hidden))
    if on_cpu(features):
        # Position by position, the weights are used in place; all at once, they would be copied.
        for position, weight in enumerate(first.weight.split(feature_dim, dim=1)):
            torch.mm(rows, weight.t(), out=projected[position])
    else:
        by_position = first.weight.view(model.hidden, size, feature_dim).permute(1, 2, 0)
        torch.bmm(rows.expand(size, -1, -1), by_position, out=projected)
    projected[0] += first.bias
    return projected.view(size * n_frames, n_sequences * model.hidden)


def map_scores(
    model: Model, features: Tensor, score: Score, work: Callable[[Block], Result]
) -> Iterator[Result]:
    """Do some work on the scores of every coalition except the empty one, by size upward.

    Args:
        model: in evaluation mode, on the features' device and of their dtype.
        features: (sequence, frame, feature_dim).
        score: what v is.
        work: called on blocks of coalitions, on the CPU from several threads at once.

    Yields:
        What ``work`` returns, in the blocks' order.
    """
    coalitions.check_enumerable(features.shape[1])
    device = features.device
    _check_memory(model, features)
    row_bytes = _row_bytes(model, features)
    tables = _two_tables(model, features) if isinstance(model, MultiScale) else ()
    first = 1
    for size in range(1, features.shape[1] + 1):
        index = _indexed(features.shape[1], size, device)
        if isinstance(model, MultiScale):
            smaller, table = tables[(size - 1) % 2], tables[size % 2][: len(index.masks)]
            evaluate = _multi_scale_size(model, features, score, index, smaller, table)
        else:
            evaluate = _averaging_size(model, features, score, index)

        def step(
            rows: slice,
            size: int = size,
            first: int = first,
            masks: Tensor = index.masks,
            evaluate: Callable[[slice], Tensor] = evaluate,
        ) -> Result:
            places = slice(first + rows.start, first + rows.stop)
            return work(Block(size, masks[rows], places, evaluate(rows)))

        yield from map_blocks(step, row_blocks(len(index.masks), row_bytes, device), device)
        first += len(index.masks)


def _two_tables(model: MultiScale, features: Tensor) -> tuple[Tensor, Tensor]:
    """Tables for the sizes in turn, each large enough for the size of most coalitions."""
    n_sequences, n_frames, _ = features.shape
    shape = (comb(n_frames, n_frames // 2), n_sequences * model.n_classes)
    return untouched(shape, features), untouched(shape, features)


@torch.no_grad()
def _multi_scale_size(
    model: MultiScale, features: Tensor, score: Score, index: _Size, smaller: Tensor, table: Tensor
) -> Callable[[slice], Tensor]:
    """Evaluation of the coalitions of one size, given the table of those one smaller.

    The returned function fills rows of ``table`` and returns their class scores.
    """
    n_sequences, n_frames, _ = features.shape
    size = index.players.shape[1]
    shape = (-1, n_sequences, model.n_classes)

    def average(rows: slice) -> Tensor:
        block = table[rows]
        # mode="mean" divides in a slow pass of its own, and cannot write into the table.
        total = functional.embedding_bag(index.subsets[rows], smaller, mode="sum")
        torch.div(total, size, out=block)
        return class_scores(block.view(shape), score)

    if size > model.n_max:
        return average

    projected = projections(model, features, size)
    position = n_frames * torch.arange(size, dtype=torch.int32, device=features.device)
    second = model.scale(size).second

    def blend(rows: slice) -> Tensor:
        block = table[rows]
        slots = index.players[rows] + position
        inner = functional.embedding_bag(slots, projected, mode="sum").relu_()
        single = single_scores(second(inner.view(-1, model.hidden)), score).view(len(block), -1)
        if size == 1:
            block.copy_(single)
        else:
            total = functional.embedding_bag(index.subsets[rows], smaller, mode="sum")
            torch.lerp(total.div_(size), single, 1 / size, out=block)
        return class_scores(block.view(shape), score)

    return blend


@torch.no_grad()
def _averaging_size(
    model: Averaging, features: Tensor, score: Score, index: _Size
) -> Callable[[slice], Tensor]:
    """Evaluation of the coalitions of one size."""
    n_sequences, n_frames, _ = features.shape
    single = single_scores(model.classifier(features), score).transpose(0, 1)
    single = single.reshape(n_frames, -1)

    def average(rows: slice) -> Tensor:
        total = functional.embedding_bag(index.players[rows], single, mode="sum")
        mean = total.div_(index.players.shape[1])
        return class_scores(mean.view(-1, n_sequences, model.n_classes), score)

    return average


@torch.no_grad()
def table(
    model: Model,
    features: Tensor,
    empty: Tensor,
    score: Score = "probability",
    classes: Tensor | None = None,
) -> Tensor:
    """Scores of all coalitions of the frames of each sequence.

    Args:
        model: in evaluation mode, on the features' device and of their dtype.
        features: (sequence, frame, feature_dim) float32 or float64, at most 26 frames.
        empty: (class,) v(∅), in the unit of ``score``.
        score: what v is.
        classes: (sequence, output) int64, the classes whose scores are kept; None: all.

    Returns:
        (sequence, 2**frame, class or output) in mask order, on the features' device.

    Raises:
        InputError: wrong shapes, too many frames, NaN or Inf.
    """
    check(model, features, score, empty, classes)
    n_sequences, n_frames, _ = features.shape
    n_outputs = model.n_classes if classes is None else classes.shape[1]
    result = untouched((n_sequences, 2**n_frames, n_outputs), features)

    def chosen(scores: Tensor) -> Tensor:
        if classes is None:
            return scores
        return scores.gather(2, classes[:, None].expand(-1, scores.shape[1], -1))

    result[:, :1] = chosen(empty.to(result).expand(n_sequences, 1, -1))
    in_place = on_cpu(features)

    def keep(block: Block) -> None:
        where = block.masks if in_place else block.places
        result[:, where] = chosen(block.scores.transpose(0, 1))

    with threads_by_work(model, features):
        for _ in map_scores(model, features, score, keep):
            pass
    # A GPU's deterministic algorithm for writing rows sorts their numbers; reading does not.
    return result if in_place else result.index_select(1, _places(n_frames, features.device))


@lru_cache(maxsize=8)
def _binomials(n: int, size: int, device: torch.device) -> Tensor:
    """Subsets of each size up to ``size`` of the frames before each: (size + 1, n) int64."""
    counts = [[comb(before, k) for before in range(n)] for k in range(size + 1)]
    return moved(np.array(counts, dtype=np.int64), device)


def members_of_ranks(n: int, size: int, ranks: slice, device: torch.device) -> Tensor:
    """Members of some of the subsets of ``size`` out of ``n``, in mask order: (rank, size) int32.

    The ``r``-th mask of ``size`` bits is computed from ``r`` alone (the combinatorial number
    system). This allows sizes with too many subsets to list to be processed in blocks.
    """
    rest = torch.arange(ranks.start, ranks.stop, device=device)
    members = torch.empty((len(rest), size), dtype=torch.int32, device=device)
    for position in range(size, 0, -1):
        counts = _binomials(n, size, device)[position]
        member = torch.searchsorted(counts, rest, right=True) - 1
        members[:, position - 1] = member
        rest -= counts[member]
    return members


def check_subsequences(n_frames: int, n_max: int) -> None:
    """Raise InputError if there are too many subsequences of up to n_max frames to enumerate."""
    n_rows = sum(comb(n_frames, size) for size in range(1, min(n_frames, n_max) + 1))
    if n_rows > MAX_SUBSEQUENCES:
        raise InputError(
            f"{n_frames} frames have {n_rows:,} subsequences of up to {n_max}; at most "
            f"{MAX_SUBSEQUENCES:,} can be enumerated: use fewer frames"
        )


def map_subsequences(
    n_frames: int,
    size: int,
    row_bytes: int,
    device: torch.device,
    work: Callable[[Tensor], Result],
) -> Iterator[Result]:
    """Do some work on the frames of every subsequence of one length.

    Args:
        n_frames: frames of the whole sequence.
        size: the length.
        row_bytes: memory that one subsequence takes in ``work``.
        device: where the work is done.
        work: called on blocks (rows, size) int32, on the CPU from several threads at once.

    Yields:
        What ``work`` returns, in the blocks' order.
    """

    def step(rows: slice) -> Result:
        if n_frames <= _MAX_INDEXED:
            return work(_kept_sizes(n_frames, device)[size].players[rows])
        return work(members_of_ranks(n_frames, size, rows, device))

    yield from map_blocks(step, row_blocks(comb(n_frames, size), row_bytes, device), device)


@torch.no_grad()
def whole_scores(model: Model, features: Tensor, score: Score = "probability") -> Tensor:
    """Scores of the whole sequences alone, f(X): (sequence, class).

    Arguments and errors as :func:`table`, with any number of frames. For the multi-scale model the
    score is the expectation over all subsequences of up to n_max frames. The output layer is
    linear: unless a softmax follows it, hidden units are averaged first and mapped to classes once.
    """
    check(model, features, score)
    n_sequences, n_frames, _ = features.shape
    if isinstance(model, Averaging):
        single = single_scores(model.classifier(features), score)
        return class_scores(single.mean(dim=1), score)
    check_subsequences(n_frames, model.n_max)
    n_scales = min(n_frames, model.n_max)
    result = features.new_zeros((n_sequences, model.n_classes))
    for size in range(1, n_scales + 1):
        second = model.scale(size).second
        projected = projections(model, features, size)
        position = n_frames * torch.arange(size, dtype=torch.int32, device=features.device)

        def total(
            players: Tensor,
            projected: Tensor = projected,
            position: Tensor = position,
            second: nn.Linear = second,
        ) -> Tensor:
            inner = functional.embedding_bag(players + position, projected, mode="sum").relu_()
            inner = inner.view(len(players), n_sequences, -1)
            if score == "mean_of_softmax":
                inner = second(inner).softmax(dim=-1)
            return inner.sum(dim=0)

        row_bytes = projected.shape[1] * features.element_size()
        sums = map_subsequences(n_frames, size, row_bytes, features.device, total)
        mean = reduce(torch.add, sums) / comb(n_frames, size)
        result += mean if score == "mean_of_softmax" else second(mean)
    return class_scores(result / n_scales, score)


def sequences_at_once(model: Model, n_frames: int, budget_bytes: int) -> int:
    """How many sequences fit in one call of :func:`table` within a memory budget."""
    rows = 2 * comb(n_frames, n_frames // 2) + 2**n_frames
    return max(1, budget_bytes // (4 * model.n_classes * rows))
