"""Element Shapley Values (Play Fair): the exact contribution of each frame to a class score.

With probabilities as scores all 2**n coalitions are enumerated, or for the TSN with many frames
summed by halves (:mod:`pipeline.studies.frames.halves`). The two other scores apply no
softmax to the averages, so v is linear in the single-scale outputs f^z. Only subsequences Z of up
to n_max frames are needed: their number is polynomial, so values of 32 frames and more are exact as
well. With m_k = min(k, n_max) a coalition S of k frames scores

    v(S) = Σ_z 1/m_k · mean over Z ⊆ S, |Z| = z of f^z(Z),                      z = 1 … m_k.

Let F_z,i be the mean of f^z over the Z that hold frame i, F_z,¬i over those that do not. Given a
random S of s frames without i, a Z ⊆ S ∪ {i} of z frames holds i with probability z / (s + 1);
otherwise it is a random Z without i. So the mean marginal contribution of i to coalitions of s
frames is as follows, with v(∅) in place of the last sum for s = 0:

    Σ_z 1/m_(s+1) · [z/(s+1) · F_z,i + (s+1−z)/(s+1) · F_z,¬i]  −  Σ_z 1/m_s · F_z,¬i .
"""

from math import comb

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.core.errors import InputError
from pipeline.models.sequences import Averaging, MultiScale
from pipeline.shapley import SizeSums, block_sums
from pipeline.studies.frames import halves
from pipeline.studies.frames.coalition_scores import (
    Block,
    Model,
    Score,
    check,
    check_subsequences,
    map_scores,
    map_subsequences,
    projections,
    single_scores,
    threads_by_work,
)


@torch.no_grad()
def marginals_by_size(
    model: Model, features: Tensor, empty: Tensor, score: Score = "probability"
) -> Tensor:
    """Mean marginal contribution of every frame to the coalitions of every size.

    Coalitions are streamed, so their scores are never all in memory.

    Args:
        model: in evaluation mode, on the features' device and of their dtype.
        features: (sequence, frame, feature_dim) float32 or float64.
        empty: (class,) v(∅), in the unit of ``score``.
        score: what v is.

    Returns:
        (sequence, size, frame, class) float64, size = 0 … frame − 1; their mean over sizes is the
        Element Shapley Value.

    Raises:
        InputError: another kind of model, arguments of other types or shapes, NaN or Inf (also in
            the weights), or too many frames (with probabilities, more than 26 for the TRN and 30
            for the TSN).
    """
    check(model, features, score, empty)
    with threads_by_work(model, features):
        return _marginals(model, features, empty, score)


@torch.no_grad()
def element_shapley_values(
    model: Model, features: Tensor, empty: Tensor, score: Score = "probability"
) -> Tensor:
    """Element Shapley Values of every frame for every class.

    Arguments and errors as :func:`marginals_by_size`.

    Returns:
        (sequence, frame, class) float64; over frames they sum to v(all frames) − v(∅).
    """
    check(model, features, score, empty)
    with threads_by_work(model, features):
        return _marginals(model, features, empty, score).mean(dim=1)


def _marginals(model: Model, features: Tensor, empty: Tensor, score: Score) -> Tensor:
    if score != "probability":
        return _linear_marginals(model, features, empty, score)
    n_sequences, n_frames, _ = features.shape
    if isinstance(model, Averaging) and 2**n_frames * model.n_classes >= halves.LEAST_VALUES:
        if n_frames > halves.MAX_FRAMES:
            raise InputError(
                f"{n_frames} frames: with probabilities, values of up to {halves.MAX_FRAMES} "
                "frames are exact; use fewer frames, score: logit, or Algorithm 1"
            )
        logits = model.classifier(features)
        if (logits.amax(dim=2) - logits.amin(dim=2)).max() < halves.LARGEST_SPAN:
            return halves.averaging_sums(logits, empty).marginals().permute(2, 0, 1, 3)
    sums = SizeSums(n_frames, (n_sequences, model.n_classes), features.device)
    nobody = features.new_zeros((n_frames, 1))
    sums.add(0, nobody, empty.to(features).expand(1, n_sequences, -1))
    bits = torch.arange(n_frames, dtype=torch.int32, device=features.device).unsqueeze(1)

    def reduce(block: Block) -> tuple[int, Tensor, Tensor]:
        membership = ((block.masks.int() >> bits) & 1).to(features.dtype)
        return block.size, *block_sums(membership, block.scores)

    for reduced in map_scores(model, features, score, reduce):
        sums.add_sums(*reduced)
    return sums.marginals().permute(2, 0, 1, 3)


def _linear_marginals(model: Model, features: Tensor, empty: Tensor, score: Score) -> Tensor:
    n_sequences, n_frames, _ = features.shape
    n_max = min(n_frames, model.n_max if isinstance(model, MultiScale) else 1)
    check_subsequences(n_frames, n_max)
    holding, without = [], []
    for size in range(1, n_max + 1):
        if isinstance(model, MultiScale):
            means = _scale_means(model, features, size, score)
        else:
            means = _frame_means(model, features, score)
        holding.append(means[0])
        without.append(means[1])
    shape = (n_sequences, n_frames, n_frames, model.n_classes)
    result = torch.zeros(shape, dtype=torch.float64, device=features.device)
    for s in range(n_frames):
        larger, smaller = min(s + 1, n_max), min(s, n_max)
        for z in range(1, larger + 1):
            result[:, s] += z / (s + 1) / larger * holding[z - 1]
            if z <= s:
                result[:, s] += (s + 1 - z) / (s + 1) / larger * without[z - 1]
        for z in range(1, smaller + 1):
            result[:, s] -= without[z - 1] / smaller
    result[:, 0] -= empty.to(result)
    return result


def _frame_means(model: Averaging, features: Tensor, score: Score) -> tuple[Tensor, Tensor]:
    """Mean output of the one-frame subsequences with and without each frame, (V, n, C) each."""
    single = single_scores(model.classifier(features), score).double()
    others = single.sum(dim=1, keepdim=True) - single
    return single, others / max(1, features.shape[1] - 1)


def _scale_means(
    model: MultiScale, features: Tensor, size: int, score: Score
) -> tuple[Tensor, Tensor]:
    """Mean of f^size over the subsequences with and without each frame, (V, n, C) each.

    Zero if there is no such subsequence: the only subsequence of all n frames lacks none of them.
    """
    n_sequences, n_frames, _ = features.shape
    mlp = model.scale(size)
    projected = projections(model, features, size)
    position = n_frames * torch.arange(size, dtype=torch.int32, device=features.device)
    # The output layer is linear: unless a softmax follows, hidden units are averaged instead.
    averages_hidden = score == "logit"
    width = model.hidden if averages_hidden else model.n_classes
    sums = SizeSums(n_frames, (n_sequences, width), features.device)
    row_bytes = projected.shape[1] * features.element_size()

    def reduced(players: Tensor) -> tuple[Tensor, Tensor]:
        inner = functional.embedding_bag(players + position, projected, mode="sum").relu_()
        values = inner.view(len(players), n_sequences, -1)
        if not averages_hidden:
            values = single_scores(mlp.second(values), score)
        membership = features.new_zeros((len(players), n_frames))
        membership.scatter_(1, players.long(), 1.0)
        return block_sums(membership.t(), values)

    for part in map_subsequences(n_frames, size, row_bytes, features.device, reduced):
        sums.add_sums(size, *part)
    total, holding = sums.totals[size], sums.holding[size]
    with_frame = holding / comb(n_frames - 1, size - 1)
    without = (total - holding) / max(1, comb(n_frames - 1, size))
    if averages_hidden:
        weight, bias = mlp.second.weight.double(), mlp.second.bias.double()
        with_frame = with_frame @ weight.t() + bias
        some_are_without = size < n_frames
        without = without @ weight.t() + bias * some_are_without
    return with_frame.transpose(0, 1), without.transpose(0, 1)
