"""Compares Integrated Gradients with Riemann sums, closed forms, captum and loops."""

from itertools import pairwise, product
from math import comb

import numpy as np
import oracle
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from pipeline.core.errors import InputError
from pipeline.shapley import shapley_values
from pipeline.shapley.games import masks_of
from pipeline.studies.baselines.areas import masked_pictures, picture_game, square_areas
from pipeline.studies.baselines.integrated import (
    baseline_pictures,
    integrated_gradients,
    quadrature,
    shapley_integrated_gradients,
)

SHAPE = (2, 4, 4)
AREAS = square_areas(4, 4, 2)


class Smooth(nn.Module):
    """(batch, 2, 4, 4) → (batch, 3), float64, without kinks."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.linear = nn.Linear(64, 3)
        self.double()
        self.calls = []

    def forward(self, pictures):
        self.calls.append(len(pictures))
        return self.linear(torch.tanh(self.conv(pictures)).flatten(start_dim=1))


@pytest.fixture
def model():
    return Smooth().eval()


def pictures(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, *SHAPE), generator=generator, dtype=torch.float64)


def riemann(model, start, end, target, points=400):
    """Eq. 3 as a sum over equal steps, one gradient at a time."""
    total = torch.zeros(SHAPE, dtype=torch.float64)
    for k in range(points):
        at = (start + (k + 0.5) / points * (end - start)).clone().requires_grad_()
        model(at[None])[0, target].backward()
        total += at.grad / points
    return (end - start) * total


def slow_mask(picture, absent, players):
    shown = absent.clone()
    for c, y, x in np.ndindex(SHAPE):
        if AREAS[y, x] in players:
            shown[c, y, x] = picture[c, y, x]
    return shown


def slow_sig(model, picture, absent, sampled, proposal, counted, target):
    """Algorithm 2 by loops: one coalition of one player after the other."""

    def from_to(players):
        shown = slow_mask(picture, absent, players)
        return (shown, picture) if proposal == "baselines" else (absent, shown)

    by_player = []
    for i, coalitions in enumerate(sampled):
        values = []
        for players in coalitions:
            used = players
            if proposal == "inputs" and counted == "own":
                used = (*players, i)
            values.append(riemann(model, *from_to(used), target, points=120))
        by_player.append(values)
    if counted == "all":
        every = [value for values in by_player for value in values]
        return sum(every) / len(every)
    result = torch.zeros(SHAPE, dtype=torch.float64)
    for c, y, x in np.ndindex(SHAPE):
        own = by_player[AREAS[y, x]]
        result[c, y, x] = sum(v[c, y, x] for v in own) / len(own) if own else 0.0
    return result


SAMPLED = [[(), (1,), (1, 2, 3)], [(0,), (0,), (2, 3)], [], [(1,)]]


def as_masks(sampled, n=4):
    rows = [np.array([[i in s for i in range(n)] for s in each], bool) for each in sampled]
    return [masks_of(each.reshape(-1, n)) for each in rows]


@pytest.mark.parametrize("n_baselines", [1, 3])
@pytest.mark.parametrize("rule", ["gauss-legendre", "midpoint"])
def test_ig_is_the_mean_of_integrals_over_baselines(model, n_baselines, rule):
    picture, *baselines = pictures(1 + n_baselines)
    baselines = torch.stack(baselines)
    expected = sum(riemann(model, each, picture, 2) for each in baselines) / n_baselines
    steps = 20 if rule == "gauss-legendre" else 400
    found = integrated_gradients(model, picture, baselines, target=2, steps=steps, rule=rule)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    with torch.no_grad():
        gained = model(picture[None])[0, 2] - model(baselines)[:, 2].mean()
    assert float(found.values.sum()) == pytest.approx(float(gained), abs=1e-6)
    assert found.largest_gap < 1e-6
    assert (found.lines, found.gradient_evaluations) == (n_baselines, n_baselines * steps)


def test_ig_of_a_linear_model_in_closed_form():
    weight = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    picture, baseline = pictures(2)
    for steps in (1, 2, 7):
        found = integrated_gradients(
            lambda x: (x * weight).sum(dim=(1, 2, 3)), picture, baseline[None], steps=steps
        )
        np.testing.assert_allclose(found.values, weight * (picture - baseline), atol=1e-12)
        assert found.largest_gap < 1e-12


def test_ig_agrees_with_captum(model):
    picture, baseline = pictures(2)
    expected = IntegratedGradients(model).attribute(
        picture[None], baselines=baseline[None], target=1, n_steps=10, method="gausslegendre"
    )
    found = integrated_gradients(model, picture, baseline[None], target=1, steps=10)
    np.testing.assert_allclose(found.values, expected[0].detach(), atol=1e-7)


@pytest.mark.parametrize("counted", ["all", "own"])
@pytest.mark.parametrize("proposal", ["baselines", "inputs"])
@pytest.mark.parametrize("kind", ["zero", "picture"])
def test_sig_is_algorithm_2(model, counted, proposal, kind):
    picture, other = pictures(2)
    absent = torch.zeros_like(picture) if kind == "zero" else other
    expected = slow_sig(model, picture, absent, SAMPLED, proposal, counted, 1)
    found = shapley_integrated_gradients(
        model,
        picture,
        AREAS,
        as_masks(SAMPLED),
        baseline=None if kind == "zero" else other,
        proposal=proposal,
        counted=counted,
        target=1,
        steps=12,
    )
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    by_area = [
        sum(float(expected[c, y, x]) for c, y, x in np.ndindex(SHAPE) if AREAS[y, x] == i)
        for i in range(4)
    ]
    np.testing.assert_allclose(found.per_player(AREAS), by_area, atol=1e-5)
    used = {
        frozenset((*s, i) if (proposal, counted) == ("inputs", "own") else s)
        for i, each in enumerate(SAMPLED)
        for s in each
    }
    idle = frozenset() if proposal == "inputs" else frozenset(range(4))
    assert found.lines == len(used - {idle})
    assert found.gradient_evaluations == 12 * found.lines
    assert found.largest_gap < 1e-6


@pytest.mark.parametrize("counted", ["all", "own"])
def test_both_proposals_together_are_their_sum(model, counted):
    (picture,) = pictures(1)
    one, two, both = (
        shapley_integrated_gradients(
            model, picture, AREAS, as_masks(SAMPLED), proposal=p, counted=counted, steps=12
        )
        for p in ("baselines", "inputs", "both")
    )
    np.testing.assert_allclose(both.values, one.values + two.values, atol=1e-12)
    assert both.gradient_evaluations == one.gradient_evaluations + two.gradient_evaluations
    if counted == "all":
        with torch.no_grad():
            gained = model(picture[None]) - model(torch.zeros_like(picture)[None])
        assert float(both.values.sum()) == pytest.approx(float(gained[0, 0]), abs=1e-8)


def test_own_coalitions_give_shapley_values_where_lines_are_straight():
    """Theorem 3's hypothesis holds in an additive model: any coalitions give the exact values."""
    weight = pictures(1, seed=5)[0] - 0.5

    def scores(x):
        return (x * weight).sum(dim=(1, 2, 3))

    (picture,) = pictures(1)
    game = picture_game(scores, picture, AREAS)
    exact = shapley_values(game(np.arange(16, dtype=np.uint64)))[:, 0]
    sampled = as_masks([[(1,), (2, 3)], [()], [(0, 1, 3)], [(0,), (1,), (0, 1, 2)]])
    for proposal in ("baselines", "inputs"):
        found = shapley_integrated_gradients(
            scores, picture, AREAS, sampled, counted="own", proposal=proposal, steps=1
        )
        np.testing.assert_allclose(found.per_player(AREAS), exact, atol=1e-12)
    everyone = [tuple(j for j in range(4) if j != i) for i in range(4)]
    brute = oracle.shapley_values(
        lambda players: float(scores(slow_mask(picture, torch.zeros(SHAPE), players)[None])), 4
    )
    found = shapley_integrated_gradients(
        scores, picture, AREAS, as_masks([[s] for s in everyone]), counted="own"
    )
    np.testing.assert_allclose(found.per_player(AREAS), brute, atol=1e-12)


def test_the_batch_size_changes_nothing(model):
    picture, *baselines = pictures(4)
    plain, sig = [], []
    for batch_size in (1, 2, 5, 7, 12, 1000):
        plain.append(
            integrated_gradients(
                model, picture, torch.stack(baselines), steps=6, batch_size=batch_size
            )
        )
        model.calls.clear()
        for proposal, counted in product(("baselines", "both"), ("all", "own")):
            sig.append(
                shapley_integrated_gradients(
                    model,
                    picture,
                    AREAS,
                    as_masks(SAMPLED),
                    proposal=proposal,
                    counted=counted,
                    steps=5,
                    batch_size=batch_size,
                )
            )
        assert max(model.calls) <= batch_size
    for found in plain[1:]:
        np.testing.assert_allclose(found.values, plain[0].values, atol=1e-13)
    for k, found in enumerate(sig):
        np.testing.assert_allclose(found.values, sig[k % 4].values, atol=1e-13)
        assert found.lines == sig[k % 4].lines


def test_one_area_is_plain_ig_from_the_baseline(model):
    (picture,) = pictures(1)
    areas = square_areas(4, 4, 4)
    plain = integrated_gradients(model, picture, torch.zeros_like(picture)[None], steps=9)
    for counted in ("all", "own"):
        found = shapley_integrated_gradients(
            model, picture, areas, [np.zeros(3, np.uint64)], counted=counted, steps=9
        )
        np.testing.assert_allclose(found.values, plain.values, atol=1e-13)
        assert found.lines == 1


def test_without_coalitions_all_values_are_zero(model):
    (picture,) = pictures(1)
    none = [np.zeros(0, np.uint64)] * 4
    for proposal, counted in product(("baselines", "inputs", "both"), ("all", "own")):
        found = shapley_integrated_gradients(
            model, picture, AREAS, none, proposal=proposal, counted=counted
        )
        assert not found.values.any()
        assert (found.lines, found.gradient_evaluations, found.largest_gap) == (0, 0, 0.0)


def test_more_than_64_features_can_be_players(model):
    """96 features of a line of pixels, each a player: packed masks."""
    rng = np.random.default_rng(0)
    picture = torch.from_numpy(rng.random(96))
    weight = torch.from_numpy(rng.normal(size=96))
    held = rng.random((96, 3, 96)) < 0.5
    held[np.arange(96), :, np.arange(96)] = False
    found = shapley_integrated_gradients(
        lambda x: x @ weight,
        picture,
        np.arange(96),
        [masks_of(each) for each in held],
        counted="own",
        steps=1,
        batch_size=50,
    )
    np.testing.assert_allclose(found.values, picture * weight, atol=1e-12)
    pooled = shapley_integrated_gradients(
        lambda x: x @ weight, picture, np.arange(96), [masks_of(each) for each in held], steps=1
    )
    left_out = 1 - held.reshape(-1, 96).mean(axis=0)
    expected = (picture * weight).numpy() * left_out
    np.testing.assert_allclose(pooled.values, expected, atol=1e-12)


def test_baseline_pictures():
    some = pictures(5).float()
    assert not baseline_pictures("zero", some).any()
    assert baseline_pictures("zero", some).shape == (1, *SHAPE)
    mean = baseline_pictures("mean", some)
    np.testing.assert_allclose(mean[0], some.double().mean(dim=0), atol=1e-7)
    assert mean.dtype == torch.float32
    drawn = baseline_pictures("random", some, count=4, seed=3)
    rows = [next(i for i in range(5) if torch.equal(some[i], each)) for each in drawn]
    assert len(set(rows)) == 4
    assert torch.equal(drawn, baseline_pictures("random", some, count=4, seed=3))
    assert sorted(baseline_pictures("random", some, count=5).sum(dim=(1, 2, 3)).tolist()) == (
        sorted(some.sum(dim=(1, 2, 3)).tolist())
    )


def test_quadrature_integrates_polynomials():
    for steps in (1, 2, 5, 20):
        points, weights = quadrature("gauss-legendre", steps)
        for degree in range(2 * steps):
            assert weights @ points**degree == pytest.approx(1 / (degree + 1))
        points, weights = quadrature("midpoint", steps)
        np.testing.assert_allclose(points, [(2 * k + 1) / (2 * steps) for k in range(steps)])
        assert weights.sum() == pytest.approx(1)


def test_gradients_inside_no_grad_and_weights_left_alone(model):
    (picture,) = pictures(1)
    with torch.no_grad():
        found = integrated_gradients(model, picture, torch.zeros(1, *SHAPE), steps=3)
    assert found.values.any()
    assert not found.values.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_float32_models_are_summed_in_float64(model):
    picture, *baselines = pictures(4)
    expected = integrated_gradients(model, picture, torch.stack(baselines), steps=8)
    single = Smooth().float().eval()
    found = integrated_gradients(single, picture.float(), torch.stack(baselines).float(), steps=8)
    assert found.values.dtype == torch.float64
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6)


def test_bad_input_is_refused(model):
    (picture,) = pictures(1)
    zero = torch.zeros(1, *SHAPE, dtype=torch.float64)
    masks = as_masks(SAMPLED)

    def sig(sampled=masks, **others):
        return shapley_integrated_gradients(model, picture, AREAS, sampled, **others)

    with pytest.raises(InputError, match="steps 0"):
        integrated_gradients(model, picture, zero, steps=0)
    with pytest.raises(InputError, match="batch size 0"):
        integrated_gradients(model, picture, zero, batch_size=0)
    with pytest.raises(InputError, match="quadrature 'simpson'"):
        integrated_gradients(model, picture, zero, rule="simpson")
    with pytest.raises(InputError, match="output 3 does not exist; the model has outputs 0 to 2"):
        integrated_gradients(model, picture, zero, target=3)
    with pytest.raises(InputError, match="output -1"):
        sig([np.zeros(0, np.uint64)] * 4, target=-1)
    with pytest.raises(InputError, match="baselines of shape"):
        integrated_gradients(model, picture, zero[0])
    with pytest.raises(InputError, match="baselines of shape"):
        integrated_gradients(model, picture, zero[:0])
    with pytest.raises(InputError, match="the baselines hold NaN"):
        integrated_gradients(model, picture, zero / 0)
    with pytest.raises(InputError, match="the picture holds NaN"):
        integrated_gradients(model, picture / 0, zero)
    with pytest.raises(InputError, match="floats"):
        integrated_gradients(model, picture.long(), zero)
    with pytest.raises(InputError, match="does not depend on the picture"):
        integrated_gradients(lambda x: torch.ones(len(x)), picture, zero)
    with pytest.raises(InputError, match="sampled for 3 players; there are 4"):
        sig(masks[:3])
    with pytest.raises(
        InputError, match="coalition 1 of those sampled for player 2 holds that player"
    ):
        sig([*masks[:2], np.array([1, 4], np.uint64), masks[3]])
    with pytest.raises(InputError, match="0x10 holds a player beyond"):
        sig([*masks[:3], np.array([16], np.uint64)])
    with pytest.raises(InputError, match="proposal 'third'"):
        sig(proposal="third")
    with pytest.raises(InputError, match="counted 'none'"):
        sig(counted="none")
    with pytest.raises(InputError, match="baseline of shape"):
        sig(baseline=torch.zeros(3))
    with pytest.raises(InputError, match="baseline 'blur'"):
        baseline_pictures("blur", pictures(2))
    with pytest.raises(InputError, match="random baselines 3"):
        baseline_pictures("random", pictures(2), count=3)
    with pytest.raises(InputError, match="at least one picture"):
        baseline_pictures("zero", pictures(2)[:0])


def test_masks_and_pictures_go_together():
    (picture,) = pictures(1)
    membership = np.array([[True, False, False, True]])
    shown = masked_pictures(picture, torch.zeros(()), AREAS, membership)[0]
    assert torch.equal(shown, slow_mask(picture, torch.zeros_like(picture), (0, 3)))


# Theorem 1, with Eqs. 2 and 4 and Fig. 1


def score(points):
    """A smooth game on two features: (point, 2) → (point,)."""
    first, second = points[:, 0], points[:, 1]
    return torch.sin(3 * first) + first * second**2 + torch.exp(-second)


START, END = torch.tensor([[0.2, -0.4], [1.1, 0.9]], dtype=torch.float64)


def of_pieces(count):
    """Shapley values of two features, each cut into so many equal pieces that are players.

    Any order of the pieces walks from START to END over a grid. After a and b pieces of either
    feature, which happens in C(m, a) C(m, b) of the C(2 m, a + b) sets of that size, the next
    one is of the first feature with probability (m − a) / (2 m − a − b).
    """
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    grid = torch.cartesian_prod(steps, steps)
    values = score(START + grid * (END - START)).reshape(count + 1, count + 1)
    shares = [0.0, 0.0]
    for a, b in product(range(count + 1), repeat=2):
        if a == b == count:
            continue
        visited = comb(count, a) * comb(count, b) / comb(2 * count, a + b)
        for feature, (left, to) in enumerate(((a, (a + 1, b)), (b, (a, b + 1)))):
            if left < count:
                gain = float(values[to] - values[a, b])
                shares[feature] += visited * (count - left) / (2 * count - a - b) * gain
    return np.array(shares)


def test_with_whole_features_for_players_the_shapley_value_is_eq_4():
    (r_1, r_2), (s_1, s_2) = START.tolist(), END.tolist()

    def v(*point):
        return float(score(torch.tensor([point], dtype=torch.float64)))

    of_second = (v(r_1, s_2) - v(r_1, r_2)) / 2 + (v(s_1, s_2) - v(s_1, r_2)) / 2
    table = np.array([v(r_1, r_2), v(s_1, r_2), v(r_1, s_2), v(s_1, s_2)])[:, None]
    assert of_pieces(1)[1] == pytest.approx(of_second)
    np.testing.assert_allclose(of_pieces(1), shapley_values(table)[:, 0])


def test_with_ever_smaller_players_shapley_values_become_integrated_gradients():
    """Theorem 1: the values of Eq. 2 (Aumann and Shapley) are Integrated Gradients. Nearly all
    orders of many small players stay near the straight line, path P_2 of Fig. 1, and the error
    falls as one over their number. With whole features, on path P_1, the error is large."""
    found = integrated_gradients(score, END, START[None], steps=64).values.numpy()
    errors = [np.abs(of_pieces(count) - found).max() for count in (1, 20, 40, 80)]
    assert errors[0] > 0.2
    assert errors[-1] < 0.01
    for coarse, fine in pairwise(errors[1:]):
        assert coarse / fine == pytest.approx(2, abs=0.1)
