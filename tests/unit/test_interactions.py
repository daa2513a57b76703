"""Compares interaction indices with their definitions as slow, obvious code, and with shapiq."""

from itertools import combinations
from math import comb, factorial

import numpy as np
import pytest
from shapiq import Game
from shapiq.game_theory.exact import ExactComputer

from pipeline.core.errors import InputError
from pipeline.shapley.exact import shapley_values
from pipeline.shapley.interactions import INDICES, interactions, subsets

BERNOULLI = [1, -1 / 2, 1 / 6, 0, -1 / 30]


def mask_of(players):
    return sum(1 << i for i in players)


def all_subsets(players, at_most=None):
    most = len(players) if at_most is None else at_most
    for size in range(most + 1):
        yield from combinations(players, size)


def derivative(v, group, others):
    """Discrete derivative of a group of players in the presence of others."""
    signs = ((-1) ** (len(group) - len(part)) * v[mask_of((*part, *others))]
             for part in all_subsets(group))  # fmt: skip
    return sum(signs)


def rest_of(n, group):
    return [i for i in range(n) if i not in group]


def sii(v, n, group, _order):
    """Grabisch and Roubens (1999)."""
    t = len(group)
    total = 0
    for others in all_subsets(rest_of(n, group)):
        s = len(others)
        weight = factorial(n - s - t) * factorial(s) / factorial(n - t + 1)
        total = total + weight * derivative(v, group, others)
    return total


def k_sii(v, n, group, order):
    """Bordt and von Luxburg (2023), Definition 4 (n-Shapley values)."""
    found = sii(v, n, group, order)
    for larger in range(len(group) + 1, order + 1):
        more = larger - len(group)
        found = found + BERNOULLI[more] * sum(
            sii(v, n, (*group, *further), order)
            for further in combinations(rest_of(n, group), more)
        )
    return found


def stii(v, n, group, order):
    """Sundararajan, Dhamdhere and Agarwal (2020), Section 3."""
    if len(group) < order:
        return derivative(v, group, ())
    total = 0
    for others in all_subsets(rest_of(n, group)):
        total = total + order / n / comb(n - 1, len(others)) * derivative(v, group, others)
    return total


def banzhaf(v, n, group, _order):
    """Grabisch and Roubens (1999)."""
    found = [derivative(v, group, others) for others in all_subsets(rest_of(n, group))]
    return np.mean(found, axis=0)


def faithful(v, n, order, weight, borders):
    """Tsai, Yeh and Ravikumar (2023), Eq. 6: weighted least squares on all coalitions."""
    groups = list(all_subsets(range(n), order))
    inside = np.array(
        [[not set(g) - {i for i in range(n) if m >> i & 1} for g in groups] for m in range(2**n)],
        dtype=float,
    )
    root = np.sqrt([weight(m.bit_count()) for m in range(2**n)])[:, None]
    if not borders:
        return dict(zip(groups, np.linalg.lstsq(root * inside, root * v)[0], strict=True))
    # The empty and the grand coalition are met exactly (Karush, Kuhn and Tucker).
    a, c = root * inside, inside[[0, -1]]
    system = np.block([[2 * a.T @ a, c.T], [c, np.zeros((2, 2))]])
    right = np.concatenate([2 * a.T @ (root * v), v[[0, -1]]])
    return dict(zip(groups, np.linalg.lstsq(system, right)[0], strict=False))


def fsii(v, n, group, order):
    def weight(s):
        return 0 if s in (0, n) else (n - 1) / (comb(n, s) * s * (n - s))

    return faithful(v, n, order, weight, borders=True)[group]


def fbii(v, n, group, order):
    return faithful(v, n, order, lambda _: 1, borders=False)[group]


DEFINITIONS = {"SII": sii, "k-SII": k_sii, "STII": stii, "FSII": fsii, "BII": banzhaf, "FBII": fbii}


def tables(n, outputs=3, instances=2):
    return np.random.default_rng(n).normal(size=(instances, 2**n, outputs))


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_each_index_is_its_definition(index, order, n):
    order = min(order, n)
    values = tables(n)
    found = interactions(values, index, order)
    groups = subsets(n, order)
    assert found.shape == (2, len(groups), 3)
    for instance, v in enumerate(values):
        for row, group in enumerate(groups):
            expected = v[0]
            if group or index == "FBII":
                expected = DEFINITIONS[index](v, n, group, order)
            np.testing.assert_allclose(found[instance, row], expected, atol=1e-9)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n", [3, 8])
def test_each_index_is_that_of_shapiq(index, order, n):
    v = tables(n, 1, 1)[0, :, 0]
    game = Game(n, normalize=False)
    game._value_function = lambda x: v[x @ (1 << np.arange(n))]
    game.value_function = game._value_function
    other = ExactComputer(game, n)(index, order)
    found = interactions(v[:, None], index, order)
    # shapiq gives the borders' equations of FSII a large weight; they hold to a few digits less.
    close = 1e-6 if index == "FSII" else 1e-9
    for row, group in enumerate(subsets(n, order)):
        if group:
            assert found[row, 0] == pytest.approx(other[group], abs=close), group


def test_order_one_is_the_shapley_value():
    values = tables(7)
    for index in ("SII", "k-SII", "STII", "FSII"):
        np.testing.assert_allclose(
            interactions(values, index, 1)[:, 1:], shapley_values(values), atol=1e-12
        )


@pytest.mark.parametrize("index", ["k-SII", "STII", "FSII"])
def test_efficient_indices_sum_to_the_grand_coalition(index):
    values = tables(6)
    for order in (1, 2, 3):
        total = interactions(values, index, order).sum(axis=1)
        np.testing.assert_allclose(total, values[:, -1], atol=1e-9)


def test_a_game_of_pairs_has_its_pairs_and_no_more():
    """Indices of order 2 and more tell such a game's own terms."""
    n, rng = 7, np.random.default_rng(0)
    terms = {group: rng.normal() for group in subsets(n, 2)}
    masks = np.arange(2**n)
    v = sum(term * ((masks & mask_of(group)) == mask_of(group)) for group, term in terms.items())
    for index in ("STII", "FSII", "FBII"):
        for order in (2, 3):
            found = interactions(v[:, None], index, order)[:, 0]
            for group, value in zip(subsets(n, order), found, strict=True):
                assert value == pytest.approx(terms.get(group, 0), abs=1e-10)


def test_the_block_and_the_dtype_change_nothing(monkeypatch):
    values = tables(8).astype(np.float32)
    expected = interactions(values.astype(np.float64), "FSII", 3)
    np.testing.assert_allclose(interactions(values, "FSII", 3), expected, atol=1e-12)
    monkeypatch.setattr("pipeline.shapley.interactions._BLOCK_BYTES", 1000)
    np.testing.assert_allclose(interactions(values, "FSII", 3), expected, atol=1e-12)


def test_the_computation_at_sixteen_players_is_accurate():
    """A game of known terms, in the largest table of the study."""
    n, rng = 16, np.random.default_rng(0)
    masks = np.arange(2**n)
    v = np.zeros(2**n)
    expected = dict.fromkeys(subsets(n, 2), 0.0)
    for size in (1, 2, 5, 16):
        group = tuple(sorted(rng.choice(n, size, replace=False).tolist()))
        v += (masks & mask_of(group)) == mask_of(group)
        for part in subsets(n, 2):
            if part and set(part) <= set(group):
                expected[part] += 1 / (size - len(part) + 1)
    found = interactions(v[:, None], "SII", 2)[:, 0]
    np.testing.assert_allclose(found, list(expected.values()), atol=1e-12)


@pytest.mark.parametrize(
    ("index", "order", "message"),
    [
        ("shapley", 2, r"index: 'shapley' is none of SII, k-SII, STII, FSII, BII, FBII"),
        ("SII", 0, r"order: 0 is not between 1 and 4"),
        ("SII", 5, r"order: 5 is not between 1 and 4"),
    ],
)
def test_what_cannot_be_is_refused(index, order, message):
    with pytest.raises(InputError, match=message):
        interactions(tables(4), index, order)


def test_values_that_are_no_table_are_refused():
    for values in (np.zeros((3, 1)), np.zeros(4), np.full((4, 1), np.nan)):
        with pytest.raises(InputError):
            interactions(values, "SII", 1)
