from fractions import Fraction
from itertools import combinations, product
from math import comb, factorial, lcm

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.core.errors import InputError
from pipeline.shapley import coalitions, shapley_values
from pipeline.shapley.estimate import child
from pipeline.shapley.games import table_game
from pipeline.studies.baselines import effective
from pipeline.studies.baselines.effective import draw_by_size, effective_shapley, ratios
from pipeline.studies.baselines.surrogate import SurrogateNetwork
from pipeline.studies.baselines.theorems import (
    connection,
    printed_count,
    proportional_probability,
    simulated_frequency,
)
from pipeline.studies.baselines.utilities import UTILITIES

ALL = 10**6  # so many per size that every coalition is drawn


@st.composite
def tables(draw, most=5, values=(0, 1, 2, 4)):
    """Small whole numbers, so that many marginal contributions are zero and many are equal."""
    n = draw(st.integers(1, most))
    return draw(hnp.arrays(np.float64, 2**n, elements=st.sampled_from(values)))


def brute_force(table):
    n = len(table).bit_length() - 1
    return oracle.shapley_values(lambda players: table[oracle.mask_of(players)], n)


def additive(worths, empty=0.0):
    masks = np.arange(2 ** len(worths), dtype=np.uint64)
    return coalitions.to_bool(masks, len(worths)) @ np.array(worths, float) + empty


def pools_by_loops(table, drawn):
    """For each player: {S: marginal contribution} over the coalitions drawn for it."""
    n = len(table).bit_length() - 1
    return [
        {int(s) & ~(1 << i): table[int(s) | 1 << i] - table[int(s) & ~(1 << i)] for s in drawn}
        for i in range(n)
    ]


def cells_by_loops(pool, n, tolerance):
    """{(j, k): coalitions}, j the distinct marginal contributions."""
    cells = {}
    for s, gained in pool.items():
        if abs(gained) > tolerance:
            cells.setdefault((gained, s.bit_count()), []).append(s)
    return cells


def wanted_by_loops(cells, pool, n, counts):
    """Eq. 5 before normalization, in whole numbers of 1/n!, and by the argument before it."""
    result = {}
    for (j, k), members in cells.items():
        factor = Fraction(factorial(k) * factorial(n - k - 1), factorial(n))
        if counts == "printed":
            result[j, k] = factor * sum(len(m) for (j2, _), m in cells.items() if j2 == j)
        else:
            drawn_at_size = sum(s.bit_count() == k for s in pool)
            result[j, k] = factor * len(members) * Fraction(comb(n - 1, k), drawn_at_size)
    return result


# Draws


@pytest.mark.parametrize("max_listed", [0, 5, 1 << 18])
@pytest.mark.parametrize(("n", "per_size"), [(1, 1), (1, 3), (5, 1), (6, 4), (6, 100)])
def test_draws_are_distinct_and_as_many_of_each_size(monkeypatch, n, per_size, max_listed):
    monkeypatch.setattr(effective, "MAX_LISTED", max_listed)
    masks = draw_by_size(n, per_size, np.random.default_rng(0))
    assert len(np.unique(masks)) == len(masks)
    assert masks.max() < 2**n
    counts = np.bincount(np.bitwise_count(masks), minlength=n + 1)
    assert counts.tolist() == [min(per_size, comb(n, k)) for k in range(n + 1)]


def test_many_players_can_be_drawn_from():
    masks = draw_by_size(64, 3, np.random.default_rng(0))
    counts = np.bincount(np.bitwise_count(masks), minlength=65)
    assert counts.tolist() == [1, *[3] * 63, 1]


# Effective Shapley values, compared with the definition by loops


@given(
    tables(),
    st.integers(1, 6),
    st.integers(1, 40),
    st.sampled_from([0, 0.5]),
    st.sampled_from(["weighted", "printed"]),
    st.integers(0, 9),
)
@settings(max_examples=80, deadline=None)
def test_agrees_with_loops_over_the_same_draws(table, per_size, n_kept, tolerance, counts, seed):
    n = len(table).bit_length() - 1
    result = effective_shapley(
        table_game(table),
        per_size=per_size,
        n_kept=n_kept,
        tolerance=tolerance,
        counts=counts,
        seed=seed,
    )
    drawn = draw_by_size(n, per_size, child(seed, 0))
    for i, pool in enumerate(pools_by_loops(table, drawn)):
        sample = result.samples[i]
        cells = cells_by_loops(pool, n, tolerance)
        sizes = {s.bit_count() for s in pool}
        by_size = {k: [g for s, g in pool.items() if s.bit_count() == k] for k in sizes}
        share = np.mean([np.mean([g != 0 for g in gains]) for gains in by_size.values()])
        assert result.shares[i] == pytest.approx(share)
        unsampled = np.mean([np.mean(gains) for gains in by_size.values()])
        assert result.unsampled[i] == pytest.approx(unsampled)
        if not cells:
            assert len(sample.coalitions) == result.values[i] == result.averages[i] == 0
            continue
        distinct = sorted({j for j, _ in cells})
        assert sample.classes.tolist() == distinct
        wanted = wanted_by_loops(cells, pool, n, counts)
        kept = list(zip(sample.coalitions.tolist(), sample.marginals.tolist(), strict=True))
        assert len(kept) == sample.counts.sum() == n_kept
        for c, j in enumerate(distinct):
            for k in range(n):
                members = cells.get((j, k), [])
                assert sample.available[c, k] == len(members)
                exactly = n_kept * wanted.get((j, k), 0) / sum(wanted.values())
                assert abs(sample.counts[c, k] - exactly) < 1
                times = [kept.count((s, j)) for s in members]
                assert sum(times) == sample.counts[c, k]
                assert not times or max(times) - min(times) <= 1
        mean = np.mean([gained for _, gained in kept])
        assert result.averages[i] == pytest.approx(mean)
        assert result.values[i] == pytest.approx(share * mean)


@given(tables(most=4))
@settings(max_examples=40, deadline=None)
def test_exact_once_all_are_drawn_and_the_counts_are_whole(table):
    """Counts are whole if T is a multiple of the orders in which the player is effective."""
    n = len(table).bit_length() - 1
    everything = np.arange(2**n)
    pools = pools_by_loops(table, everything)
    n_orders = [
        sum(factorial(s.bit_count()) * factorial(n - s.bit_count() - 1) for s in pool if pool[s])
        for pool in pools
    ]
    n_kept = lcm(*[max(1, count) for count in n_orders])
    result = effective_shapley(table_game(table), per_size=ALL, n_kept=n_kept)
    expected = brute_force(table)
    np.testing.assert_allclose(result.values, expected, atol=1e-9)
    np.testing.assert_allclose(result.ratios, ratios(expected), atol=1e-9)
    np.testing.assert_allclose(result.shares, np.array(n_orders) / factorial(n), atol=1e-12)
    assert result.evaluations == 2**n


@given(hnp.arrays(np.float64, 2**5, elements=st.floats(-3, 3, width=32)))
@settings(max_examples=30, deadline=None)
def test_the_unsampled_values_are_exact_once_all_are_drawn(table):
    result = effective_shapley(table_game(table), per_size=ALL, n_kept=3, tolerance=0)
    np.testing.assert_allclose(result.unsampled, brute_force(table), atol=1e-9)


@pytest.mark.parametrize("name", ["synergies_12", "rules_12"])
@pytest.mark.parametrize("n_kept", [100, 10_000])
def test_once_all_are_drawn_the_error_is_the_rounding_of_counts(name, n_kept):
    table = UTILITIES[name](np.arange(2**12, dtype=np.uint64))
    result = effective_shapley(UTILITIES[name], per_size=ALL, n_kept=n_kept)
    expected = shapley_values(table)[:, 0]
    for i, sample in enumerate(result.samples):
        # Each count is off by less than one coalition.
        in_use = (sample.available > 0).sum(axis=1)
        bound = result.shares[i] * (in_use * np.abs(sample.classes)).sum() / n_kept
        assert abs(result.values[i] - expected[i]) <= bound + 1e-9
    np.testing.assert_allclose(result.unsampled, expected, atol=1e-9)


def test_classes_by_interval_only_add_what_the_draws_do():
    table = np.random.default_rng(2).normal(size=2**6)
    expected = brute_force(table)
    result = effective_shapley(table_game(table), per_size=ALL, n_kept=20_000, bins=4)
    # Each coalition's count is off by at most two: its cell's rounding, and its turn.
    largest = max(abs(g) for pool in pools_by_loops(table, np.arange(2**6)) for g in pool.values())
    np.testing.assert_allclose(result.values, expected, atol=2 * 32 * largest / 20_000)
    for i, sample in enumerate(result.samples):
        pool = pools_by_loops(table, np.arange(2**6))[i]
        edges = np.linspace(min(pool.values()), max(pool.values()), 5)
        held, _ = np.histogram(list(pool.values()), edges)
        assert sample.available.sum(axis=1).tolist() == held[held > 0].tolist()


def test_unsampled_values_are_unbiased():
    """With 3 of each size, each of 4 players always gets a coalition of every size."""
    table = np.random.default_rng(1).normal(size=2**4)
    estimates = np.array(
        [
            effective_shapley(table_game(table), per_size=3, n_kept=1, seed=seed).unsampled
            for seed in range(500)
        ]
    )
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert (error > 0).all()
    assert (np.abs(estimates.mean(axis=0) - brute_force(table)) < 4.5 * error).all()


def is_served_at_every_size(drawn, n):
    sizes = np.bitwise_count(drawn[:, None] & ~(np.uint64(1) << np.arange(n, dtype=np.uint64)))
    return all(len(np.unique(of_player)) == n for of_player in sizes.T)


def test_the_estimates_are_unbiased_where_every_size_is_drawn_for_every_player():
    utility, seeds = UTILITIES["rules_12"], range(600)
    game = table_game(utility(np.arange(2**12, dtype=np.uint64))[:, 0])
    for seed in seeds:
        assert is_served_at_every_size(draw_by_size(12, 16, child(seed, 0)), 12)
    found = [effective_shapley(game, per_size=16, n_kept=100, seed=seed) for seed in seeds]
    expected = shapley_values(game(np.arange(2**12, dtype=np.uint64)))[:, 0]
    for estimates in (np.array([e.values for e in found]), np.array([e.unsampled for e in found])):
        error = estimates.std(axis=0, ddof=1) / np.sqrt(len(seeds))
        assert (error[:-1] > 0).all()
        assert (np.abs(estimates.mean(axis=0) - expected)[:-1] < 4 * error[:-1]).all()
        # This would detect a bias of 3 %, that of one coalition of each size.
        assert error.sum() < 0.005 * np.abs(expected).sum()
        assert (estimates[:, -1] == 0).all()


def test_a_size_without_a_draw_is_taken_for_the_mean_of_the_others():
    """With one coalition of each size, estimates are biased if gains grow with the size."""
    drawn = [draw_by_size(12, 1, child(seed, 0)) for seed in range(100)]
    assert not any(is_served_at_every_size(each, 12) for each in drawn)
    squares = np.bitwise_count(np.arange(2**12)).astype(float) ** 2
    gains = 2 * np.arange(12) + 1
    result = effective_shapley(table_game(squares), per_size=1, n_kept=1, seed=0)
    for player in range(12):
        sizes = np.bitwise_count(drawn[0] & ~np.uint64(1 << player))
        assert result.unsampled[player] == pytest.approx(gains[np.unique(sizes)].mean())


@pytest.mark.parametrize("bins", [None, 3])
def test_rounding_favours_no_cell(bins):
    """If there are many more cells than coalitions kept, each is kept as often as it should be."""
    table = np.random.default_rng(3).normal(size=2**5)
    estimates = np.array(
        [
            effective_shapley(table_game(table), per_size=ALL, n_kept=3, bins=bins, seed=s).values
            for s in range(500)
        ]
    )
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert (error > 0).all()
    assert (np.abs(estimates.mean(axis=0) - brute_force(table)) < 4.5 * error).all()


# Eq. 5 to the letter


@pytest.mark.parametrize("counts", ["weighted", "printed"])
@pytest.mark.parametrize("per_size", [1, 2, ALL])
def test_additive_games_are_exact_from_any_draws(counts, per_size):
    worths = [3, -2, 0, 0.5, 3]
    game = table_game(additive(worths, empty=7.0))
    result = effective_shapley(game, per_size=per_size, n_kept=4, counts=counts)
    np.testing.assert_allclose(result.values, worths, atol=1e-12)
    np.testing.assert_allclose(result.ratios, np.array(worths) / 8.5, atol=1e-12)
    assert result.values[0] == result.values[4]
    assert len(result.samples[2].coalitions) == 0


@pytest.mark.parametrize("counts", ["weighted", "printed"])
def test_one_class_is_exact_by_its_share(counts):
    masks = np.arange(2**6)
    together = (masks & 0b111 == 0b111).astype(float)
    result = effective_shapley(table_game(together), per_size=ALL, n_kept=5, counts=counts)
    np.testing.assert_allclose(result.values, [1 / 3] * 3 + [0] * 3, atol=1e-12)
    # The average alone ignores how seldom a player is effective.
    np.testing.assert_array_equal(result.averages, [1, 1, 1, 0, 0, 0])


@pytest.mark.parametrize("counts", ["weighted", "printed"])
def test_classes_of_one_size_each_are_exact(counts):
    n = 4
    squares = np.bitwise_count(np.arange(2**n)).astype(float) ** 2
    result = effective_shapley(table_game(squares), per_size=ALL, n_kept=n, counts=counts)
    np.testing.assert_allclose(result.values, n, atol=1e-12)
    assert all(s.counts.tolist() == np.eye(n).tolist() for s in result.samples)


def test_printed_counts_fail_where_a_class_has_several_sizes():
    masks = np.arange(2**5)
    values = additive([1, 1, 1, 1, 1]) + 4.0 * (masks & 0b11 == 0b11)
    expected = brute_force(values)
    kept = {"per_size": ALL, "n_kept": 100_000}
    weighted = effective_shapley(table_game(values), **kept).values
    printed = effective_shapley(table_game(values), **kept, counts="printed").values
    np.testing.assert_allclose(weighted, expected, atol=1e-3)
    # Player 0 gains 1 without player 1 (8 coalitions of 0 to 3 others) and 5 with it (1 to 4).
    factors = np.array([Fraction(factorial(k) * factorial(4 - k), 120) for k in range(5)])
    low, high = 8 * factors[:4].sum(), 8 * factors[1:].sum()
    np.testing.assert_allclose(printed[0], float((low + 5 * high) / (low + high)), atol=1e-3)
    # Here the classes mirror each other, so errors cancel; with three players they do not.
    np.testing.assert_allclose(printed, expected, atol=1e-3)
    values = additive([1, 1, 1, 1, 1]) + 4.0 * (masks & 0b111 == 0b111)
    printed = effective_shapley(table_game(values), **kept, counts="printed").values
    low, high = 12 * factors[:4].sum(), 4 * factors[2:].sum()
    assert printed[0] == pytest.approx(float((low + 5 * high) / (low + high)), abs=1e-3)
    assert abs(printed[0] - brute_force(values)[0]) > 0.3


# Edges


def test_one_player():
    result = effective_shapley(table_game(np.array([1.0, 3.5])), per_size=1, n_kept=3)
    assert result.values.tolist() == [2.5] and result.ratios.tolist() == [1]
    assert result.samples[0].coalitions.tolist() == [0, 0, 0]
    assert result.evaluations == 2


@pytest.mark.parametrize("tolerance", [0, 5.0])
def test_no_effective_coalition(tolerance):
    table = np.zeros(2**4) if tolerance == 0 else np.random.default_rng(0).random(2**4)
    for allotment in ("equal", "proportional"):
        result = effective_shapley(
            table_game(table), per_size=3, n_kept=4, tolerance=tolerance, allotment=allotment
        )
        for numbers in (result.values, result.shares, result.averages, result.ratios):
            assert numbers.tolist() == [0] * 4
        assert all(len(s.coalitions) == s.counts.sum() == 0 for s in result.samples)


def test_the_tolerance_is_the_largest_that_counts_as_zero():
    game = table_game(additive([1.0, 0.25, 0.5]))
    for tolerance, shares in [(0.25, [1, 0, 1]), (0.2, [1, 1, 1]), (0.5, [1, 0, 0])]:
        result = effective_shapley(game, per_size=2, n_kept=2, tolerance=tolerance)
        np.testing.assert_allclose(result.shares, shares)


def test_null_and_symmetric_players():
    for name in ("synergies_12", "rules_12"):
        result = effective_shapley(UTILITIES[name], per_size=6, n_kept=50)
        assert result.values[-1] == result.shares[-1] == len(result.samples[-1].coalitions) == 0
        result = effective_shapley(UTILITIES[name], per_size=ALL, n_kept=50)
        assert result.shares[2] == pytest.approx(result.shares[3], abs=1e-12)
        assert result.values[2] == pytest.approx(result.values[3], abs=1e-12)


def test_proportional_allotment_keeps_by_share():
    equal = effective_shapley(UTILITIES["rules_12"], per_size=20, n_kept=200)
    result = effective_shapley(
        UTILITIES["rules_12"], per_size=20, n_kept=200, allotment="proportional"
    )
    np.testing.assert_array_equal(result.shares, equal.shares)
    kept = [len(s.coalitions) for s in result.samples]
    assert kept == [max(1, round(200 * x / equal.shares.max())) for x in equal.shares[:-1]] + [0]
    assert [len(s.coalitions) for s in equal.samples] == [200] * 11 + [0]


def test_repeatable_by_seed():
    results = [
        effective_shapley(UTILITIES["rules_12"], per_size=5, n_kept=20, seed=seed)
        for seed in (4, 4, 5)
    ]
    for first, again in zip(results[0].samples, results[1].samples, strict=True):
        np.testing.assert_array_equal(first.coalitions, again.coalitions)
    np.testing.assert_array_equal(results[0].values, results[1].values)
    assert not np.array_equal(results[0].values, results[2].values)


def test_evaluations_are_distinct_coalitions():
    asked = []
    table = np.random.default_rng(0).normal(size=(2**6, 3))

    class Recorded:
        n_players, outputs = 6, ("a", "b", "c")

        def __call__(self, masks):
            asked.extend(masks.tolist())
            return table[masks.astype(int)]

    told = []
    result = effective_shapley(Recorded(), per_size=2, n_kept=9, output=1, advance=told.append)
    assert len(asked) == len(set(asked)) == result.evaluations == sum(told)
    alone = effective_shapley(table_game(table[:, 1]), per_size=2, n_kept=9)
    np.testing.assert_array_equal(result.values, alone.values)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"per_size": 0}, "per_size 0"),
        ({"n_kept": 0}, "n_kept 0"),
        ({"bins": 0}, "bins 0"),
        ({"tolerance": -1.0}, "tolerance -1"),
        ({"tolerance": float("nan")}, "tolerance nan"),
        ({"counts": "exact"}, "must be weighted or printed"),
        ({"allotment": "fair"}, "must be equal or proportional"),
        ({"output": 1}, "output 1"),
    ],
)
def test_unusable_arguments_are_refused(changed, message):
    game = table_game(np.arange(8.0))
    with pytest.raises(InputError, match=message):
        effective_shapley(game, **{"per_size": 2, "n_kept": 2, **changed})


def test_ratios_are_parts_of_the_absolute_sum():
    assert ratios(np.array([[3, -1], [0, 0]])).tolist() == [[0.75, -0.25], [0, 0]]
    assert ratios(np.array([[3], [-1]]), axis=0).tolist() == [[0.75], [-0.25]]


# Theorem 2


def by_enumeration(e, n, b, most=None):
    """The number of combinations of draws that are in proportion, and of all."""
    numbers = [
        [sum(s < e_j for s in draw) for draw in combinations(range(n_j), b_j)]
        for e_j, n_j, b_j in zip(e, n, b, strict=True)
    ]
    correct = total = 0
    for a in product(*numbers):
        total += 1
        positive = [a_j for a_j, e_j in zip(a, e, strict=True) if e_j]
        in_proportion = all(
            a[i] * e[j] == a[j] * e[i] for i in range(len(e)) for j in range(len(e))
        )
        limit = max(positive) if most is None else most
        correct += in_proportion and 1 <= min(positive) <= limit
    return correct, total


CASES = [
    ([2, 4], [6, 6], [3, 3], None),
    ([2, 4], [6, 6], [6, 6], None),
    ([4, 4], [6, 5], [3, 4], None),
    ([4, 4], [7, 7], [4, 4], 2),
    ([4, 4], [7, 7], [4, 4], None),
    ([2, 2, 4], [5, 4, 5], [2, 2, 3], None),
    ([3, 0], [5, 5], [2, 2], None),
    ([3, 5], [6, 6], [2, 2], None),
    ([3], [5], [2], None),
    ([1], [1], [1], None),
    ([1, 1], [4, 4], [0, 2], None),
]


@pytest.mark.parametrize(("e", "n", "b", "most"), CASES)
def test_the_probability_is_that_of_all_draws(e, n, b, most):
    correct, total = by_enumeration(e, n, b, most)
    assert printed_count(e, n, b, most=most) == correct
    expected = pytest.approx(correct / total, abs=1e-12)
    assert proportional_probability(e, n, b, most=most) == expected
    repeats = 20_000
    found = simulated_frequency(e, n, b, repeats=repeats, most=most, seed=1)
    spread = np.sqrt(correct / total * (1 - correct / total) / repeats)
    assert abs(found.frequency - correct / total) <= 4.5 * spread


def test_the_printed_number_is_no_probability():
    assert printed_count([4, 4], [6, 5], [3, 4]) > 1
    assert 0 < proportional_probability([4, 4], [6, 5], [3, 4]) < 1


def test_large_populations():
    e, n, b = [2**17, 2**18], [2**19, 2**19], [64, 64]
    probability = proportional_probability(e, n, b)
    found = simulated_frequency(e, n, b, repeats=200_000)
    assert probability == pytest.approx(found.frequency, abs=5 * found.standard_error)
    assert probability > 0.01


@pytest.mark.parametrize(
    ("e", "n", "b", "most", "message"),
    [
        ([1, 2], [3], [1, 1], None, "of 2, 1 and 2 players"),
        ([], [], [], None, "of 0, 0 and 0 players"),
        ([4], [3], [1], None, "4 effective"),
        ([1], [3], [4], None, "4 drawn"),
        ([-1], [3], [1], None, "-1 effective"),
        ([0, 0], [3, 3], [1, 1], None, "no ratios"),
        ([1], [3], [1], 0, "most 0"),
    ],
)
def test_impossible_draws_are_refused(e, n, b, most, message):
    for refused in (printed_count, proportional_probability):
        with pytest.raises(InputError, match=message):
            refused(e, n, b, most=most)
    with pytest.raises(InputError, match=message):
        simulated_frequency(e, n, b, most=most, repeats=5)


# Theorem 3


class Polynomial(torch.nn.Module):
    """x0³ x1 + 2 x0 x2; the second output is 5 x1."""

    def forward(self, x):
        first = x[:, 0] ** 3 * x[:, 1] + 2 * x[:, 0] * x[:, 2]
        return torch.stack([first, 5 * x[:, 1]], dim=1)


def all_members(n):
    masks = np.arange(2**n, dtype=np.uint64)
    return torch.from_numpy(coalitions.to_bool(masks, n)).double()


def test_no_linear_connection_is_needed():
    found = connection(Polynomial(), all_members(3), 0, steps=4)
    np.testing.assert_allclose(found.marginals, [0, 0, 1, 1, 2, 2, 3, 3], atol=1e-12)
    np.testing.assert_allclose(found.differences, 0, atol=1e-12)
    assert (found.gradient_spread[[2, 3, 6, 7]] > 2).all()
    np.testing.assert_allclose(found.gradient_spread[[0, 1, 4, 5]], 0, atol=1e-12)
    # In the direction of players 1 and 2, and of output 1, the function is linear.
    linear = connection(Polynomial(), all_members(3), 1, output=1, steps=1)
    np.testing.assert_allclose(linear.integrated, 5, atol=1e-12)
    assert (linear.gradient_spread == 0).all()


def test_the_difference_is_the_quadrature():
    """One point in the middle gives 3 (1/2)² in place of 1."""
    found = connection(Polynomial(), all_members(3), 0, steps=1)
    np.testing.assert_allclose(found.differences[[2, 6]], -0.25, atol=1e-12)


def test_agrees_with_a_fine_sum_of_single_gradients():
    torch.manual_seed(0)
    network = SurrogateNetwork(4, 16).double()
    found = connection(network, all_members(4), 2)
    for row, members in enumerate(all_members(4)):
        total = 0.0
        for step in range(200):
            x = members.clone()
            x[2] = (step + 0.5) / 200
            x.requires_grad_()
            network(x[None])[0, 0].backward()
            total += float(x.grad[2]) / 200
        assert found.integrated[row] == pytest.approx(total, abs=1e-5)
        ends = members.repeat(2, 1)
        ends[:, 2] = torch.tensor([0.0, 1.0])
        low, high = network(ends)[:, 0].tolist()
        assert found.marginals[row] == pytest.approx(high - low, abs=1e-12)
    assert found.gradient_spread.max() > 1e-3
    np.testing.assert_allclose(found.differences, 0, atol=1e-9)
    assert network.body[0].weight.grad is not None  # only the loop above sets it
    in_parts = connection(network, all_members(4), 2, rows_at_once=40)
    np.testing.assert_allclose(in_parts.integrated, found.integrated, atol=1e-14)


def test_unusable_paths_are_refused():
    members = all_members(3)
    for arguments, message in [
        ((members[0], 0), "shape"),
        ((members.long(), 0), "int64"),
        ((members, 3), "player 3"),
    ]:
        with pytest.raises(InputError, match=message):
            connection(Polynomial(), *arguments)
    with pytest.raises(InputError, match="steps 0"):
        connection(Polynomial(), members, 0, steps=0)
