import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.core.errors import InputError
from pipeline.shapley import block_sums, coalitions, marginals_by_size, shapley_values

finite = st.floats(-10, 10, allow_nan=False, width=32)


@st.composite
def games(draw):
    n = draw(st.integers(1, 6))
    outputs = draw(st.integers(1, 3))
    return n, draw(hnp.arrays(np.float64, (2**n, outputs), elements=finite))


@given(games())
@settings(max_examples=40, deadline=None)
def test_values_and_marginals_agree_with_the_definition(game):
    n, values = game

    def v(players):
        return values[oracle.mask_of(players)]

    np.testing.assert_allclose(shapley_values(values), oracle.shapley_values(v, n), atol=1e-9)
    np.testing.assert_allclose(marginals_by_size(values), oracle.mean_marginals(v, n), atol=1e-9)


@given(games())
@settings(max_examples=40, deadline=None)
def test_efficiency(game):
    _, values = game
    total = shapley_values(values).sum(axis=0)
    np.testing.assert_allclose(total, values[-1] - values[0], atol=1e-9)


@given(games(), st.data())
@settings(max_examples=40, deadline=None)
def test_symmetry(game, data):
    n, values = game
    i, j = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))
    masks = np.arange(2**n)
    bit_i, bit_j = masks >> i & 1, masks >> j & 1
    swapped = masks & ~(1 << i) & ~(1 << j) | bit_i << j | bit_j << i
    symmetric = values + values[swapped]
    result = shapley_values(symmetric)
    np.testing.assert_allclose(result[i], result[j], atol=1e-9)


@given(games(), st.data())
@settings(max_examples=40, deadline=None)
def test_null_player(game, data):
    n, values = game
    i = data.draw(st.integers(0, n - 1))
    without = np.arange(2**n) & ~(1 << i)
    assert shapley_values(values[without])[i] == pytest.approx(0, abs=1e-12)


@given(games(), finite, finite, st.randoms())
@settings(max_examples=40, deadline=None)
def test_linearity(game, a, b, random):
    _, first = game
    second = np.random.default_rng(random.randrange(2**32)).normal(size=first.shape)
    together = shapley_values(a * first + b * second)
    apart = a * shapley_values(first) + b * shapley_values(second)
    np.testing.assert_allclose(together, apart, atol=1e-8)


@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 23])
def test_many_instances_at_once_whatever_the_block(monkeypatch, block_bytes):
    monkeypatch.setattr("pipeline.shapley.exact._BLOCK_BYTES", block_bytes)
    values = np.random.default_rng(0).random((3, 2, 2**7, 4)).astype(np.float32)
    expected = np.einsum("ns,abso->abno", coalitions.shapley_weights(7), values)
    np.testing.assert_allclose(shapley_values(values), expected, atol=1e-6)


def test_unusable_tables_are_refused():
    with pytest.raises(InputError, match="this one has 12"):
        shapley_values(np.zeros((12, 1)))
    values = np.zeros((8, 2))
    values[3, 1] = np.nan
    with pytest.raises(InputError, match="NaN or Inf"):
        shapley_values(values)


def test_large_float32_values_keep_their_differences():
    values = (1e6 + np.random.default_rng(0).random((2**12, 1))).astype(np.float32)
    expected = coalitions.shapley_weights(12) @ values.astype(np.float64)
    np.testing.assert_allclose(shapley_values(values), expected, atol=1e-8)


def test_sums_of_many_float32_values_keep_their_digits():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand((184_756, 2, 3), generator=generator)
    membership = (torch.rand((5, len(values)), generator=generator) < 0.5).float()
    holding, total = block_sums(membership, values)
    expected = torch.einsum("ir,rvc->ivc", membership.double(), values.double())
    torch.testing.assert_close(holding, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(total, values.double().sum(dim=0), rtol=1e-7, atol=0)
