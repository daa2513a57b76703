from dataclasses import replace
from itertools import islice, permutations

import numpy as np
import oracle
import pytest
from scipy.stats import t as student

from pipeline.core.errors import InputError
from pipeline.shapley import coalitions
from pipeline.shapley import estimate as shared
from pipeline.shapley.adjusted import Fitted, _cross_fitted, fit_linear, regression_adjusted
from pipeline.shapley.draws import draw, pairs_for, population
from pipeline.shapley.games import counted, keys_of, masks_of, table_game
from pipeline.shapley.methods import METHODS
from pipeline.shapley.msr import means_of_strata
from pipeline.shapley.pairs import Pairs
from pipeline.shapley.permutation import permutation_values
from pipeline.shapley.regression import regress, regression_values
from pipeline.shapley.stratified import _places, stratified_values

ALL = sorted(METHODS)
UNBIASED = [name for name in ALL if METHODS[name].unbiased]


def smallest(name, n):
    return METHODS[name].smallest(n)


def by_all_orders(table, n):
    """The definition by orders: a player's mean contribution to those before it, over all n!."""
    total = np.zeros((n, table.shape[1]))
    orders = list(permutations(range(n)))
    for order in orders:
        before = 0
        for player in order:
            total[player] += table[before | 1 << player] - table[before]
            before |= 1 << player
    return total / len(orders)


def random_table(n, outputs=2, seed=0):
    return np.random.default_rng(seed).normal(size=(2**n, outputs))


def smooth_table(n, outputs=2, seed=0):
    """A saturating function of sums over players, which is only partly additive."""
    rng = np.random.default_rng(seed)
    present = coalitions.to_bool(np.arange(2**n, dtype=np.uint32), n)
    return np.tanh(present @ rng.normal(size=(n, outputs)) + rng.normal(size=outputs))


def additive_table(n, worth):
    present = coalitions.to_bool(np.arange(2**n, dtype=np.uint32), n)
    return present @ worth + 0.5


class Recorded:
    """A game of any number of players that records the requested coalitions."""

    def __init__(self, n_players, outputs=1, table=None):
        self.n_players = n_players
        self.outputs = tuple(f"output {i}" for i in range(outputs))
        self.asked = []
        self.table = table
        self.worth = np.random.default_rng(5).normal(size=(n_players, outputs))

    def __call__(self, masks):
        rows = masks.tolist()
        self.asked += [tuple(row) if isinstance(row, list) else row for row in rows]
        if self.table is not None:
            return self.table[masks.astype(int)]
        if self.n_players <= 64:
            present = np.array([[row >> i & 1 for i in range(self.n_players)] for row in rows])
        else:
            present = np.unpackbits(masks, axis=1, bitorder="little")[:, : self.n_players]
        return np.tanh(present @ self.worth / np.sqrt(self.n_players))


def all_pairs(table, n, seed=0):
    membership, sizes = map(np.concatenate, zip(*draw(n, seed), strict=True))
    masks = masks_of(membership).astype(int)
    rest = 2**n - 1 - masks
    return Pairs(membership, sizes, table[masks], table[rest], table[0], table[-1])


# Games


@pytest.mark.parametrize("n", [1, 7, 8, 9, 63, 64])
def test_masks_are_those_of_the_project(n):
    membership = np.random.default_rng(n).random((20, n)) < 0.5
    np.testing.assert_array_equal(masks_of(membership), coalitions.from_bool(membership))
    assert masks_of(membership).dtype == np.uint64


def test_masks_past_64_players_are_packed_bits():
    membership = np.random.default_rng(0).random((20, 71)) < 0.5
    masks = masks_of(membership)
    assert masks.shape == (20, 9)
    for row, mask in zip(membership, masks, strict=True):
        assert [bool(mask[i // 8] >> i % 8 & 1) for i in range(71)] == row.tolist()
    ends = np.zeros((3, 71), dtype=bool)
    ends[1, 0] = ends[2, 70] = True
    assert len(np.unique(keys_of(masks_of(ends)))) == 3


def test_a_table_is_played_as_a_game():
    game = table_game(np.arange(16.0).reshape(8, 2), ["a", "b"])
    assert (game.n_players, game.outputs) == (3, ("a", "b"))
    np.testing.assert_array_equal(game(np.array([5, 0], dtype=np.uint64)), [[10, 11], [0, 1]])
    assert table_game(np.arange(4.0)).outputs == ("0",)
    for bad in (np.zeros((6, 2)), np.zeros((1, 2)), np.zeros((2, 2, 2))):
        with pytest.raises(InputError, match="complete one"):
            table_game(bad)
    with pytest.raises(InputError, match="1 names for a table of 2"):
        table_game(np.zeros((4, 2)), ["a"])


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_a_coalition_is_asked_for_once(monkeypatch, at_once):
    monkeypatch.setattr("pipeline.shapley.games.AT_ONCE", at_once)
    table = random_table(6)
    game = Recorded(6, 2, table)
    told = []
    wrapped = counted(game, told.append)
    rng = np.random.default_rng(0)
    for _ in range(8):
        masks = rng.integers(0, 64, size=15).astype(np.uint64)
        np.testing.assert_array_equal(wrapped(masks), table[masks.astype(int)])
    assert len(game.asked) == len(set(game.asked)) == wrapped.evaluations == sum(told)
    assert max(told) <= at_once


def test_costs_are_the_coalitions_that_groups_add():
    wrapped = counted(table_game(random_table(4)))
    wrapped(np.array([1, 2], dtype=np.uint64))
    groups = np.array([[1, 3, 3], [3, 2, 5], [5, 5, 1], [6, 7, 8]], dtype=np.uint64)
    np.testing.assert_array_equal(wrapped.costs(groups.ravel(), 4), [1, 1, 0, 3])
    assert wrapped.evaluations == 2


def test_unusable_values_of_a_game_are_refused():
    table = random_table(3)
    table[5, 1] = np.nan
    with pytest.raises(InputError, match="0x5 for output '1' is nan"):
        counted(table_game(table))(np.arange(8, dtype=np.uint64))
    for name in ALL:
        table[5, 1] = -np.inf
        with pytest.raises(InputError, match="inf"):
            METHODS[name].estimate(table_game(table), budget=8)
    wrong = replace(table_game(random_table(3)), outputs=("one",))
    with pytest.raises(InputError, match=r"shape \(8, 2\) .* \(8, 1\) is needed"):
        counted(wrong)(np.arange(8, dtype=np.uint64))


# All methods


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_budget_for_all_coalitions_gives_the_exact_values(name, n):
    table = random_table(n)
    expected = by_all_orders(table, n)
    v = {mask: table[mask] for mask in range(2**n)}
    defined = oracle.shapley_values(lambda players: v[oracle.mask_of(players)], n)
    np.testing.assert_allclose(expected, defined, atol=1e-12)
    for limits in ({"budget": 2**n}, {"budget": 10**6}, {"tolerance": 1e-12}):
        result = METHODS[name].estimate(table_game(table), **limits)
        np.testing.assert_allclose(result.values, expected, atol=1e-12)
        np.testing.assert_allclose(result.standard_errors, 0, atol=1e-12)
        assert result.evaluations == 2**n
        assert result.converged is (True if "tolerance" in limits else None)


@pytest.mark.parametrize("name", UNBIASED)
@pytest.mark.parametrize(("n", "extra"), [(5, 0), (5, 7), (6, 0), (6, 9)])
def test_unbiased(name, n, extra):
    table = random_table(n, seed=n)
    game, budget = table_game(table), smallest(name, n) + extra
    results = [METHODS[name].estimate(game, budget=budget, seed=seed) for seed in range(400)]
    assert all(result.unbiased for result in results)
    values = np.array([result.values for result in results])
    errors = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert errors.min() > 1e-3  # the estimates do vary
    assert np.abs((values.mean(axis=0) - by_all_orders(table, n)) / errors).max() < 5


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("n", "budget"), [(7, 100), (9, 250)])
def test_standard_errors_are_those_observed(name, n, budget):
    game = table_game(smooth_table(n))
    repeats = 30 if name == "kernel" else 150
    results = [METHODS[name].estimate(game, budget=budget, seed=seed) for seed in range(repeats)]
    observed = np.std([result.values for result in results], axis=0, ddof=1)
    reported = np.sqrt(np.mean([result.standard_errors**2 for result in results], axis=0))
    assert reported.min() > 1e-4
    ratio = reported / observed
    assert ratio.min() > 1 / 1.5
    # Folds leave out what matters to a process that has nearly all coalitions of a smooth game.
    assert ratio.max() < (3 if name == "kernel" else 1.5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [4, 5, 7])
def test_efficiency(name, n):
    table = random_table(n)
    for budget in (smallest(name, n), 2**n - 1):
        values = METHODS[name].estimate(table_game(table), budget=budget, seed=3).values
        np.testing.assert_allclose(values.sum(axis=0), table[-1] - table[0], atol=1e-9)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"msr"}))
@pytest.mark.parametrize("n", [5, 7, 8])
def test_additive_games_are_exact(name, n):
    worth = np.random.default_rng(n).normal(size=(n, 3))
    game = table_game(additive_table(n, worth))
    result = METHODS[name].estimate(game, budget=min(2**n - 1, n * (n + 3)), seed=1)
    np.testing.assert_allclose(result.values, worth, atol=1e-9)


def test_games_of_two_player_interactions_are_exact_by_antithetic_orders():
    n, rng = 6, np.random.default_rng(0)
    present = coalitions.to_bool(np.arange(2**n, dtype=np.uint32), n).astype(float)
    together = rng.normal(size=(n, n))
    table = np.einsum("ci,cj,ij->c", present, present, together)
    result = permutation_values(table_game(table), budget=2 * n)
    np.testing.assert_allclose(result.values, by_all_orders(table[:, None], n), atol=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [4, 5, 6])
def test_the_budget_is_kept_and_evaluations_are_counted(name, n):
    for budget in range(smallest(name, n), 2**n + 1):
        game = Recorded(n, 2, random_table(n))
        told = []
        result = METHODS[name].estimate(game, budget=budget, seed=budget, advance=told.append)
        assert len(game.asked) == len(set(game.asked)) == result.evaluations == sum(told)
        assert result.evaluations <= budget
        assert {0, 2**n - 1} <= set(game.asked)
        assert (result.method, result.converged) == (name, None)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [1, 2, 5, 6, 9])
def test_budgets_that_are_too_small_are_refused(name, n):
    game, least = table_game(random_table(n)), smallest(name, n)
    METHODS[name].estimate(game, budget=least)
    with pytest.raises(InputError, match=f"budget of {least - 1} .* {n} players at least {least} "):
        METHODS[name].estimate(game, budget=least - 1)


@pytest.mark.parametrize("name", ALL)
def test_a_limit_is_needed(name):
    game = table_game(random_table(3))
    with pytest.raises(InputError, match="neither a budget nor a tolerance"):
        METHODS[name].estimate(game)
    for tolerance in (0, -1, np.nan, np.inf):
        with pytest.raises(InputError, match="tolerance"):
            METHODS[name].estimate(game, tolerance=tolerance)


@pytest.mark.parametrize("name", ALL)
def test_a_seed_decides_the_result(name):
    game = table_game(random_table(7))

    def values(seed):
        return METHODS[name].estimate(game, budget=90, seed=seed).values

    sequence = np.random.SeedSequence(3)
    np.testing.assert_array_equal(values(3), values(3))
    np.testing.assert_array_equal(values(3), values(sequence))
    np.testing.assert_array_equal(values(3), values(sequence))
    assert sequence.n_children_spawned == 0
    assert not np.allclose(values(3), values(4))
    assert not np.allclose(values(3), values(sequence.spawn(1)[0]))


@pytest.mark.parametrize("name", ALL)
def test_a_small_budget_draws_the_first_of_a_larger_ones(name):
    def asked(budget):
        game = Recorded(10, 1)
        METHODS[name].estimate(game, budget=budget, seed=1)
        return set(game.asked)

    small, medium, large = asked(120), asked(300), asked(700)
    assert small < medium < large


@pytest.mark.parametrize("name", ALL)
def test_blocks_do_not_change_results(monkeypatch, name):
    game = table_game(random_table(8))
    expected = METHODS[name].estimate(game, budget=180, seed=1)
    monkeypatch.setattr("pipeline.shapley.games.AT_ONCE", 7)
    monkeypatch.setattr("pipeline.shapley.orders.BLOCK_BYTES", 2000)
    result = METHODS[name].estimate(game, budget=180, seed=1)
    np.testing.assert_allclose(result.values, expected.values, atol=1e-12)
    np.testing.assert_allclose(result.standard_errors, expected.standard_errors, atol=1e-12)
    assert (result.evaluations, result.samples) == (expected.evaluations, expected.samples)


@pytest.mark.parametrize("name", ALL)
def test_outputs_do_not_touch_each_other(name):
    table = random_table(7, outputs=3)
    together = METHODS[name].estimate(table_game(table), budget=100, seed=2)
    for output in range(3):
        alone = METHODS[name].estimate(table_game(table[:, output]), budget=100, seed=2)
        np.testing.assert_allclose(alone.values[:, 0], together.values[:, output], atol=1e-12)
        np.testing.assert_allclose(
            alone.standard_errors[:, 0], together.standard_errors[:, output], atol=1e-12
        )


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [30, 64, 70])
def test_many_players(name, n):
    game = Recorded(n, 2)
    result = METHODS[name].estimate(game, budget=2 * smallest(name, n), seed=1)
    assert len(game.asked) == len(set(game.asked)) == result.evaluations
    assert result.values.shape == result.standard_errors.shape == (n, 2)
    ends = game(masks_of(np.repeat([[False], [True]], n, axis=1)))
    np.testing.assert_allclose(result.values.sum(axis=0), ends[1] - ends[0], atol=1e-9)
    if name != "msr":
        # The game is almost additive, so values follow the players' own worths.
        assert np.corrcoef(result.values[:, 0], game.worth[:, 0])[0, 1] > 0.9


# The stopping rule


@pytest.mark.parametrize("name", sorted(set(ALL) - {"msr"}))
def test_sampling_stops_at_the_tolerance(name):
    n, tolerance = 12, 0.02
    table = smooth_table(n)
    exact = shared.shapley_values(table)
    spread = exact.max(axis=0) - exact.min(axis=0)
    hits = []
    for seed in range(10):
        result = METHODS[name].estimate(table_game(table), tolerance=tolerance, seed=seed)
        assert result.converged
        assert result.evaluations < 2**n
        assert shared.is_precise(result.values, result.standard_errors, tolerance)
        hits += list((np.abs(result.values - exact) <= 2 * tolerance * spread).ravel())
    # Within two of the largest allowed standard error: at least 95 % if all were that large.
    assert np.mean(hits) > 0.93


@pytest.mark.parametrize("name", ALL)
def test_the_budget_ends_sampling_before_the_tolerance_is_met(name):
    game = table_game(random_table(10))
    result = METHODS[name].estimate(game, budget=200, tolerance=1e-6, seed=1)
    assert result.converged is False
    assert result.evaluations <= 200
    alone = METHODS[name].estimate(game, budget=200, seed=1)
    np.testing.assert_array_equal(result.values, alone.values)


def test_estimates_are_precise_if_errors_are_small_beside_the_spread():
    values = np.array([[0.0, 3.0], [1.0, 3.0]])
    errors = np.array([[0.1, 0.5], [0.05, 0.5]])
    assert shared.is_precise(values, errors, 0.1)
    assert not shared.is_precise(values, errors, 0.09)
    assert not shared.is_precise(values, np.where(errors == 0.05, np.nan, errors), 0.1)
    wider = values + np.array([[0, 0], [0, 1]])
    assert not shared.is_precise(wider, errors, 0.1)
    assert shared.is_precise(np.array([[1.0], [1 + 1e-16]]), np.array([[1e-14], [0]]), 0.1)


def test_players_of_equal_value_do_not_delay_the_stopping_rule():
    game = table_game(additive_table(8, np.full((8, 1), 0.1)))
    for name in ("permutation", "stratified", "regression", "regression_adjusted"):
        result = METHODS[name].estimate(game, budget=250, tolerance=0.1)
        assert result.converged
        assert result.evaluations < 250


# Orders


def test_latin_squares_place_every_player_everywhere_once():
    draws = np.random.default_rng(0).random((50, 2, 6)).argsort(axis=2)
    places = _places(draws)
    for each in (places, places.transpose(0, 2, 1)):
        np.testing.assert_array_equal(
            np.sort(each, axis=2), np.broadcast_to(np.arange(6), each.shape)
        )


def test_standard_errors_need_two_replicates():
    game = table_game(random_table(6))
    for function, one, two in ((permutation_values, 12, 24), (stratified_values, 32, 63)):
        assert np.isnan(function(game, budget=one).standard_errors).all()
        assert np.isfinite(function(game, budget=two).standard_errors).all()


def test_moments_are_the_mean_and_its_error():
    replicates = 1e6 + np.random.default_rng(0).normal(size=(50, 3, 2))
    moments = shared.Moments()
    for start, stop in ((0, 1), (1, 1), (1, 30), (30, 50)):
        moments.add(replicates[start:stop])
    np.testing.assert_allclose(moments.mean, replicates.mean(axis=0), rtol=1e-14)
    expected = replicates.std(axis=0, ddof=1) / np.sqrt(50)
    np.testing.assert_allclose(moments.standard_errors(), expected, rtol=1e-8)


def test_degrees_of_freedom_are_known_only_for_enough_varied_replicates():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(40, 1, 1))
    seldom = np.zeros((40, 1, 1))
    seldom[:2] = 1
    both = np.concatenate([normal, seldom, np.ones_like(seldom)], axis=2)
    moments = shared.Moments()
    for start, stop in ((0, 7), (7, 8), (8, 40)):
        moments.add(both[start:stop])
        if stop == 7:
            assert np.isnan(moments.degrees_of_freedom()).all()
            # Equal replicates do not show that there is no spread, unless they are many.
            assert np.isnan(moments.standard_errors()).tolist() == [[False, False, True]]
    deviations = both - both.mean(axis=0)
    np.testing.assert_allclose(moments.cubes, (deviations**3).sum(axis=0), atol=1e-9)
    np.testing.assert_array_equal(moments.degrees_of_freedom(), [[39, np.nan, np.nan]])
    assert moments.standard_errors()[0, 2] == 0


def test_intervals_are_students():
    found = permutation_values(table_game(random_table(6)), budget=45, seed=3)
    low, high = found.interval(0.9)
    known = ~np.isnan(found.degrees_of_freedom)
    reach = student.ppf(0.95, found.degrees_of_freedom) * found.standard_errors
    np.testing.assert_allclose((high - low)[known], 2 * reach[known])
    with pytest.raises(InputError, match="level 95: it is a share"):
        found.interval(95)
    exact = permutation_values(table_game(random_table(4)), budget=16)
    assert np.isinf(exact.degrees_of_freedom).all()
    for end in exact.interval():
        np.testing.assert_array_equal(end, exact.values)


# Pairs


@pytest.mark.parametrize("listed", [1 << 18, 0])
@pytest.mark.parametrize("n", [2, 3, 4, 7, 8])
def test_pairs_are_drawn_in_turn_and_all_of_them_once(monkeypatch, n, listed):
    monkeypatch.setattr("pipeline.shapley.draws.MAX_LISTED", listed)
    membership, sizes = map(np.concatenate, zip(*draw(n, 1), strict=True))
    np.testing.assert_array_equal(membership.sum(axis=1), sizes)
    masks = masks_of(membership).astype(int)
    both = np.concatenate([masks, 2**n - 1 - masks])
    np.testing.assert_array_equal(np.sort(both), np.arange(1, 2**n - 1))
    for n_drawn in range(len(sizes)):
        counts = np.bincount(sizes[:n_drawn], minlength=n // 2 + 1)
        coalitions_of_size = [
            counts[k] * (2 if 2 * k == n else 1)
            for k in range(1, n // 2 + 1)
            if counts[k] < population(n, k)
        ]
        assert not coalitions_of_size or np.ptp(coalitions_of_size) <= 2
    for each in (1, 2, 3):
        counts = np.bincount(sizes[: pairs_for(n, each)], minlength=n // 2 + 1)[1:]
        assert all(c >= min(each, population(n, k + 1)) for k, c in enumerate(counts))


@pytest.mark.parametrize("listed", [1 << 18, 0])
def test_pairs_of_a_size_are_uniform(monkeypatch, listed):
    monkeypatch.setattr("pipeline.shapley.draws.MAX_LISTED", listed)
    n, n_seeds = 6, 700
    seen = np.zeros(2**n)
    for seed in range(n_seeds):
        membership, sizes = next(draw(n, seed))
        for k in (2, 3):
            seen[masks_of(membership[sizes == k][:1]).astype(int)] += 1
    for k, holding in ((2, 0), (3, 1)):
        size = coalitions.sizes(n) == k
        expected = n_seeds / population(n, k)
        frequencies = seen[size & ((np.arange(2**n) & holding) == holding)]
        assert len(frequencies) == population(n, k)
        chi_square = ((frequencies - expected) ** 2 / expected).sum()
        # Mean degrees of freedom, standard deviation sqrt(2 · degrees of freedom).
        assert chi_square < len(frequencies) + 5 * np.sqrt(2 * len(frequencies))


@pytest.mark.parametrize(
    "estimate", [regress, means_of_strata, lambda p: _cross_fitted(p, fit_linear)]
)
@pytest.mark.parametrize("n", [3, 4, 6, 7])
def test_all_pairs_give_the_exact_values(estimate, n):
    table = random_table(n)
    values, errors, _ = estimate(all_pairs(table, n))
    np.testing.assert_allclose(values, by_all_orders(table, n), atol=1e-10)
    np.testing.assert_allclose(errors, 0, atol=1e-10)


def test_the_regression_is_the_constrained_one():
    """The definition: weighted least squares with the last player's value eliminated."""
    n = 6
    table = random_table(n)
    pairs = all_pairs(table, n).some(np.arange(2 ** (n - 1) - 1) < 14)
    counts = pairs.counts()
    total = table[-1] - table[0]
    design, target, weight = [], [], []
    for row, k, of_s, of_rest in zip(
        pairs.membership, pairs.sizes, pairs.values, pairs.complements, strict=True
    ):
        kernel = 1 / (oracle.factorial(n) / oracle.factorial(k) / oracle.factorial(n - k))
        kernel /= k * (n - k)
        chance = counts[k] / population(n, k)
        for held, value in ((row, of_s), (~row, of_rest)):
            present = held.astype(float)
            design.append(present[:-1] - present[-1])
            target.append(value - table[0] - present[-1] * total)
            weight.append(np.sqrt(kernel / chance))
    weight = np.array(weight)[:, None]
    first = np.linalg.lstsq(weight * np.array(design), weight * np.array(target), rcond=None)[0]
    expected = np.concatenate([first, total[None] - first.sum(axis=0)])
    np.testing.assert_allclose(regress(pairs)[0], expected, atol=1e-10)


def test_the_regression_approaches_the_exact_values():
    n = 9
    table = smooth_table(n)
    exact = shared.shapley_values(table)

    def error(budget):
        estimates = [regression_values(table_game(table), budget=budget, seed=s) for s in range(40)]
        return np.sqrt(np.mean([(estimate.values - exact) ** 2 for estimate in estimates]))

    assert error(300) < error(100) / 1.5 < error(30) / 3


def test_standard_errors_of_few_pairs_are_unknown():
    game = table_game(random_table(7))
    assert np.isnan(regression_values(game, budget=14).standard_errors).all()
    assert np.isfinite(regression_values(game, budget=30).standard_errors).all()
    assert np.isnan(METHODS["msr"].estimate(game, budget=12).standard_errors).all()
    assert np.isfinite(METHODS["msr"].estimate(game, budget=14).standard_errors).all()


def absurd(pairs):
    """An additive game that depends on the sample and fits the game badly."""
    worth = pairs.values[:1] * np.arange(1, pairs.n_players + 1)[:, None]
    return Fitted(worth, lambda membership: 7 + membership @ worth)


def memorised(pairs):
    """The game at the sampled coalitions and 0 elsewhere: an overfitted approximation."""
    table = np.zeros((2**pairs.n_players, pairs.values.shape[1]))
    table[masks_of(pairs.membership).astype(int)] = pairs.values
    table[masks_of(~pairs.membership).astype(int)] = pairs.complements
    values = coalitions.shapley_weights(pairs.n_players) @ table
    return Fitted(values, lambda membership: table[masks_of(membership).astype(int)])


@pytest.mark.parametrize("fit", [absurd, memorised])
def test_any_fit_leaves_the_adjusted_estimate_unbiased(fit):
    n = 5
    table = random_table(n)
    method, game = regression_adjusted(fit), table_game(table)
    results = [method.estimate(game, budget=16, seed=seed) for seed in range(400)]
    values = np.array([result.values for result in results])
    errors = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert np.abs((values.mean(axis=0) - by_all_orders(table, n)) / errors).max() < 5


def test_the_fit_of_the_game_itself_leaves_nothing_to_sampling():
    n = 6
    table = random_table(n)
    exact = by_all_orders(table, n)

    def itself(pairs):
        return Fitted(exact, lambda membership: table[masks_of(membership).astype(int)])

    result = regression_adjusted(itself).estimate(table_game(table), budget=18)
    np.testing.assert_allclose(result.values, exact, atol=1e-12)
    np.testing.assert_allclose(result.standard_errors, 0, atol=1e-7)


def test_methods_are_named():
    game = table_game(random_table(7))
    for name, method in METHODS.items():
        result = method.estimate(game, budget=60)
        assert result.method == name == method.name
        assert result.unbiased is method.unbiased
        assert method.description


@pytest.mark.parametrize("n", [5, 6, 23])
def test_draws_depend_only_on_the_seed_of_any_kind(n):
    def first(seed):
        rounds = islice(draw(n, seed), 3)
        return np.concatenate([membership for membership, _ in rounds])

    listed = first(np.random.SeedSequence([4, 5]))
    other = first(np.random.SeedSequence([4, 6]))
    assert listed.shape == other.shape and (listed != other).any()
    np.testing.assert_array_equal(first(np.random.SeedSequence(np.array([4, 5]))), listed)
    np.testing.assert_array_equal(first(np.random.SeedSequence([4, 5])), listed)
