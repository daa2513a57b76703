"""Intervals of sampled Shapley values cover the exact ones as often as they say."""

import numpy as np
import pytest

from pipeline.core.errors import InputError
from pipeline.shapley import pooled, shapley_values
from pipeline.shapley.games import table_game
from pipeline.shapley.methods import METHODS

REPEATS = 300
BUDGETS = {
    "permutation": {8: 150, 10: 300},
    "stratified": {10: 1000},
    "regression": {6: 38, 8: 100, 10: 150},
    "regression_adjusted": {6: 30, 8: 100, 10: 150},
    "kernel": {6: 38, 8: 100, 10: 150},
    "msr": {6: 38, 8: 100, 10: 150},
}
"""By players. Smaller games have too few coalitions for orders that give an interval."""


def tables(n):
    """Noise, a smooth function with interactions, and a vote by weights, which is 0 or 1."""
    rng = np.random.default_rng(n)
    bits = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
    pairs, weights = rng.normal(size=(n, n)), rng.integers(1, 6, n)
    inner = bits @ rng.normal(size=n) / 2 + np.einsum("mi,ij,mj->m", bits, pairs, bits) / n
    return {
        "noise": rng.normal(size=2**n),
        "smooth": np.tanh(inner),
        "vote": (bits @ weights > weights.sum() / 2).astype(float),
    }


@pytest.mark.parametrize("kind", ["noise", "smooth", "vote"])
@pytest.mark.parametrize("name", METHODS)
def test_intervals_cover(name, kind):
    covered = given = asked = 0
    for n, budget in BUDGETS[name].items():
        table = tables(n)[kind]
        exact = shapley_values(table[:, None])
        for seed in range(REPEATS // 5 if name == "kernel" else REPEATS):
            found = METHODS[name].estimate(table_game(table), budget=budget, seed=seed)
            low, high = found.interval()
            known = ~np.isnan(low)
            assert np.array_equal(known, ~np.isnan(found.degrees_of_freedom))
            covered += int(((low <= exact) & (exact <= high))[known].sum())
            given, asked = given + int(known.sum()), asked + known.size
    assert 0.93 <= covered / given <= 0.97
    # For votes most replicates are equal, so orders give few intervals.
    few = kind == "vote" and name in ("permutation", "stratified")
    assert given / asked > (0.05 if few else 0.8)


def pooled_estimate(method, games, weights, rounds, n, seed):
    """An estimate for games given as tables (instance, coalition)."""
    numbers = np.arange(len(games))
    bits = 1 << np.arange(n)
    if method == "walks":
        orders = np.stack([pooled.orders_of(seed, numbers, r, n) for r in range(rounds)], axis=1)
        removed = np.cumsum(bits[orders], axis=-1)
        masks = 2**n - 1 - np.concatenate([np.zeros_like(removed[..., :1]), removed], axis=-1)
        values = np.stack([game[own] for game, own in zip(games, masks, strict=True)])
        return pooled.from_walks(values, orders, weights)
    pairs = [pooled.pairs_of(seed, numbers, r, 3 * n, n) for r in range(rounds)]
    coalitions = np.stack(pairs, axis=1)
    values = np.stack([g[own @ bits] for g, own in zip(games, coalitions, strict=True)])
    return pooled.regress(coalitions, values, games[:, 0], games[:, -1], weights)


@pytest.mark.parametrize("kind", ["noise", "smooth", "vote"])
@pytest.mark.parametrize("method", ["walks", "regress"])
def test_intervals_of_means_over_instances_cover(method, kind):
    covered = given = asked = 0
    for n, instances, rounds in ((6, 3, 12), (8, 4, 10), (10, 3, 10)):
        rng = np.random.default_rng(n)
        games = np.stack([rng.permuted(tables(n)[kind]) for _ in range(instances)])
        weights = rng.random(instances) - (0.3 if n == 8 else 0)
        exact = shapley_values((weights @ games)[:, None])[:, 0]
        for seed in range(REPEATS):
            found = pooled_estimate(method, games, weights, rounds, n, seed)
            low, high = found.interval()
            known = ~np.isnan(low)
            covered += int(((low <= exact) & (exact <= high))[known].sum())
            given, asked = given + int(known.sum()), asked + known.size
    assert 0.93 <= covered / given <= 0.97
    assert given / asked > 0.8


def test_intervals_are_not_given_of_few_rounds():
    games = np.random.default_rng(0).normal(size=(1, 2**6))
    few, enough = (pooled_estimate("regress", games, np.ones(1), r, 6, 0) for r in (7, 8))
    assert np.isnan(few.interval()[0]).all()
    assert few.standard_errors.min() > 0
    np.testing.assert_allclose(enough.degrees_of_freedom, 7)
    with pytest.raises(InputError, match="level 2: it is a share"):
        enough.interval(2)
