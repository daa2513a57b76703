"""The definitions as slow and obvious float64 code, to test the fast paths against."""

from itertools import combinations
from math import factorial

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def subsets(n, size):
    return combinations(range(n), size)


def mask_of(players):
    return sum(1 << i for i in players)


def shapley_values(v, n):
    """Play Fair, supplement, Eq. 11 (with |X|! below): v maps a tuple of players to a vector."""
    values = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        total = 0.0
        for size in range(n):
            weight = factorial(n - size - 1) * factorial(size) / factorial(n)
            for coalition in combinations(others, size):
                with_i = tuple(sorted((*coalition, i)))
                total = total + weight * (v(with_i) - v(coalition))
        values.append(total)
    return np.array(values)


def mean_marginals(v, n):
    """Mean marginal contribution of player i to coalitions of each size: (size, player, ...)."""
    result = []
    for size in range(n):
        row = []
        for i in range(n):
            others = [j for j in range(n) if j != i]
            row.append(
                np.mean(
                    [v(tuple(sorted((*c, i)))) - v(c) for c in combinations(others, size)], axis=0
                )
            )
        result.append(row)
    return np.array(result)


def single_scale(mlp, frames):
    """f^s of one subsequence (s, D): concatenate, hidden layer, ReLU, output layer."""
    as_array = {k: p.detach().double().cpu().numpy() for k, p in mlp.named_parameters()}
    x = np.concatenate(list(frames))
    hidden = np.maximum(as_array["first.weight"] @ x + as_array["first.bias"], 0)
    return as_array["second.weight"] @ hidden + as_array["second.bias"]


def multi_scale_game(model, features, empty, score):
    """Play Fair, Eq. 8: E over scales of E over subsequences of that length."""
    frames = np.asarray(features, dtype=np.float64)

    def v(players):
        if not players:
            return np.asarray(empty, dtype=np.float64)
        scales = []
        for s in range(1, min(len(players), model.n_max) + 1):
            outputs = [
                single_scale(model.scales[s - 1], frames[list(chosen)])
                for chosen in combinations(players, s)
            ]
            if score == "mean_of_softmax":
                outputs = [softmax(z) for z in outputs]
            scales.append(np.mean(outputs, axis=0))
        mean = np.mean(scales, axis=0)
        return softmax(mean) if score == "probability" else mean

    return v


def averaging_game(model, features, empty, score):
    """TSN: the mean over the coalition's frames of their logits (or of their softmaxes)."""
    weight = model.classifier.weight.detach().double().cpu().numpy()
    bias = model.classifier.bias.detach().double().cpu().numpy()
    frames = np.asarray(features, dtype=np.float64)

    def v(players):
        if not players:
            return np.asarray(empty, dtype=np.float64)
        outputs = [weight @ frames[i] + bias for i in players]
        if score == "mean_of_softmax":
            outputs = [softmax(z) for z in outputs]
        mean = np.mean(outputs, axis=0)
        return softmax(mean) if score == "probability" else mean

    return v


def replaced(features, players, removal):
    """The sequence of a coalition whose absent frames are replaced (not of nobody, frozen)."""
    sequence = []
    for t in range(len(features)):
        if t in players:
            sequence.append(features[t])
        elif removal == "freeze":
            sequence.append(features[min(players, key=lambda s: (abs(s - t), s))])
        else:
            sequence.append(sum(features) / len(features) if removal == "mean" else 0 * features[t])
    return sequence


def replaced_game(of_sequence, model, features, empty, score, removal):
    """Absent frames are replaced; v is the score of the whole sequence in a game as above."""
    frames, everyone = np.asarray(features, dtype=np.float64), tuple(range(len(features)))

    def v(players):
        if not players and removal == "freeze":
            return np.asarray(empty, dtype=np.float64)
        return of_sequence(model, replaced(frames, players, removal), empty, score)(everyone)

    return v


def averaging_closed_form(logits, empty):
    """ESVs of TSN with logit scores, at any n: logits (n, C), empty (C,)."""
    n = len(logits)
    harmonic = sum(1 / k for k in range(1, n + 1))
    result = []
    for i in range(n):
        phi = (logits[i] - empty) / n
        if n > 1:
            others = np.mean([logits[j] for j in range(n) if j != i], axis=0)
            phi = phi + (harmonic - 1) / n * (logits[i] - others)
        result.append(phi)
    return np.array(result)
