"""Element Shapley Values of long sequences, approximately (Play Fair, Algorithm 1).

Subsequences are sampled scale by scale. Each adds one element to a subsequence that was sampled at
the scale below. Only the sampled subsequences are scored:

* the averaging model by f itself (supplement, Eq. 48);
* the multi-scale model by the recursion of Eq. 28 over the sampled parents only. With P(S) the
  sampled subsequences that lack one element of S, and k = |S|,
  f(S) = (f^k(S) + (k − 1) · mean over P in P(S) of f(P)) / k while k ≤ n_max; beyond, f(S) is the
  mean alone.

The mean over parents is weighted by their numbers of evaluations. These are equal: every sampled
subsequence has a sampled parent, so its score averages exactly min(k, n_max) scales.

The contribution of element i at scale s is the mean score of the sampled subsequences of s + 1
elements that hold i, minus the mean score of those of s elements that lack i. The value of i is the
mean of its contributions over s. Sums and counts of all iterations are pooled before the means are
taken.

An element has no contribution at a scale if no sampled subsequence of s + 1 elements holds it, or
if none of s elements lacks it. Such a scale is left out of the element's mean over s. At least one
scale always remains: the whole sequence is sampled, and with it a chain of parents down to the
empty one, along which the element is added at some scale. With m = 1 there is only that chain: an
iteration gives the marginal contributions along one random order of the elements, which sum to
v(all) − v(∅). With larger m they sum to it only approximately. If m is at least every binomial
coefficient, the values are exact.

The sampling treats all elements alike. At each scale every subsequence is equally likely to be
sampled, though the samples depend on those of the scale below. With m fixed and more iterations,
the values therefore converge to the exact ones for the averaging model, and for the multi-scale
model with scores that apply no softmax to the averages. A softmax of averages over few parents
leaves an error that only a larger m removes. Averaging the values of separate runs is no substitute
for pooling iterations: where scales are left out, a multi-scale score that holds i mostly comes
from parents that lack i, so the mean of such values is biased.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.core.blocks import map_blocks, moved, row_blocks
from pipeline.core.errors import InputError
from pipeline.models.sequences import Averaging, MultiScale
from pipeline.shapley import SizeSums, coalitions
from pipeline.shapley.coalitions import Masks
from pipeline.studies.frames.coalition_scores import (
    Model,
    Score,
    check,
    class_scores,
    projections,
    single_scores,
)

MAX_PLAYERS = 64


@dataclass(frozen=True)
class Approximation:
    """Approximate values and their cost."""

    values: Tensor
    """(player, *shape) float64; of a model (sequence, frame, class)"""
    whole: Tensor
    """(*shape) score of all players, mean over iterations. For a multi-scale model it comes from
    the recursion over samples, otherwise it is exact. The values sum to about this minus v(∅)."""
    evaluations: int
    """For a multi-scale model the rows that went through a single-scale model, otherwise the
    coalitions that were scored, without ∅. Counted for one sequence: all sequences share the
    samples."""
    left_out: int
    """Number of the player * player pairs (scale, player) that had no contribution."""


def approximate_element_shapley_values(
    model: Model,
    features: Tensor,
    empty: Tensor,
    score: Score = "probability",
    *,
    m: int,
    iterations: int = 1,
    seed: int | np.random.SeedSequence = 0,
) -> Approximation:
    """Element Shapley Values of every frame for every class, by Algorithm 1.

    All sequences share the sampled subsequences.

    Args:
        model: in evaluation mode, on the features' device and of their dtype.
        features: (sequence, frame, feature_dim) float32 or float64, at most 64 frames.
        empty: (class,) v(∅), in the unit of ``score``.
        score: what v is.
        m: the most subsequences that are sampled at each scale.
        iterations: how many times they are sampled; each iteration has its own generator.
        seed: of the sampling.

    Returns:
        ``values`` (sequence, frame, class) float64, on the features' device.

    Raises:
        InputError: wrong shapes, no sequence, NaN or Inf, too many frames, m or iterations less
            than 1, a negative seed.
    """
    check(model, features, score, empty)
    if len(features) == 0:
        raise InputError("there is no sequence to explain")
    n_frames = features.shape[1]
    samples = sample_iterations(n_frames, m, iterations, seed)
    score_scales = scale_scorer(model, features, score)
    nobody = empty.to(features).expand(1, len(features), -1)
    longest = model.n_max if isinstance(model, MultiScale) else n_frames

    wholes: list[Tensor] = []

    def scored() -> Iterator[tuple[int, Masks, Tensor]]:
        for scales in samples:
            yield 0, scales[0], nobody
            for size, scores in enumerate(score_scales(scales), start=1):
                if size == n_frames:
                    wholes.append(scores[0])
                yield size, scales[size], scores

    values, left_out = pooled_values(n_frames, scored())
    evaluations = sum(len(masks) for scales in samples for masks in scales[1 : longest + 1])
    whole = torch.stack(wholes).double().mean(dim=0)
    return Approximation(values.transpose(0, 1).contiguous(), whole, evaluations, left_out)


def approximate_shapley_values(
    scores: Callable[[Masks], NDArray[np.floating[Any]] | Tensor],
    n_players: int,
    *,
    m: int,
    iterations: int = 1,
    seed: int | np.random.SeedSequence = 0,
) -> Approximation:
    """Shapley values of any game by the sampling of Algorithm 1.

    The same ``m``, ``iterations`` and ``seed`` give the same coalitions as in
    :func:`approximate_element_shapley_values`. With the true scores of the multi-scale model, this
    function shows the error of the sampling without that of the recursion.

    Args:
        scores: values of coalitions: masks (coalition,) uint64 → (coalition, *shape), e.g. a
            ``StoredGame``. Called once for each scale of each iteration, including ∅.
        n_players: at most 64.
        m: the most coalitions that are sampled at each scale.
        iterations: how many times they are sampled.
        seed: of the sampling.

    Returns:
        ``values`` (player, *shape) float64.

    Raises:
        InputError: too many players, m or iterations less than 1, scores that are NaN or Inf.
    """
    samples = sample_iterations(n_players, m, iterations, seed)

    wholes: list[Tensor] = []

    def scored() -> Iterator[tuple[int, Masks, Tensor]]:
        for scales in samples:
            for size, masks in enumerate(scales):
                values = torch.as_tensor(scores(masks))
                if len(values) != len(masks) or not torch.isfinite(values).all():
                    raise InputError(
                        f"scores of {len(masks)} coalitions of {size} players have shape "
                        f"{tuple(values.shape)}; finite scores, one row per coalition, are needed"
                    )
                if size == n_players:
                    wholes.append(values[0])
                yield size, masks, values

    values, left_out = pooled_values(n_players, scored())
    evaluations = sum(len(masks) for scales in samples for masks in scales[1:])
    whole = torch.stack(wholes).double().mean(dim=0)
    return Approximation(values, whole, evaluations, left_out)


def sample_iterations(
    n_players: int, m: int, iterations: int, seed: int | np.random.SeedSequence
) -> list[list[Masks]]:
    """Samples of :func:`sample_scales` for each iteration, from generators spawned from ``seed``.

    The first iterations do not depend on how many follow.
    """
    if iterations < 1:
        raise InputError(f"{iterations} iterations: there must be at least 1")
    if not isinstance(seed, np.random.SeedSequence):
        if seed < 0:
            raise InputError(f"seed {seed}: must be at least 0")
        seed = np.random.SeedSequence(seed)
    # Do not spawn from the given sequence: that would change its later children.
    seeds = [
        np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, i))
        for i in range(iterations)
    ]
    return [sample_scales(n_players, m, np.random.default_rng(each)) for each in seeds]


def sample_scales(n_players: int, m: int, rng: np.random.Generator) -> list[Masks]:
    """Sample coalitions of every size; each adds one player to a sample of the size below.

    The candidates of a size are all coalitions that arise this way, each once, even if it has
    several parents. min(m, candidates) of them are drawn uniformly, without repeats.

    Args:
        n_players: at most 64.
        m: the most coalitions per size.
        rng: source of randomness.

    Returns:
        Masks by size, 0 … n_players: (coalition,) uint64 each, ascending.

    Raises:
        InputError: too many players, or none, or m less than 1.
    """
    if not 1 <= n_players <= MAX_PLAYERS:
        raise InputError(f"{n_players} players: 1 to {MAX_PLAYERS} can be sampled from")
    if m < 1:
        raise InputError(f"m = {m}: at least 1 subsequence a scale must be sampled")
    bits = np.left_shift(np.uint64(1), np.arange(n_players, dtype=np.uint64))
    scales = [np.zeros(1, dtype=np.uint64)]
    for _ in range(n_players):
        parents = scales[-1][:, None]
        candidates = np.unique((parents | bits)[(parents & bits) == 0])
        if len(candidates) > m:
            chosen = rng.choice(len(candidates), m, replace=False, shuffle=False)
            candidates = candidates[np.sort(chosen)]
        scales.append(candidates)
    return scales


def scale_scorer(
    model: Model, features: Tensor, score: Score = "probability"
) -> Callable[[list[Masks]], Iterator[Tensor]]:
    """Scores of sampled subsequences of the elements of each sequence.

    Args:
        model: in evaluation mode, on the features' device and of their dtype.
        features: (sequence, frame, feature_dim).
        score: what v is.

    Returns:
        A function of masks by size, as :func:`sample_scales` returns them, that yields the scores
        of each size from 1 upward, (coalition, sequence, class). It may be called any number of
        times. It raises InputError if a subsequence for a multi-scale model has no parent.
    """
    if isinstance(model, Averaging):
        return _averaging_scorer(model, features, score)
    return _multi_scale_scorer(model, features, score)


@torch.no_grad()
def _averaging_scorer(
    model: Averaging, features: Tensor, score: Score
) -> Callable[[list[Masks]], Iterator[Tensor]]:
    n_sequences, n_frames, _ = features.shape
    single = single_scores(model.classifier(features), score).transpose(0, 1)
    single = single.reshape(n_frames, -1)

    def scorer(scales: list[Masks]) -> Iterator[Tensor]:
        for size, masks in enumerate(scales[1:], start=1):
            players = _members(masks, size, features.device)

            def average(rows: slice, players: Tensor = players) -> Tensor:
                mean = functional.embedding_bag(players[rows], single, mode="mean")
                return class_scores(mean.view(-1, n_sequences, model.n_classes), score)

            yield _by_blocks(average, len(masks), single.shape[1], features)

    return scorer


@torch.no_grad()
def _multi_scale_scorer(
    model: MultiScale, features: Tensor, score: Score
) -> Callable[[list[Masks]], Iterator[Tensor]]:
    n_sequences, n_frames, _ = features.shape
    # Computed once: small beside the scores, and the same in every iteration.
    projected = [
        projections(model, features, size) for size in range(1, min(n_frames, model.n_max) + 1)
    ]
    shape = (-1, n_sequences, model.n_classes)
    width = n_sequences * max(model.hidden, model.n_classes)

    def scorer(scales: list[Masks]) -> Iterator[Tensor]:
        smaller = features.new_empty(0)
        for size, masks in enumerate(scales[1:], start=1):
            players = _members(masks, size, features.device)
            position = n_frames * torch.arange(size, dtype=torch.int32, device=features.device)
            parents, starts = _parents(masks, scales[size - 1], size)
            starts_on_device = moved(starts[:-1], features.device)
            parents_on_device = moved(parents, features.device)

            def blend(
                rows: slice,
                size: int = size,
                slots: Tensor = players + position,
                parents: Tensor = parents_on_device,
                starts: NDArray[np.int64] = starts,
                starts_on_device: Tensor = starts_on_device,
                smaller: Tensor = smaller,
            ) -> Tensor:
                mean = smaller
                if size > 1:
                    first, last = int(starts[rows.start]), int(starts[rows.stop])
                    offsets = starts_on_device[rows] - first
                    mean = functional.embedding_bag(
                        parents[first:last], smaller, offsets, mode="mean"
                    )
                if size > model.n_max:
                    return mean
                bags = functional.embedding_bag(slots[rows], projected[size - 1], mode="sum")
                logits = model.scale(size).second(bags.relu_().view(-1, model.hidden))
                single = single_scores(logits, score).view(len(bags), -1)
                return single if size == 1 else torch.lerp(mean, single, 1 / size)

            smaller = _by_blocks(blend, len(masks), width, features)
            yield class_scores(smaller.view(shape), score)

    return scorer


def _by_blocks(
    step: Callable[[slice], Tensor], n_rows: int, width: int, features: Tensor
) -> Tensor:
    blocks = row_blocks(n_rows, width * features.element_size(), features.device)
    return torch.cat(list(map_blocks(step, blocks, features.device)))


def _members(masks: Masks, size: int, device: torch.device) -> Tensor:
    return moved(coalitions.members(masks, size).astype(np.int32), device)


def _parents(
    masks: Masks, smaller: Masks, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of each subsequence's sampled parents among those one smaller, one after the other.

    Returns:
        (parent,) rows in ``smaller``, and (len(masks) + 1,) where the parents of each subsequence
        begin.
    """
    players = coalitions.members(masks, size).astype(np.uint64)
    without = masks[:, None] & ~np.left_shift(np.uint64(1), players)
    places = np.minimum(np.searchsorted(smaller, without), len(smaller) - 1)
    sampled = smaller[places] == without
    counts = sampled.sum(axis=1)
    if not counts.all():
        orphan = int(masks[int(np.argmin(counts))])
        raise InputError(
            f"subsequence {orphan:#x} of {size} elements lacks a parent: a sampled subsequence of "
            f"{size - 1} of them"
        )
    return places[sampled].astype(np.int64), np.concatenate([[0], np.cumsum(counts)])


def pooled_values(
    n_players: int, samples: Iterable[tuple[int, Masks, Tensor]]
) -> tuple[Tensor, int]:
    """Values from the scores of sampled coalitions, for any way of sampling.

    Args:
        n_players: at most 64.
        samples: (size, masks, scores (coalition, *shape)), any number of times for each size.

    Returns:
        (player, *shape) float64, and how many of the pairs (scale, player) were left out.

    Raises:
        InputError: if a player has no contribution at any scale.
    """
    sums: SizeSums | None = None
    holding = np.zeros((n_players + 1, n_players), dtype=np.int64)
    lacking = np.zeros_like(holding)
    for size, masks, scores in samples:
        if sums is None:
            sums = SizeSums(n_players, tuple(scores.shape[1:]), scores.device)
        present = coalitions.to_bool(masks, n_players)
        holding[size] += present.sum(axis=0)
        lacking[size] += (~present).sum(axis=0)
        membership = torch.from_numpy(present.T.copy()).to(scores.device, scores.dtype)
        sums.add(size, membership, scores)
    some = (holding[1:] > 0) & (lacking[:-1] > 0)
    if sums is None or not some.any(axis=0).all():
        raise InputError(
            f"some of the {n_players} players are never added to a sampled coalition; sample a "
            "chain of coalitions from the empty one to that of all players"
        )
    n_scales = some.sum(axis=0)
    # The mean over scales of a difference of means is a single weighted sum of the sums.
    with np.errstate(divide="ignore"):
        gained = np.where(some, 1 / (n_scales * holding[1:]), 0.0)
        lost = np.where(some, 1 / (n_scales * lacking[:-1]), 0.0)
    with_player = sums.holding[1:]
    without = sums.totals[:-1].unsqueeze(1) - sums.holding[:-1]
    contributions = with_player * _spread(gained, with_player) - without * _spread(lost, without)
    return contributions.sum(dim=0), int((~some).sum())


def _spread(weights: NDArray[np.float64], like: Tensor) -> Tensor:
    """Weights (scale, player), shaped to multiply sums (scale, player, *shape)."""
    return torch.from_numpy(weights).to(like.device).view(*weights.shape, *[1] * (like.dim() - 2))
