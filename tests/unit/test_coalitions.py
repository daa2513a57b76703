from itertools import combinations
from math import comb

import numpy as np
import oracle
import pytest
import torch

from pipeline.core.errors import InputError
from pipeline.shapley import coalitions
from pipeline.studies.frames.coalition_scores import members_of_ranks


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_sizes_members_and_ranks_agree_with_itertools(n):
    for size in range(n + 1):
        expected = sorted(oracle.mask_of(c) for c in combinations(range(n), size))
        masks = coalitions.of_size(n, size)
        assert masks.tolist() == expected
        assert (coalitions.sizes(n)[masks] == size).all()
        assert coalitions.ranks(n)[masks].tolist() == list(range(comb(n, size)))
        players = coalitions.members(masks, size)
        assert [oracle.mask_of(row) for row in players.tolist()] == expected
        assert all(list(row) == sorted(row) for row in players.tolist())


@pytest.mark.parametrize(("n", "size"), [(1, 1), (6, 3), (9, 1), (9, 9), (12, 5)])
@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_members_are_found_from_ranks_in_blocks(n, size, block):
    expected = coalitions.members(coalitions.of_size(n, size), size)
    total = comb(n, size)
    found = [
        members_of_ranks(n, size, slice(start, min(start + block, total)), torch.device("cpu"))
        for start in range(0, total, block)
    ]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_ranks_are_walked_where_masks_cannot_be_listed():
    last = comb(60, 8)
    rows = members_of_ranks(60, 8, slice(last - 2, last), torch.device("cpu"))
    assert rows.tolist() == [[51, 53, 54, 55, 56, 57, 58, 59], [52, 53, 54, 55, 56, 57, 58, 59]]


@pytest.mark.parametrize("n", [1, 2, 7, 11])
def test_membership_is_found_from_ranks_in_any_order(n):
    for size in range(n + 1):
        expected = [set(c) for c in combinations(range(n), size)]
        expected.sort(key=oracle.mask_of)
        order = np.random.default_rng(size).permutation(comb(n, size))
        found = coalitions.membership_of_ranks(n, size, order)
        assert found.shape == (comb(n, size), n) and found.dtype == bool
        assert [set(np.flatnonzero(row)) for row in found] == [expected[rank] for rank in order]


def test_coalitions_of_several_sizes_are_found_at_once():
    sizes = np.random.default_rng(0).permutation(np.repeat(np.arange(8), 3))
    order = np.array([rank % comb(7, k) for rank, k in enumerate(sizes)])
    alone = [
        coalitions.membership_of_ranks(7, int(k), order[i : i + 1])[0] for i, k in enumerate(sizes)
    ]
    np.testing.assert_array_equal(coalitions.membership_of_ranks(7, sizes, order), alone)


def test_membership_is_found_from_ranks_where_numbers_of_coalitions_are_beyond_64_bits():
    first, last = coalitions.membership_of_ranks(70, 66, np.array([0, comb(70, 66) - 1]))
    assert np.flatnonzero(~first).tolist() == [66, 67, 68, 69]
    assert np.flatnonzero(~last).tolist() == [0, 1, 2, 3]
    pair = coalitions.membership_of_ranks(500, 2, np.array([comb(499, 2) + 7]))
    assert np.flatnonzero(pair[0]).tolist() == [7, 499]


@pytest.mark.parametrize("ranks", [[0, 10], [-1]])
def test_ranks_that_no_coalition_has_are_refused(ranks):
    with pytest.raises(InputError, match=r"10 coalitions of 2 of 5 players have ranks 0 to 9"):
        coalitions.membership_of_ranks(5, 2, np.array(ranks))
    assert coalitions.membership_of_ranks(5, 2, np.array([], dtype=np.int64)).shape == (0, 5)


def test_masks_and_membership_are_each_others_inverse():
    masks = np.random.default_rng(0).integers(0, 2**63, 50, dtype=np.uint64)
    membership = coalitions.to_bool(masks, 64)
    assert membership[:, 3].tolist() == [bool(int(m) >> 3 & 1) for m in masks]
    np.testing.assert_array_equal(coalitions.from_bool(membership), masks)
    with pytest.raises(InputError, match="65 players"):
        coalitions.from_bool(np.zeros((2, 65), dtype=bool))


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_shapley_weights_give_the_definition(n):
    values = np.random.default_rng(n).normal(size=(2**n, 2))
    expected = oracle.shapley_values(lambda c: values[oracle.mask_of(c)], n)
    np.testing.assert_allclose(coalitions.shapley_weights(n) @ values, expected, atol=1e-12)


@pytest.mark.parametrize("n", [0, 27])
def test_too_many_players_to_enumerate_are_refused(n):
    with pytest.raises(InputError, match=f"{n} players"):
        coalitions.sizes(n)
