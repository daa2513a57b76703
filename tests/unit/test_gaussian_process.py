"""The Gaussian process through pairs agrees with its definition over all coalitions."""

import numpy as np
import oracle
import pytest

from pipeline.shapley import gaussian_process as process
from pipeline.shapley.adjusted import fit_kernel
from pipeline.shapley.draws import draw
from pipeline.shapley.games import table_game
from pipeline.shapley.kernel import METHOD, _unless_biased
from pipeline.shapley.methods import METHODS
from pipeline.shapley.pairs import Pairs


def coalitions_of(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def by_definition(table):
    n = len(table).bit_length() - 1
    return oracle.shapley_values(lambda players: table[oracle.mask_of(players)], n)


def smooth(n, seed=0):
    rng = np.random.default_rng(seed)
    held = coalitions_of(n)
    return np.tanh(held @ rng.normal(size=n)) + 0.3 * np.sin(held @ rng.normal(size=n) * 2)


def pairs_of(table, count, seed=0):
    n = len(table).bit_length() - 1
    held = np.concatenate([held for held, _ in draw(n, np.random.SeedSequence(seed))])[:count]
    masks = held @ (1 << np.arange(n))
    columns = table.reshape(len(table), -1)
    return Pairs(
        held, held.sum(axis=1), columns[masks], columns[::-1][masks], columns[0], columns[-1]
    )


def covariance(decay, tilt):
    """A(S) A(T) [κ(S, T) − κ(S, N∖T)] over all coalitions, entry by entry."""
    n = len(decay)
    held = coalitions_of(n)

    def amplitude(s):
        size = s.sum()
        return (np.exp(tilt * size) + np.exp(tilt * (n - size))) / (1 + np.exp(tilt * n))

    def near(s, t):
        return np.exp(-sum(decay[i] for i in range(n) if s[i] != t[i]))

    return np.array(
        [[amplitude(s) * amplitude(t) * (near(s, t) - near(s, ~t)) for t in held] for s in held]
    )


def by_signs(held, players):
    """A parity function less the mean of signs, entry by entry."""
    signs = np.where(held, 1, -1)
    return np.array([row[players].prod() - row.sum() / len(row) for row in signs])


@pytest.mark.parametrize(("n", "count"), [(2, 1), (3, 2), (4, 3), (5, 14), (6, 25), (7, 40)])
def test_the_mean_is_the_best_prediction_through_the_pairs(n, count):
    table = smooth(n)
    pairs = pairs_of(table, count)
    (mean,) = process.posterior_means(pairs)
    observed = process._observed(pairs.membership, np.zeros(len(pairs.sizes)))
    held = coalitions_of(n)
    odd = (table - table[::-1]) / 2 - (held.sum(axis=1) / n - 0.5) * (table[-1] - table[0])

    # Kriging by one large linear system: weights, and what is free.
    at = observed.membership @ (1 << np.arange(n))
    learned = mean.variances
    all_of_them = learned.smooth * covariance(mean.decay, mean.tilt)
    for players, variance in zip(learned.members, learned.of_terms, strict=True):
        values = by_signs(held, np.flatnonzero(players))
        all_of_them += variance * np.multiply.outer(values, values)
    centred = held - held.mean(axis=1, keepdims=True)
    sizes = held.sum(axis=1)[:, None]
    signs = np.sign(n - 2 * sizes)
    of_sizes = signs * (np.minimum(sizes, n - sizes) == np.arange(1, (n - 1) // 2 + 1))
    free = np.zeros((2**n, 0))
    if observed.is_determined:
        free = centred[:, :-1]
        if observed.free.shape[1] > n - 1:
            free = np.column_stack([free, of_sizes])
    else:
        all_of_them = all_of_them + process.FREE * centred @ centred.T
    inner = all_of_them[np.ix_(at, at)]
    inner = inner + process.NUGGET * inner.diagonal().mean() * np.eye(len(at))
    zeros = np.zeros((free.shape[1], free.shape[1]))
    system = np.block([[inner, free[at]], [free[at].T, zeros]])
    right = np.concatenate([odd[at], np.zeros(free.shape[1])])
    solved = np.linalg.lstsq(system, right, rcond=None)[0]
    expected = all_of_them[:, at] @ solved[: len(at)] + free @ solved[len(at) :]

    predicted = process.predicted(mean, pairs.membership, held)
    np.testing.assert_allclose(predicted, expected, atol=1e-5)
    np.testing.assert_allclose(predicted[at], odd[at], atol=1e-5)
    np.testing.assert_allclose(predicted, -predicted[::-1], atol=1e-12)
    values = process.values_of(mean, pairs.membership)
    np.testing.assert_allclose(values, by_definition(predicted), atol=1e-10)


def test_the_loss_has_its_gradient():
    n, rng = 6, np.random.default_rng(1)
    pairs = pairs_of(smooth(n), 20)
    observed = process._observed(pairs.membership, rng.normal(size=20))
    at = np.concatenate([[-1.0], rng.normal(size=n) / 3, [-0.2]])
    steps = 1e-6 * np.eye(n + 2)
    numeric = [
        (process._loss(at + s, observed)[0] - process._loss(at - s, observed)[0]) / 2e-6
        for s in steps
    ]
    np.testing.assert_allclose(process._loss(at, observed)[1], numeric, rtol=1e-4, atol=1e-4)


def test_players_that_interact_more_have_a_larger_decay():
    n = 8
    held = coalitions_of(n).astype(float)
    table = held @ np.arange(n) / n + 2 * held[:, 0] * held[:, 1] * held[:, 2]
    (mean,) = process.posterior_means(pairs_of(table, 60))
    assert mean.decay[:3].min() > 3 * mean.decay[3:].max()


def test_values_that_vary_less_at_medium_sizes_tilt_the_kernel():
    n, rng = 10, np.random.default_rng(0)
    sizes = coalitions_of(n).sum(axis=1)
    noise = rng.normal(size=2**n)
    (flat,) = process.posterior_means(pairs_of(noise, 150))
    (tilted,) = process.posterior_means(pairs_of(noise * 0.4**sizes, 150))
    assert flat.tilt > -0.1
    assert tilted.tilt < -0.4


def test_a_fit_has_the_games_ends_and_all_outputs():
    table = np.stack([smooth(6), smooth(6, seed=1)], axis=1)
    fitted = fit_kernel(pairs_of(table, 20))
    held = coalitions_of(6)
    np.testing.assert_allclose(fitted.values.sum(axis=0), table[-1] - table[0], atol=1e-10)
    for output in range(2):
        predicted = fitted.predict(held)[:, output]
        np.testing.assert_allclose(fitted.values[:, output], by_definition(predicted), atol=1e-9)


@pytest.mark.parametrize("n", [7, 10])
def test_it_errs_less_than_the_regression(n):
    table, budget = smooth(n), {7: 70, 10: 400}[n]
    exact = by_definition(table)[:, None]
    errors = {
        name: np.mean([
            ((METHODS[name].estimate(table_game(table), budget=budget, seed=s).values - exact) ** 2)
            for s in range(10)
        ])
        for name in ("kernel", "regression")
    }  # fmt: skip
    assert errors["kernel"] < errors["regression"] / 2


def test_pairs_beyond_the_largest_fit_correct_it(monkeypatch):
    n, rng = 10, np.random.default_rng(0)
    table = rng.normal(size=2**n)  # a fit explains nothing of noise
    exact = by_definition(table)[:, None]

    def error(budget):
        found = [METHOD.estimate(table_game(table), budget=budget, seed=s) for s in range(8)]
        assert all(np.isfinite(each.standard_errors).all() for each in found)
        return np.sqrt(np.mean([(each.values - exact) ** 2 for each in found]))

    monkeypatch.setattr(process, "MOST_PAIRS", 60)
    monkeypatch.setattr("pipeline.shapley.kernel.MOST_PAIRS", 60)
    few, many = error(122), error(900)
    assert many < few / 2


def test_games_without_interactions_are_exact_and_leave_no_error():
    n, rng = 9, np.random.default_rng(0)
    worth = rng.normal(size=n)
    found = METHOD.estimate(table_game(coalitions_of(n) @ worth), budget=60)
    np.testing.assert_allclose(found.values[:, 0], worth, atol=1e-9)
    assert found.standard_errors.max() < 1e-6
    constant = METHOD.estimate(table_game(np.full(2**n, 3.0)), budget=60)
    np.testing.assert_array_equal(constant.values, 0)


def test_values_move_to_the_unbiased_ones_only_as_far_as_chance_leaves():
    rng = np.random.default_rng(0)
    values, noise = rng.normal(size=(12, 1)), 0.1 * rng.normal(size=(12, 1))
    errors = np.full_like(values, 0.1)
    near, far = values + noise / 2, values + 10 * np.sign(noise)
    np.testing.assert_array_equal(_unless_biased(values, near, errors), values)
    np.testing.assert_allclose(_unless_biased(values, far, errors), far, atol=0.01)
    both = np.concatenate([near, far], axis=1)
    moved = _unless_biased(np.repeat(values, 2, 1), both, np.repeat(errors, 2, 1))
    np.testing.assert_array_equal(moved[:, :1], values)
    unknown = _unless_biased(values, far, np.full_like(values, np.nan))
    np.testing.assert_array_equal(unknown, values)
