"""Strong interactions of a Gaussian process, beside their definitions over all coalitions."""

from itertools import combinations

import numpy as np
import oracle
import pytest

from pipeline.shapley import gaussian_process, strong_terms
from pipeline.shapley.draws import draw
from pipeline.shapley.games import table_game
from pipeline.shapley.methods import METHODS


def coalitions_of(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def members_of(n, terms):
    return np.array([[player in term for player in range(n)] for term in terms]).reshape(-1, n)


def synergies(n, together, seed=0):
    """A game of players' own worths, and of some that are worth more together."""
    held = coalitions_of(n)
    worth = np.random.default_rng(seed).normal(size=n)
    return held @ worth + sum(pays * held[:, list(who)].all(axis=1) for who, pays in together)


def observed(table, count, seed=0):
    """What a process is fitted to: the kernel of equal decay, membership, free columns, values."""
    n = len(table).bit_length() - 1
    held = np.concatenate([held for held, _ in draw(n, np.random.SeedSequence(seed))])[:count]
    masks = held @ (1 << np.arange(n))
    halves = (table[masks] - table[::-1][masks]) / 2
    halves -= (held.mean(axis=1) - 0.5) * (table[-1] - table[0])
    found = gaussian_process._observed(held, halves)
    kernel = gaussian_process._kernel(found.membership, found.membership, np.full(n, 0.3), 0.0)[0]
    return kernel, found.membership, found.free, found.values


def unlikely(kernel, free, values):
    """Minus the restricted likelihood's logarithm, for the variance that suits best."""
    inverse = np.linalg.inv(kernel)
    gram = free.T @ inverse @ free
    projection = inverse - inverse @ free @ np.linalg.solve(gram, free.T @ inverse)
    freedom = len(values) - free.shape[1]
    logs = np.linalg.slogdet(kernel)[1] + np.linalg.slogdet(gram)[1]
    return (logs + freedom * np.log(values @ projection @ values)) / 2


def kernel_of(variances, kernel, membership):
    terms = strong_terms.columns(membership, variances.members)
    found = variances.smooth * kernel + (terms * variances.of_terms) @ terms.T
    return found + variances.noise * np.diag(membership.any(axis=1))


@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_terms_are_parities_less_what_efficiency_fixes(n):
    held = coalitions_of(n)
    terms = [term for order in (3, 5, 7) for term in combinations(range(n), order)]
    members = members_of(n, terms)
    found = strong_terms.columns(held, members)
    values = strong_terms.values_of_terms(members)
    for place, term in enumerate(terms):
        expected = [
            (-1.0) ** sum(not row[i] for i in term) - (2 * row.sum() - n) / n for row in held
        ]
        np.testing.assert_allclose(found[:, place], expected, atol=1e-12)
        game = found[:, place]
        exact = oracle.shapley_values(lambda who, game=game: game[oracle.mask_of(who)], n)
        np.testing.assert_allclose(values[place], exact, atol=1e-12)
    np.testing.assert_array_equal(found[[0, -1]], 0)


def test_terms_of_all_orders_are_looked_at_unless_there_are_too_many():
    found = strong_terms._looked_at(6, np.arange(6.0))
    expected = members_of(6, [*combinations(range(6), 3), *combinations(range(6), 5)])
    assert {row.tobytes() for row in found} == {row.tobytes() for row in expected}
    assert strong_terms._looked_at(3, np.ones(3)).shape == (0, 3)  # that of all players is 0
    many = strong_terms._looked_at(60, np.arange(60.0))
    assert 0.9 * strong_terms.LOOKED_AT < len(many) <= strong_terms.LOOKED_AT
    assert len(np.unique(many, axis=0)) == len(many)
    assert many[:, -10:].sum() > 0
    assert not many[:, 0].any(), "players that reach least come last"


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_few_strong_interactions_are_found(noise):
    n, together = 12, [((0, 3, 5), 2.0), ((1, 2, 8), -1.5), ((4, 7, 9, 10), 3.0)]
    table = synergies(n, together)
    table[1:-1] += noise * np.random.default_rng(1).normal(size=2**n - 2)
    kernel, membership, free, values = observed(table, 250)
    found = strong_terms.learned(kernel, membership, free, values, np.full(n, 0.15))
    triples = [(0, 3, 5), (1, 2, 8), *combinations((4, 7, 9, 10), 3)]
    expected = {row.tobytes() for row in members_of(n, triples)}
    strongest = found.members[np.argsort(-found.of_terms)[: len(triples)]]
    assert {row.tobytes() for row in strongest} == expected
    if noise:
        # Odd parts of values have half their noise's variance.
        assert found.noise + found.smooth * kernel.diagonal().mean() < 2 * noise**2
    else:
        assert len(found.members) == len(triples)


@pytest.mark.parametrize("kind", ["synergies", "smooth", "noise"])
def test_variances_are_more_likely_than_the_smooth_process_alone(kind):
    n, rng = 9, np.random.default_rng(0)
    held = coalitions_of(n)
    table = {
        "synergies": synergies(n, [((0, 3, 5), 2.0), ((1, 2, 8), -1.5)])
        + np.sin(held @ rng.normal(size=n)),
        "smooth": np.tanh(held @ rng.normal(size=n)),
        "noise": rng.normal(size=2**n),
    }[kind]
    kernel, membership, free, values = observed(table, 120)
    found = strong_terms.learned(kernel, membership, free, values, np.full(n, 0.15))
    rounding = 1e-8 * np.eye(len(kernel))
    learned = unlikely(kernel_of(found, kernel, membership) + rounding, free, values)
    assert learned < unlikely(kernel + rounding, free, values) - 1


def test_scaled_values_have_scaled_variances():
    kernel, membership, free, values = observed(synergies(8, [((0, 3, 5), 2.0)]), 60)
    values = values + 0.1 * np.random.default_rng(0).normal(size=len(values))
    reach = np.full(8, 0.15)
    one = strong_terms.learned(kernel, membership, free, values, reach)
    other = strong_terms.learned(kernel, membership, free, 10 * values, reach)
    np.testing.assert_allclose(other.smooth, 100 * one.smooth, rtol=1e-6)
    np.testing.assert_allclose(other.noise, 100 * one.noise, rtol=1e-6)
    np.testing.assert_array_equal(other.members, one.members)
    np.testing.assert_allclose(other.of_terms, 100 * one.of_terms, rtol=1e-6)


def test_games_without_interactions_have_no_terms():
    for table in (synergies(7, []), np.zeros(2**7)):
        kernel, membership, free, values = observed(table, 40)
        found = strong_terms.learned(kernel, membership, free, values, np.full(7, 0.15))
        assert (found.smooth, found.noise, len(found.members)) == (1.0, 0.0, 0)


@pytest.mark.parametrize("output_scale", [1.0, 1e6])
def test_values_of_games_with_few_strong_interactions_are_exact(output_scale):
    n, together = 12, [((0, 3, 5), 2.0), ((1, 2, 8), -1.5), ((4, 7, 9), 3.0), ((2, 6), 1.0)]
    table = output_scale * synergies(n, together)
    exact = oracle.shapley_values(lambda who: table[oracle.mask_of(who)], n)
    budget = 20 * n
    kernel, regression = (
        METHODS[name].estimate(table_game(table), budget=budget).values[:, 0]
        for name in ("kernel", "regression")
    )
    np.testing.assert_allclose(kernel, exact, atol=1e-5 * output_scale)
    assert np.abs(regression - exact).max() > 0.01 * output_scale
