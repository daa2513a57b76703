"""Areas of pictures: partitions, masking by coalitions, the game and the measures."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import oracle
import pytest
import torch

from pipeline.core.errors import InputError
from pipeline.shapley import shapley_values
from pipeline.shapley.games import counted, masks_of, table_game
from pipeline.studies.baselines import quality
from pipeline.studies.baselines.areas import (
    area_sums,
    as_membership,
    from_membership,
    masked_pictures,
    membership_of,
    picture_game,
    square_areas,
)


def slow_mask(picture, baseline, areas, players):
    result = np.array(np.broadcast_to(baseline, picture.shape))
    for place in np.ndindex(picture.shape):
        if areas[place[len(place) - areas.ndim :]] in players:
            result[place] = picture[place]
    return result


def members(mask, n):
    return tuple(i for i in range(n) if mask >> i & 1)


def random_areas(rng, shape, n):
    flat = np.concatenate([np.arange(n), rng.integers(0, n, int(np.prod(shape)) - n)])
    return rng.permutation(flat).reshape(shape)


@pytest.mark.parametrize(
    ("height", "width", "side"), [(8, 8, 2), (5, 7, 3), (1, 1, 1), (4, 6, 9), (2, 3, 1)]
)
def test_square_areas(height, width, side):
    areas = square_areas(height, width, side)
    per_row = (width + side - 1) // side
    for y in range(height):
        for x in range(width):
            assert areas[y, x] == (y // side) * per_row + x // side
    assert len(np.unique(areas)) == areas.max() + 1
    np.testing.assert_array_equal(from_membership(membership_of(areas)), areas)


@pytest.mark.parametrize(
    ("shape", "areas_shape", "n"),
    [((3, 4, 5), (4, 5), 6), ((2, 3, 2), (2, 3, 2), 5), ((7,), (7,), 7), ((1, 3, 3), (3, 3), 1)],
)
@pytest.mark.parametrize("kind", ["zero", "mean", "picture"])
def test_masked_pictures(shape, areas_shape, n, kind):
    rng = np.random.default_rng(0)
    picture = rng.normal(size=shape)
    baseline = {"zero": np.zeros(()), "mean": rng.normal(size=shape[-1:])}.get(
        kind, rng.normal(size=shape)
    )
    areas = random_areas(rng, areas_shape, n)
    masks = np.arange(2**n, dtype=np.uint64)
    found = masked_pictures(
        torch.from_numpy(picture), torch.from_numpy(baseline), areas, as_membership(masks, n)
    )
    assert found.shape == (2**n, *shape)
    for mask in range(2**n):
        expected = slow_mask(picture, baseline, areas, members(mask, n))
        np.testing.assert_array_equal(found[mask].numpy(), expected)


def test_masks_of_many_players():
    rng = np.random.default_rng(1)
    for n in (1, 3, 63, 64, 65, 130):
        membership = rng.random((9, n)) < 0.5
        np.testing.assert_array_equal(as_membership(masks_of(membership), n), membership)
    areas = np.arange(70).reshape(7, 10)
    membership = rng.random((4, 70)) < 0.5
    picture = torch.from_numpy(rng.normal(size=(2, 7, 10)))
    game = picture_game(lambda x: x.sum(dim=(1, 2, 3)), picture, areas)
    expected = membership @ picture.numpy().sum(axis=0).ravel()
    np.testing.assert_allclose(game(masks_of(membership))[:, 0], expected, atol=1e-12)


def two_scores(pictures):
    flat = pictures.flatten(start_dim=1)
    return torch.stack([flat.sum(dim=1).sin(), flat.square().sum(dim=1)], dim=1)


@pytest.mark.parametrize("batch_size", [1, 3, 16, 100])
def test_the_game_gives_scores_of_masked_pictures(batch_size):
    rng = np.random.default_rng(2)
    picture, baseline = rng.normal(size=(2, 1, 4, 5))
    areas = square_areas(4, 5, 3)
    game = picture_game(
        two_scores,
        torch.from_numpy(picture),
        areas,
        baseline=torch.from_numpy(baseline),
        outputs=("sine", "squares"),
        batch_size=batch_size,
    )
    assert (game.n_players, game.outputs) == (4, ("sine", "squares"))
    table = game(np.arange(16, dtype=np.uint64))
    for mask in range(16):
        shown = slow_mask(picture, baseline, areas, members(mask, 4))
        expected = [np.sin(shown.sum()), (shown**2).sum()]
        np.testing.assert_allclose(table[mask], expected, atol=1e-12)
    values = shapley_values(table)
    brute = oracle.shapley_values(lambda players: table[oracle.mask_of(players)], 4)
    np.testing.assert_allclose(values, brute, atol=1e-12)
    np.testing.assert_allclose(counted(game)(np.array([5, 5, 0], np.uint64)), table[[5, 5, 0]])
    assert game(np.zeros(0, dtype=np.uint64)).shape == (0, 2)


def test_one_area_is_the_whole_picture():
    picture = torch.arange(12.0).view(1, 3, 4)
    game = picture_game(lambda x: x.sum(dim=(1, 2, 3)), picture, square_areas(3, 4, 4))
    np.testing.assert_array_equal(game(np.array([0, 1], np.uint64)), [[0.0], [66.0]])
    values = area_sums(picture, square_areas(3, 4, 4))
    assert values.tolist() == [66.0]


def test_no_gradients_are_kept():
    weight = torch.ones((), requires_grad=True)

    def scores(pictures):
        result = weight * pictures.sum(dim=(1, 2, 3))
        assert not result.requires_grad
        return result

    game = picture_game(scores, torch.ones(1, 2, 2), square_areas(2, 2, 1))
    assert game(np.array([15], np.uint64)).tolist() == [[4.0]]


def test_area_sums():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2, 3, 4, 5))
    areas = random_areas(rng, (4, 5), 6)
    expected = np.zeros((2, 6))
    for p, c, y, x in np.ndindex(values.shape):
        expected[p, areas[y, x]] += values[p, c, y, x]
    tensor = torch.from_numpy(values)
    np.testing.assert_allclose(area_sums(tensor, areas, leading=1), expected, atol=1e-12)
    np.testing.assert_allclose(area_sums(tensor[1], areas), expected[1], atol=1e-12)
    np.testing.assert_allclose(area_sums(tensor, areas), expected.sum(axis=0), atol=1e-12)


def test_bad_areas_are_refused():
    picture = torch.ones(1, 4, 4)
    areas = square_areas(4, 4, 2)
    with pytest.raises(InputError, match="side 0: must be at least 1"):
        square_areas(4, 4, 0)
    with pytest.raises(InputError, match="player 1 of 3 has no features"):
        picture_game(two_scores, picture, np.where(areas > 1, 2, 0))
    with pytest.raises(InputError, match="hold player -1"):
        picture_game(two_scores, picture, areas - 1)
    with pytest.raises(InputError, match=r"areas of shape \(4, 3\) for a picture"):
        picture_game(two_scores, picture, areas[:, :3])
    with pytest.raises(InputError, match=r"feature \(0, 1\) belongs to 2 players"):
        from_membership(np.array([[[True, True]], [[False, True]]]))
    with pytest.raises(InputError, match="baseline of shape"):
        picture_game(two_scores, picture, areas, baseline=torch.zeros(3))
    with pytest.raises(InputError, match="the baseline holds NaN"):
        picture_game(two_scores, picture, areas, baseline=torch.tensor(float("nan")))
    with pytest.raises(InputError, match="the picture holds NaN"):
        picture_game(two_scores, picture * float("inf"), areas)
    with pytest.raises(InputError, match="1 names for a model of 2 outputs"):
        picture_game(two_scores, picture, areas, outputs=("one",))
    with pytest.raises(InputError, match="batch size 0"):
        picture_game(two_scores, picture, areas, batch_size=0)
    with pytest.raises(InputError, match="values of shape"):
        picture_game(lambda x: x, picture, areas)
    game = picture_game(two_scores, picture, areas)
    with pytest.raises(InputError, match="0x10 holds a player beyond the 4"):
        game(np.array([16], np.uint64))
    with pytest.raises(InputError, match="row of integers"):
        game(np.array([1.0]))
    with pytest.raises(InputError, match="not negative"):
        game(np.array([-1]))
    with pytest.raises(InputError, match="last axes must be those"):
        area_sums(torch.zeros(3, 3), areas)
    with pytest.raises(InputError, match="is needed for 65 players"):
        as_membership(np.zeros((2, 8), np.uint8), 65)
    with pytest.raises(InputError, match="beyond the 65"):
        as_membership(np.full((1, 9), 255, np.uint8), 65)


def test_normalised_values_are_parts_of_the_absolute_sum():
    values = np.array([[3, -1], [0, 0]])
    np.testing.assert_array_equal(quality.normalised(values), [[0.75, -0.25], [np.nan, np.nan]])
    assert quality.normalised(values, empty=0).tolist() == [[0.75, -0.25], [0, 0]]
    assert quality.normalised(values.T, axis=0, empty=0).tolist() == [[0.75, 0], [-0.25, 0]]


def test_agreement_of_ratios():
    exact = np.array([3.0, -1.0, 0.0, 2.0])
    same = quality.ratio_agreement(np.stack([7 * exact, -exact]), exact)
    np.testing.assert_allclose(same.pearson, [1, -1])
    np.testing.assert_allclose(same.kendall, [1, -1])
    np.testing.assert_allclose(same.ratio_distance, [0, 2], atol=1e-12)
    other = np.array([1.0, 1.0, -2.0, 0.0])
    expected = sum(abs(a / 6 - b / 4) for a, b in zip(exact, other, strict=True))
    assert quality.ratio_agreement(other, exact).ratio_distance == pytest.approx(expected)
    assert np.isnan(quality.ratio_agreement(np.zeros(4), exact).ratio_distance)
    with pytest.raises(InputError, match="exact of shape"):
        quality.ratio_agreement(exact, exact * np.nan)
    with pytest.raises(InputError, match="cannot be broadcast"):
        quality.ratio_agreement(exact, exact[:3])


def test_curves_show_and_hide_the_best_areas_first():
    rng = np.random.default_rng(4)
    table = rng.normal(size=(16, 2))
    values = np.array([0.5, 2.0, 0.5, -1.0])
    found = quality.curves(table_game(table), values)
    shown = [0, 0b0010, 0b0011, 0b0111, 0b1111]
    np.testing.assert_array_equal(found.insertion, table[shown])
    np.testing.assert_array_equal(found.deletion, table[[15 - mask for mask in shown]])
    area = sum((table[a] + table[b]) / 8 for a, b in pairwise(shown))
    np.testing.assert_allclose(found.insertion_area, area)
    one = quality.curves(table_game(np.array([1.0, 3.0])), np.array([2.0]))
    assert (one.insertion_area, one.deletion_area) == (2.0, 2.0)
    with pytest.raises(InputError, match="for a game of 4 players"):
        quality.curves(table_game(table), values[:3])


def test_additive_games_are_ordered_best_by_their_values():
    """In a game without interactions, the order of the values is the best."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=5)
    game = table_game((np.arange(32)[:, None] >> np.arange(5) & 1) @ values)
    best = quality.curves(game, values)
    for _ in range(50):
        other = quality.curves(game, rng.normal(size=5))
        assert best.insertion_area >= other.insertion_area - 1e-12
        assert best.deletion_area <= other.deletion_area + 1e-12


def test_shares_parts_and_spread():
    values = np.array([[1.0, -2.0], [3.0, 0.0]])
    ink = np.array([[True, True], [False, False]])
    shares = quality.shares_on(values, ink)
    assert (shares.absolute, shares.positive, shares.negative) == (0.5, 0.25, 1.0)
    many = quality.shares_on(np.stack([values, -values, np.abs(values)]), ink)
    np.testing.assert_allclose(many.positive, [0.25, 1.0, 0.5])
    assert np.isnan(many.negative[2])
    positive, negative = quality.parts(values)
    np.testing.assert_array_equal(positive - negative, values)
    assert positive.min() == negative.min() == 0
    assert quality.spread(np.array([[1.0, 1.0], [5.0, 5.0]])) == 0
    assert quality.spread(np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(1.0)
    assert quality.spread(np.ones((3, 4, 2))).shape == (4,)
    with pytest.raises(InputError, match="at least two"):
        quality.spread(np.ones((1, 2)))
    with pytest.raises(InputError, match="bool of the values' last axes"):
        quality.shares_on(values, ink[:1])


def test_curves_of_a_game_without_pictures():
    """Curves evaluate masks only, so any game works."""
    game = SimpleNamespace(n_players=70, outputs=("size",))

    class Sizes:
        n_players, outputs = game.n_players, game.outputs

        def __call__(self, masks):
            return as_membership(masks, 70).sum(axis=1, keepdims=True).astype(float)

    found = quality.curves(Sizes(), np.arange(70.0))
    np.testing.assert_array_equal(found.insertion[:, 0], np.arange(71))
    np.testing.assert_array_equal(found.deletion[:, 0], np.arange(70, -1, -1))
