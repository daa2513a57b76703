"""Compares Shapley values of a mean over instances with all coalitions of each instance."""

from math import factorial

import numpy as np
import pytest
from scipy import stats

from pipeline.core.errors import InputError
from pipeline.shapley.bandit import LAMBDAS, _Pairs, compared, empirical_bernstein, tmab
from pipeline.shapley.pooled import contributions, from_walks, orders_of, pairs_of, regress, until


def tables(n, instances, seed=0):
    """Values of all coalitions of some instances (instance, 2**n): far from additive."""
    rng = np.random.default_rng(seed)
    masks = np.arange(2**n)[:, None] >> np.arange(n) & 1
    found = []
    for _ in range(instances):
        needed = rng.random((4, n)) < 0.4
        worth = rng.normal(size=4)
        met = (masks[:, None] >= needed).all(axis=2)
        found.append(met @ worth + masks @ rng.normal(size=n) * 0.2 + rng.normal())
    return np.array(found)


def by_definition(table):
    """Shapley values of one table, one player and coalition at a time."""
    n = len(table).bit_length() - 1
    phi = np.zeros(n)
    for player in range(n):
        for mask in range(len(table)):
            if not mask >> player & 1:
                size = mask.bit_count()
                weight = factorial(size) * factorial(n - size - 1) / factorial(n)
                phi[player] += weight * (table[mask | 1 << player] - table[mask])
    return phi


def exact(table, weights):
    return sum(w * by_definition(each) for w, each in zip(weights, table, strict=True))


def looked_up(table, instances, coalitions):
    """Values of coalitions (…, player) of instances (…)."""
    masks = coalitions @ (1 << np.arange(coalitions.shape[-1]))
    return table[instances, masks]


def walked(table, rounds, seed):
    n = table.shape[1].bit_length() - 1
    places = np.arange(len(table))
    orders = np.stack([orders_of(seed, places, r, n) for r in range(rounds)], axis=1)
    left = np.argsort(orders, axis=-1)[..., None, :] >= np.arange(n + 1)[:, None]
    return looked_up(table, places[:, None, None], left), orders


def paired(table, rounds, count, seed):
    n = table.shape[1].bit_length() - 1
    places = np.arange(len(table))
    drawn = np.stack([pairs_of(seed, places, r, count, n) for r in range(rounds)], axis=1)
    return drawn, looked_up(table, places[:, None, None], drawn), table[:, 0], table[:, -1]


WEIGHTS = {
    "mean": np.full(6, 1 / 6),
    "some": np.array([0.5, 0, 0.5, 0, 0, 0]),
    "difference": np.array([1 / 3] * 3 + [-1 / 3] * 3),
}


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=list(WEIGHTS))
def test_both_estimators_come_to_the_definition_and_their_intervals_hold(weights):
    table, repeats = tables(6, 6), 300
    truth = exact(table, weights)
    total = weights @ (table[:, -1] - table[:, 0])
    quantile = stats.t.ppf(0.975, 9)
    for name in ("walks", "pairs"):
        found, held = [], []
        for seed in range(repeats):
            if name == "walks":
                estimate = from_walks(*walked(table, 10, seed), weights)
            else:
                estimate = regress(*paired(table, 10, 4, seed), weights)
            np.testing.assert_allclose(estimate.values.sum(), total, atol=1e-9)
            found.append(estimate.values)
            reach = quantile * estimate.standard_errors + 1e-12
            held.append(np.abs(estimate.values - truth) <= reach)
        mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(repeats)
        # A regression is biased by less than its error.
        allowed = 1e-12 + 4 * error + (0.1 * error * np.sqrt(repeats) if name == "pairs" else 0)
        assert (np.abs(mean - truth) <= allowed).all()
        assert 0.93 <= np.mean(held) <= 0.975, (name, np.mean(held))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_players_and_one_instance(n):
    table, weights = tables(n, 1), np.ones(1)
    truth = by_definition(table[0])
    walks = from_walks(*walked(table, 400, 0), weights)
    assert (np.abs(walks.values - truth) <= 5 * walks.standard_errors + 1e-9).all()
    if n < 3:
        np.testing.assert_allclose(regress(*paired(table, 8, 4, 0), weights).values, truth)
    else:
        found = regress(*paired(table, 100, 8, 0), weights)
        assert (np.abs(found.values - truth) <= 5 * found.standard_errors + 1e-9).all()


def test_a_null_player_has_value_zero_and_twins_have_equal_values():
    base, weights = tables(4, 5), np.full(5, 0.2)
    masks = np.arange(2**6)
    # Player 4 changes nothing; player 5 has the same effect as player 3.
    as_four = (masks & 7) | ((masks >> 3 | masks >> 5) & 1) << 3
    table = base[:, as_four]
    truth = exact(table, weights)
    assert truth[4] == 0
    np.testing.assert_allclose(truth[3], truth[5])
    walks = from_walks(*walked(table, 200, 1), weights)
    assert walks.values[4] == walks.standard_errors[4] == 0
    found = regress(*paired(table, 50, 16, 1), weights)
    assert (np.abs(found.values - truth) <= 5 * found.standard_errors).all()
    assert abs(found.values[3] - found.values[5]) <= 5 * np.hypot(*found.standard_errors[[3, 5]])


def test_metrics_add_up():
    table = tables(5, 6)
    one, two = WEIGHTS["some"], WEIGHTS["mean"]
    walks, orders = walked(table, 4, 0)
    parts = [from_walks(walks, orders, weights).values for weights in (one, two)]
    both = from_walks(walks, orders, one + two).values
    np.testing.assert_allclose(both, sum(parts), atol=1e-12)


def test_draws_are_functions_of_seed_instance_and_round():
    some = np.array([3, 7, 1])
    for draw in (
        lambda i, r, s=0: orders_of(s, i, r, 6),
        lambda i, r, s=0: pairs_of(s, i, r, 5, 6),
    ):
        whole = draw(some, 2)
        np.testing.assert_array_equal(whole[1], draw(some[1:2], 2)[0])
        assert (whole != draw(some, 3)).any()
        assert (whole != draw(some, 2, 1)).any()
    pairs = pairs_of(0, np.arange(500), 0, 4, 5)
    np.testing.assert_array_equal(pairs[:, 1::2], ~pairs[:, ::2])
    sizes = np.bincount(pairs[:, ::2].sum(axis=2).ravel(), minlength=6)
    assert sizes[0] == sizes[5] == 0
    assert stats.chisquare(sizes[1:5]).pvalue > 1e-4
    assert orders_of(0, np.empty(0, dtype=int), 0, 4).shape == (0, 4)


def test_contributions_along_a_walk():
    found = contributions(np.array([5.0, 3, 2.5, 0]), np.array([2, 0, 1]))
    np.testing.assert_allclose(found, [0.5, 2.5, 2.0])


def test_what_does_not_fit_is_refused():
    table = tables(5, 3)
    weights = np.full(3, 1 / 3)
    walks, orders = walked(table, 2, 0)
    with pytest.raises(InputError, match="are needed"):
        from_walks(walks, orders, weights[:2])
    walks[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or Inf"):
        from_walks(walks, orders, weights)
    with pytest.raises(InputError, match="evaluate more"):
        regress(*paired(table[:1], 1, 2, 0), np.ones(1))
    assert np.isnan(from_walks(*walked(table, 1, 0), weights).standard_errors).all()


def literally(iterations, n, k, epsilon, delta, truncation):
    """Algorithm 1, line by line; V is evaluated when an unknown value is needed."""
    samples = [[] for _ in range(n)]
    chosen, evaluations = set(range(n)), 0
    for order, values in iterations:
        known = {0}
        evaluations += 1
        over = False
        for j, player in enumerate(order):
            if player not in chosen:
                continue
            if over:
                samples[player].append(0.0)
                continue
            if j not in known:
                known.add(j)
                evaluations += 1
            if values[j] < truncation:
                over = True
                samples[player].append(0.0)
                continue
            known.add(j + 1)
            evaluations += 1
            over = values[j + 1] < truncation
            samples[player].append(values[j] - values[j + 1])
        mean = [np.mean(s) if s else 0.0 for s in samples]
        kth = sorted(mean)[-k]
        chosen = set()
        for player, s in enumerate(samples):
            half = np.inf
            if len(s) > 1:
                half = np.sqrt(2 * np.log(2 / delta) * np.var(s, ddof=1) / len(s))
                half += 7 / 3 * np.log(2 / delta) / (len(s) - 1)
            if mean[player] - half + epsilon < kth < mean[player] + half - epsilon:
                chosen.add(player)
        if not chosen:
            break
    return mean, [len(s) for s in samples], evaluations, not chosen


@pytest.mark.parametrize("truncation", [-np.inf, 0.25])
def test_algorithm_1_is_as_printed(truncation):
    rng = np.random.default_rng(0)
    worth = np.array([0.3, 0.25, 0.1, 0.05, 0.0, -0.02])
    iterations = []
    for _ in range(1500):
        order = rng.permutation(6)
        lost = np.concatenate([[0], np.cumsum(worth[order])])
        iterations.append((order, 0.7 - lost + rng.normal(size=7) * 0.02))
    settings = {"k": 2, "epsilon": 0.01, "delta": 0.1, "truncation": truncation}
    found = tmab(iterations, 6, **settings)
    mean, counts, evaluations, decided = literally(iterations, 6, **settings)
    np.testing.assert_allclose(found.values, mean, atol=1e-12)
    np.testing.assert_array_equal(found.samples, counts)
    assert (found.evaluations, found.decided) == (evaluations, decided)
    assert decided
    assert set(found.players) == {0, 1}
    everyone = tmab(iterations, 6, **settings, adaptive=False)
    assert everyone.samples.min() == everyone.samples.max()
    assert everyone.evaluations > found.evaluations


@pytest.mark.parametrize("bound", ["betting", "normal"])
def test_a_search_that_is_decided_is_right_as_often_as_it_says(bound):
    """200 seeds on stored tables of values 0 or 1."""
    table = (tables(8, 40, seed=3) > 0.3).astype(float)
    truth = exact(table, np.full(40, 1 / 40))
    k, epsilon, delta = 3, 0.03, 0.1
    least = np.sort(truth)[-k]
    right, evaluations = [], []
    for seed in range(200):
        found = compared(
            lambda i, s: looked_up(table, i, s),
            8,
            40,
            k=k,
            epsilon=epsilon,
            delta=delta,
            bound=bound,
            seed=seed,
        )
        assert found.decided
        right.append(bool((truth[found.players] >= least - epsilon).all()))
        evaluations.append(found.evaluations)
    assert np.mean(right) >= 1 - delta
    assert np.mean(evaluations) < {"betting": 30_000, "normal": 30_000}[bound]
    # Players that are decided early are not sampled to the end.
    assert found.samples.min() < found.samples.max()


def test_a_search_counts_what_it_asks_for_and_ends():
    table, asked = (tables(5, 10) > 0).astype(float), []

    def values(instances, coalitions):
        asked.append(len(instances))
        return looked_up(table, instances, coalitions)

    told = []
    found = compared(values, 5, 10, k=2, epsilon=0.0, delta=0.1, most=3000, advance=told.append)
    assert not found.decided
    assert found.evaluations == sum(asked) == sum(told) >= 3000
    for k in (0, 5):
        with pytest.raises(InputError, match=f"k: {k} of 5 players"):
            compared(values, 5, 10, k=k, epsilon=0.1, delta=0.1)
        with pytest.raises(InputError, match=f"k: {k} of 5 players"):
            tmab([], 5, k=k, epsilon=0.1, delta=0.1)


def test_bernsteins_bound_holds_more_often_than_it_says():
    rng = np.random.default_rng(0)
    drawn = rng.random((4000, 50)) < 0.1
    half = empirical_bernstein(drawn.var(axis=1, ddof=1), np.full(4000, 50), 0.1, 1.0)
    assert np.mean(np.abs(drawn.mean(axis=1) - 0.1) > half) <= 0.1


def test_the_tests_of_a_search_add_up_what_pairs_have_in_common():
    """Against the definition, sample by sample, with players that drop out."""
    rng = np.random.default_rng(0)
    epsilon, spread = 0.1, 2.0
    pairs, seen = _Pairs.of(4, epsilon, spread), np.full((60, 4), np.nan)
    for start, players in ((0, [0, 1, 2, 3]), (20, [0, 2, 3]), (40, [1, 2, 3])):
        drawn = rng.integers(-1, 2, (20, len(players))).astype(float)
        pairs.add(np.array(players), drawn)
        seen[start : start + 20, players] = drawn
    inside, outside = np.array([3, 0]), np.array([1, 2])
    found = pairs.log_wealth(inside, outside)
    lowest = pairs.lowest(inside, outside, 0.05)
    for row, i in enumerate(inside):
        for column, j in enumerate(outside):
            difference = seen[:, i] - seen[:, j]
            difference = difference[~np.isnan(difference)]
            y = (difference + epsilon) / spread
            wealth = np.mean([np.prod(1 + b * y) for b in LAMBDAS])
            assert found[row, column] == pytest.approx(np.log(wealth))
            count = len(difference)
            variance = ((difference**2).sum() + spread**2) / count - difference.mean() ** 2
            expected = difference.mean() - 1.6448536 * np.sqrt(variance / count)
            assert lowest[row, column] == pytest.approx(expected)


def test_a_true_hypothesis_is_rejected_as_rarely_as_the_bound_says():
    """The difference is exactly the tolerance; tests look at it after each of 400 samples."""
    rng = np.random.default_rng(1)
    repeats, failure, epsilon = 4000, 0.1, 0.25
    # Differences of −1, 0 and 1 with a mean of −ε.
    difference = rng.choice([-1.0, 0, 1], (repeats, 400), p=[0.45, 0.35, 0.2])
    y = (difference + epsilon) / 2
    log_wealth = np.log((1 + LAMBDAS[:, None, None] * y).cumprod(axis=2).mean(axis=0))
    rejected = (log_wealth >= -np.log(failure)).any(axis=1).mean()
    assert 0 < rejected <= failure


def test_a_search_goes_on_where_it_ended():
    table = (tables(8, 40, seed=3) > 0.3).astype(float)
    asked = []

    def values(instances, coalitions):
        asked.append(len(instances))
        return looked_up(table, instances, coalitions)

    settings = {"k": 3, "epsilon": 0.03, "delta": 0.1, "seed": 5}
    whole = compared(values, 8, 40, **settings)
    assert sum(asked) == whole.evaluations
    part = compared(values, 8, 40, **settings, most=4000)
    assert not part.decided
    at, kept = part.evaluations, part.values.copy()
    asked.clear()
    again = compared(values, 8, 40, **settings, before=part)
    assert sum(asked) == whole.evaluations - at
    np.testing.assert_array_equal(again.players, whole.players)
    np.testing.assert_array_equal(again.values, whole.values)
    assert again.trace == whole.trace
    np.testing.assert_array_equal(part.values, kept)
    assert part.evaluations == at
    # A decided search evaluates nothing more.
    asked.clear()
    assert compared(values, 8, 40, **settings, before=again).evaluations == whole.evaluations
    assert not asked
    assert (whole.standard_errors > 0).all()
    for changed in ({"epsilon": 0.02}, {"spread": 1.0}):
        with pytest.raises(InputError, match="start without before"):
            compared(values, 8, 40, **{**settings, **changed}, before=part)
    with pytest.raises(InputError, match="start without before"):
        compared(values, 9, 40, **settings, before=part)


def test_rounds_are_added_until_errors_are_as_small_as_asked():
    table, weights = tables(6, 30, seed=2), np.full(30, 1 / 30)
    steps = []

    def estimate(rounds):
        return from_walks(*walked(table, rounds, 0), weights)

    found, rounds, met = until(estimate, 0.01, advance=lambda *step: steps.append(step))
    assert met
    assert found.standard_errors.max() <= 0.01
    assert [step[0] for step in steps] == sorted({step[0] for step in steps})
    assert steps[-1] == (rounds, pytest.approx(found.standard_errors.max()))
    assert all(error > 0.01 for _, error in steps[:-1])
    assert np.abs(found.values - exact(table, weights)).max() <= 5 * 0.01
    _, rounds, met = until(estimate, 1e-9, most=5)
    assert (rounds, met) == (5, False)
    for tolerance, first in ((0.0, 2), (-1.0, 2), (float("nan"), 2), (0.1, 1)):
        with pytest.raises(InputError, match="the tolerance must be above 0"):
            until(estimate, tolerance, first=first)
