"""Compares sums by halves with brute force, and with the path that evaluates each coalition."""

from math import comb

import numpy as np
import oracle
import pytest
import torch
from small_networks import make_game, make_input, make_model

from pipeline.core.errors import InputError
from pipeline.shapley import SizeSums, shapley_values
from pipeline.studies.frames import coalition_scores, halves
from pipeline.studies.frames.element_shapley import element_shapley_values, marginals_by_size


@pytest.fixture(autouse=True)
def small_games_too(monkeypatch):
    """Few coalitions are summed by halves as well, which would be evaluated one by one."""
    monkeypatch.setattr(halves, "LEAST_VALUES", 1)


def by_halves(model, features, empty):
    """(sequence, size, frame, class), whatever the number of frames."""
    sums = halves.averaging_sums(model.classifier(features).detach(), empty)
    assert isinstance(sums, SizeSums)
    return sums.marginals().permute(2, 0, 1, 3).numpy()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("n_classes", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_marginals_are_those_of_brute_force(n, n_classes, dtype, tolerance):
    model = make_model("tsn", seed=n, n_classes=n_classes)
    features, empty = make_input(model, 2, n)
    found = by_halves(model.to(dtype), features.to(dtype), empty)
    for index, frames in enumerate(features):
        v = make_game("tsn")(model.double(), frames.double(), empty, "probability")
        np.testing.assert_allclose(found[index], oracle.mean_marginals(v, n), atol=tolerance)


@pytest.mark.parametrize("n", [13, 16])
def test_values_are_those_of_the_complete_table(n):
    model = make_model("tsn").double()
    features, empty = make_input(model, 3, n)
    with torch.no_grad():
        model.classifier.weight *= 20  # scores near 0 and 1
    table = coalition_scores.table(model, features.double(), empty)
    found = element_shapley_values(model, features.double(), empty).numpy()
    np.testing.assert_allclose(found, shapley_values(table), atol=1e-12)


def test_neither_memory_nor_threads_nor_the_batch_change_the_values(monkeypatch):
    model = make_model("tsn")
    features, empty = make_input(model, 5, 13)
    before, threads = marginals_by_size(model, features, empty).numpy(), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        np.testing.assert_array_equal(marginals_by_size(model, features, empty).numpy(), before)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(halves, "_BYTES", 1)
    monkeypatch.setattr(halves, "_CACHE_BYTES", 1)
    np.testing.assert_allclose(marginals_by_size(model, features, empty), before, atol=1e-13)
    alone = marginals_by_size(model, features[2:3], empty)
    np.testing.assert_allclose(alone[0], before[2], atol=1e-13)


@pytest.mark.parametrize("scale", [100, 590, 5000])
def test_logits_far_apart(scale):
    """Up to some hundreds factors do not underflow; beyond, each coalition is evaluated."""
    n = 13
    model = make_model("tsn", n_classes=3).double()
    features, empty = make_input(model, 1, n)
    with torch.no_grad():
        logits = model.classifier(features.double())
        span = (logits.amax(dim=2) - logits.amin(dim=2)).max()
        model.classifier.weight *= scale / span
        model.classifier.bias *= scale / span
    found = element_shapley_values(model, features.double(), empty)
    table = coalition_scores.table(model, features.double(), empty)
    np.testing.assert_allclose(found.numpy(), shapley_values(table), atol=1e-12)


def test_24_frames_are_exact():
    """Frames in two groups of equal ones: the values follow from counts."""
    n, of_first = 24, 10
    model = make_model("tsn", n_classes=4).double()
    two, empty = make_input(model, 1, 2)
    rows = torch.tensor([0] * of_first + [1] * (n - of_first))[torch.randperm(n)]
    found = element_shapley_values(model, two.double()[:, rows], empty)[0]
    logits = model.classifier(two.double())[0].detach().numpy()

    def mean_score(first, second):
        counts = np.array([first, second])
        if not counts.sum():
            return empty.double().numpy()
        return oracle.softmax(counts @ logits / counts.sum())

    expected = {}
    for own in (0, 1):
        total, others = 0.0, [of_first - (own == 0), n - of_first - (own == 1)]
        for size in range(n):
            share = np.zeros(4)
            for first in range(max(0, size - others[1]), min(size, others[0]) + 1):
                ways = np.prod([_choose(others[0], first), _choose(others[1], size - first)])
                gain = mean_score(first + (own == 0), size - first + (own == 1))
                share += ways * (gain - mean_score(first, size - first))
            total = total + share / _choose(n - 1, size)
        expected[own] = total / n
    for frame in range(n):
        np.testing.assert_allclose(found[frame], expected[int(rows[frame])], atol=1e-12)


def _choose(n, k):
    return float(comb(n, k))


def test_too_many_frames_are_refused_with_what_to_do():
    model = make_model("tsn")
    features, empty = make_input(model, 1, 31)
    with pytest.raises(InputError, match=r"31 frames: .* up to 30 .* score: logit, or Algorithm 1"):
        element_shapley_values(model, features, empty)
