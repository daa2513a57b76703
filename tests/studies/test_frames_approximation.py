"""Compares Algorithm 1 with its definition over sets, and with exact values where it is exact."""

from collections import Counter
from math import comb

import numpy as np
import oracle
import pytest
import torch
from small_networks import SCORES, make_input, make_model

from pipeline.core import blocks
from pipeline.core.errors import InputError
from pipeline.studies.frames import approximation
from pipeline.studies.frames.approximation import (
    approximate_element_shapley_values,
    approximate_shapley_values,
    sample_iterations,
    sample_scales,
    scale_scorer,
)
from pipeline.studies.frames.coalition_scores import table
from pipeline.studies.frames.element_shapley import element_shapley_values


def as_sets(scales):
    return [
        [frozenset(i for i in range(64) if int(mask) >> i & 1) for mask in masks]
        for masks in scales
    ]


def sampled_scores(kind, model, frames, empty, score, scales):
    """Class score of every sampled subsequence, by the recursion as printed."""
    raw, evaluations = {}, {frozenset(): 0}
    scores = {frozenset(): empty}
    whole = oracle.averaging_game(model, frames, empty, score) if kind == "tsn" else None
    for size, subsequences in enumerate(scales):
        for chosen in subsequences if size else []:
            if whole is not None:
                scores[chosen] = whole(tuple(sorted(chosen)))
                continue
            parents = [chosen - {i} for i in chosen if chosen - {i} in scores]
            weights = np.array([evaluations[parent] for parent in parents], dtype=float)
            assert parents
            total, number = 0.0, 0.0
            if size > 1:
                total = np.mean([w * raw[p] for w, p in zip(weights, parents, strict=True)], axis=0)
                number = weights.mean()
            if size <= model.n_max:
                single = oracle.single_scale(model.scale(size), frames[sorted(chosen)])
                total = total + (oracle.softmax(single) if score == "mean_of_softmax" else single)
                number += 1
            raw[chosen], evaluations[chosen] = total / number, number
            scores[chosen] = oracle.softmax(raw[chosen]) if score == "probability" else raw[chosen]
    return scores


def contributions(iterations, n):
    """Value of each element from a list of (scales, scores), sums and counts pooled."""
    values = []
    for i in range(n):
        by_scale = []
        for s in range(n):
            pairs = [(scores[x], i in x, len(x)) for _, scores in iterations for x in scores]
            with_i = [v for v, holds, size in pairs if holds and size == s + 1]
            without = [v for v, holds, size in pairs if not holds and size == s]
            if with_i and without:
                by_scale.append(np.mean(with_i, axis=0) - np.mean(without, axis=0))
        values.append(np.mean(by_scale, axis=0))
    return np.array(values)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("kind", "n_max", "n", "m", "iterations"),
    [
        ("trn", 3, 6, 4, 1),
        ("trn", 3, 6, 1, 3),
        ("trn", 8, 5, 3, 2),
        ("trn", 1, 4, 2, 2),
        ("trn", 3, 1, 1, 1),
        ("tsn", 1, 6, 4, 2),
        ("tsn", 1, 1, 5, 1),
    ],
)
def test_values_agree_with_the_definition(kind, n_max, n, m, iterations, score):
    model = make_model(kind, n_max=n_max, seed=n).double()
    features, empty = make_input(model, 2, n)
    found = approximate_element_shapley_values(
        model, features, empty, score, m=m, iterations=iterations, seed=3
    )
    assert found.values.dtype == torch.float64
    samples = [as_sets(scales) for scales in sample_iterations(n, m, iterations, 3)]
    for index, frames in enumerate(features.numpy()):
        scored = [
            (scales, sampled_scores(kind, model, frames, empty.numpy(), score, scales))
            for scales in samples
        ]
        expected = contributions(scored, n)
        np.testing.assert_allclose(found.values[index].numpy(), expected, atol=1e-12)
    longest = n_max if kind == "trn" else n
    sizes = [len(x) for scales in samples for some in scales for x in some]
    assert found.evaluations == sum(1 <= size <= longest for size in sizes)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", ["trn", "tsn"])
@pytest.mark.parametrize("iterations", [1, 2])
def test_it_is_exact_where_every_subsequence_is_sampled(kind, score, iterations):
    n = 7
    model = make_model(kind).double()
    features, empty = make_input(model, 2, n)
    m = comb(n, n // 2)
    found = approximate_element_shapley_values(
        model, features, empty, score, m=m, iterations=iterations
    )
    exact = element_shapley_values(model, features, empty, score)
    np.testing.assert_allclose(found.values.numpy(), exact.numpy(), atol=1e-12)
    assert found.left_out == 0
    rows = sum(comb(n, size) for size in range(1, (3 if kind == "trn" else n) + 1))
    assert found.evaluations == iterations * rows
    # With one subsequence fewer at the largest scales, values are no longer exact.
    fewer = approximate_element_shapley_values(model, features, empty, score, m=m - 1)
    assert (fewer.values - exact).abs().max() > 1e-6


@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_float32_and_small_blocks_give_the_same(kind, monkeypatch):
    model = make_model(kind).double()
    features, empty = make_input(model, 3, 9)
    expected = approximate_element_shapley_values(model, features, empty, m=40).values.numpy()
    monkeypatch.setattr(blocks, "BLOCK_BYTES", {"cpu": 1})
    monkeypatch.setattr(
        approximation, "row_blocks", lambda rows, *_: [slice(i, i + 1) for i in range(rows)]
    )
    found = approximate_element_shapley_values(model, features, empty, m=40).values.numpy()
    np.testing.assert_allclose(found, expected, atol=1e-14)
    single = approximate_element_shapley_values(model.float(), features.float(), empty, m=40)
    np.testing.assert_allclose(single.values.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 1), (6, 4), (6, 1000), (20, 30), (64, 3)])
def test_samples_grow_element_by_element_without_repeats(n, m):
    scales = sample_scales(n, m, np.random.default_rng(n))
    assert all(masks.dtype == np.uint64 for masks in scales)
    sets = as_sets(scales)
    assert sets[0] == [frozenset()]
    assert sets[n] == [frozenset(range(n))]
    for size in range(1, n + 1):
        candidates = {parent | {i} for parent in sets[size - 1] for i in set(range(n)) - parent}
        assert len(set(sets[size])) == len(sets[size]) == min(m, len(candidates))
        assert set(sets[size]) <= candidates
        assert np.all(np.diff(scales[size].astype(object)) > 0)


def test_every_candidate_is_as_likely():
    rng = np.random.default_rng(0)
    draws = 3000
    seen = [Counter(), Counter(), Counter()]
    after = Counter()
    for _ in range(draws):
        scales = sample_scales(4, 2, rng)
        for size in (1, 2, 3):
            seen[size - 1].update(scales[size].tolist())
        if scales[1].tolist() == [0b0001, 0b0010]:
            after.update(scales[2].tolist())
    for size, counts in enumerate(seen, start=1):
        share = 2 / comb(4, size)
        assert len(counts) == comb(4, size)
        for count in counts.values():
            assert abs(count / draws - share) < 5 * np.sqrt(share * (1 - share) / draws)
    # {0, 1} has two parents, the other four candidates one each; all are equally likely.
    times = sum(after.values()) / 2
    assert sorted(after) == [0b0011, 0b0101, 0b0110, 0b1001, 0b1010]
    assert all(abs(count / times - 2 / 5) < 5 * np.sqrt(0.24 / times) for count in after.values())


@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_one_subsequence_a_scale_gives_marginal_contributions_along_an_order(kind):
    n = 9
    model = make_model(kind).double()
    features, empty = make_input(model, 2, n)
    found = approximate_element_shapley_values(model, features, empty, m=1, seed=5)
    scales = sample_iterations(n, 1, 1, 5)[0]
    scores = list(scale_scorer(model, features)(scales))
    before = empty.expand(2, -1)
    for s in range(n):
        added = int(scales[s + 1][0]) ^ int(scales[s][0])
        after = scores[s][0]
        expected = (after - before).numpy()
        actual = found.values[:, added.bit_length() - 1].numpy()
        np.testing.assert_allclose(actual, expected, atol=1e-12)
        before = after
    # Only the scale at which an element is added counts; its other scales are left out.
    assert found.left_out == n * (n - 1)


@pytest.mark.parametrize("n", [20, 64])
@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_long_sequences_have_finite_values(kind, n):
    model = make_model(kind).double()
    features, empty = make_input(model, 1, n)
    for m in (1, 2, 50):
        found = approximate_element_shapley_values(model, features, empty, m=m)
        assert found.values.shape == (1, n, model.n_classes)
        assert torch.isfinite(found.values).all()


@pytest.mark.parametrize("score", ["probability", "logit"])
@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_the_error_falls_with_m_and_with_iterations(kind, score):
    model = make_model(kind).double()
    features, empty = make_input(model, 2, 10)
    exact = element_shapley_values(model, features, empty, score)

    def error(m, iterations):
        squares = []
        for seed in range(6):
            found = approximate_element_shapley_values(
                model, features, empty, score, m=m, iterations=iterations, seed=seed
            )
            squares.append(((found.values - exact) ** 2).mean().item())
        return np.sqrt(np.mean(squares))

    few, more, most = error(2, 1), error(16, 1), error(128, 1)
    assert few > 1.5 * more > 1.5 * 1.5 * most
    assert error(4, 1) > 1.5 * error(4, 16)


@pytest.mark.parametrize(("kind", "iterations"), [("tsn", 1), ("trn", 150)])
def test_pooled_iterations_with_linear_scores_have_no_bias(kind, iterations):
    model = make_model(kind).double()
    features, empty = make_input(model, 1, 5)
    exact = element_shapley_values(model, features, empty, "logit").numpy()
    runs = [
        approximate_element_shapley_values(
            model, features, empty, "logit", m=1, iterations=iterations, seed=seed
        ).values.numpy()
        for seed in range(1800 // iterations if kind == "trn" else 500)
    ]
    standard_error = np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    assert standard_error.max() < 0.05
    assert (np.abs(np.mean(runs, axis=0) - exact) < 5 * standard_error).all()


def test_stored_scores_give_what_the_averaging_model_gives():
    model = make_model("tsn").double()
    features, empty = make_input(model, 2, 8)
    scores = table(model, features, empty)
    asked = []

    def look_up(masks):
        asked.append(masks)
        return scores[:, torch.from_numpy(masks.astype(np.int64))].transpose(0, 1)

    found = approximate_shapley_values(look_up, 8, m=12, iterations=3, seed=2)
    expected = approximate_element_shapley_values(
        model, features, empty, m=12, iterations=3, seed=2
    )
    np.testing.assert_allclose(
        found.values.transpose(0, 1).numpy(), expected.values.numpy(), atol=1e-12
    )
    assert found.evaluations == expected.evaluations == sum(map(len, asked)) - 3


def test_true_scores_without_the_recursion_differ_and_are_exact_when_all_are_sampled():
    model = make_model("trn").double()
    features, empty = make_input(model, 1, 8)
    scores = table(model, features, empty)[0].numpy()
    exact = element_shapley_values(model, features, empty)[0].numpy()
    few = approximate_shapley_values(lambda masks: scores[masks], 8, m=12).values.numpy()
    recursion = approximate_element_shapley_values(model, features, empty, m=12)
    assert np.abs(few - recursion.values[0].numpy()).max() > 1e-6
    everything = approximate_shapley_values(lambda masks: scores[masks], 8, m=70)
    np.testing.assert_allclose(everything.values.numpy(), exact, atol=1e-12)


def test_seeds_and_iterations():
    model = make_model("trn").double()
    features, empty = make_input(model, 1, 8)

    def values(**options):
        return approximate_element_shapley_values(model, features, empty, m=5, **options).values

    assert torch.equal(values(seed=1), values(seed=1))
    assert not torch.equal(values(seed=1), values(seed=2))
    two, three = sample_iterations(8, 5, 2, 1), sample_iterations(8, 5, 3, 1)
    for few, more in zip(two, three, strict=False):
        assert all(np.array_equal(a, b) for a, b in zip(few, more, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(*two, strict=True))


def test_bad_input_is_refused():
    model = make_model("trn").double()
    features, empty = make_input(model, 1, 4)
    with pytest.raises(InputError, match="m = 0"):
        approximate_element_shapley_values(model, features, empty, m=0)
    with pytest.raises(InputError, match="0 iterations"):
        approximate_element_shapley_values(model, features, empty, m=1, iterations=0)
    with pytest.raises(InputError, match="seed -1"):
        approximate_element_shapley_values(model, features, empty, m=1, seed=-1)
    with pytest.raises(InputError, match="65 players"):
        sample_scales(65, 1, np.random.default_rng(0))
    with pytest.raises(InputError, match="NaN or Inf"):
        approximate_element_shapley_values(model, features * np.nan, empty, m=1)
    with pytest.raises(InputError, match="no sequence"):
        approximate_element_shapley_values(model, features[:0], empty, m=1)
    with pytest.raises(InputError, match="finite"):
        approximate_shapley_values(lambda masks: np.full((len(masks), 1), np.nan), 3, m=1)
    orphaned = [np.array(masks, dtype=np.uint64) for masks in ([0], [1, 2], [12])]
    with pytest.raises(InputError, match="0xc of 2 elements lacks a parent"):
        list(scale_scorer(model, features)(orphaned))
    with pytest.raises(InputError, match="never added"):
        approximation.pooled_values(2, [(0, orphaned[0], torch.zeros(1, 1))])
