from functools import cache

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import InputError
from pipeline.shapley import shapley_values
from pipeline.shapley.coalitions import to_bool
from pipeline.shapley.games import counted, table_game
from pipeline.studies.baselines.replace import table_fit
from pipeline.studies.baselines.surrogate import (
    Surrogate,
    SurrogateNetwork,
    membership_of,
    train_surrogate,
)
from pipeline.studies.baselines.utilities import UTILITIES, Rule, Utility, complete_table


def utility_by_sets(utility, mask):
    """The definition: the sum of the rules whose players, and one of each group, are present."""
    present = {i for i in range(utility.n_players) if mask >> i & 1}
    total = 0.0
    for rule in utility.rules:
        has_all = all(player in present for player in rule.all_of)
        has_one_each = all(any(player in present for player in g) for g in rule.any_of)
        if has_all and has_one_each:
            total += rule.pays
    return total


@cache
def table(name):
    return complete_table(UTILITIES[name])


@cache
def exact(name):
    return shapley_values(table(name))[:, 0]


def effective_part(name):
    """The share of each player's marginal contributions that are nonzero."""
    values, n = table(name)[:, 0], UTILITIES[name].n_players
    masks = np.arange(2**n)
    parts = []
    for player in range(n):
        without = masks[masks >> player & 1 == 0]
        parts.append(np.mean(values[without | 1 << player] != values[without]))
    return np.array(parts)


@st.composite
def utilities(draw):
    n = draw(st.integers(1, 6))
    players = st.lists(st.integers(0, n - 1), max_size=3).map(tuple)
    groups = st.lists(players.filter(len), max_size=2).map(tuple)
    rule = st.builds(Rule, st.integers(-5, 5).map(float), players, groups)
    return Utility(n, tuple(draw(st.lists(rule, max_size=4))))


@given(utilities())
@settings(max_examples=60, deadline=None)
def test_utilities_agree_with_the_definition(utility):
    values = complete_table(utility)
    assert values.shape == (2**utility.n_players, 1)
    assert values[:, 0].tolist() == [utility_by_sets(utility, m) for m in range(len(values))]


@pytest.mark.parametrize("name", UTILITIES)
def test_the_four_games_agree_with_the_definition(name):
    utility = UTILITIES[name]
    masks = np.random.default_rng(0).integers(2**utility.n_players, size=500).astype(np.uint64)
    masks[:2] = 0, 2**utility.n_players - 1
    expected = [utility_by_sets(utility, int(mask)) for mask in masks]
    assert utility(masks)[:, 0].tolist() == expected
    assert utility(masks).dtype == np.float64
    assert table(name)[masks.astype(int), 0].tolist() == expected
    assert counted(utility)(masks)[:, 0].tolist() == expected
    assert name.endswith(f"_{utility.n_players}")


@pytest.mark.parametrize("name", ["synergies_12", "synergies_20"])
def test_synergies_are_shared_equally(name):
    """A unanimity game's payment is divided equally among its players, and values add up."""
    expected = np.zeros(UTILITIES[name].n_players)
    for rule in UTILITIES[name].rules:
        assert not rule.any_of
        expected[list(rule.all_of)] += rule.pays / len(rule.all_of)
    np.testing.assert_allclose(exact(name), expected, atol=1e-9)


def test_values_of_rules_agree_with_the_definition():
    values = table("rules_12")
    expected = oracle.shapley_values(lambda players: values[oracle.mask_of(players)], 12)
    np.testing.assert_allclose(exact("rules_12"), expected[:, 0], atol=1e-9)


@pytest.mark.parametrize("name", UTILITIES)
def test_the_last_player_is_null_and_players_2_and_3_are_symmetric(name):
    values, n = table(name)[:, 0], UTILITIES[name].n_players
    masks = np.arange(2**n)
    np.testing.assert_array_equal(values, values[masks & ~(1 << n - 1)])
    swapped = masks & ~0b1100 | (masks >> 2 & 1) << 3 | (masks >> 3 & 1) << 2
    np.testing.assert_array_equal(values, values[swapped])
    assert exact(name)[-1] == pytest.approx(0, abs=1e-12)
    assert exact(name)[2] == pytest.approx(exact(name)[3], abs=1e-9)
    assert (np.abs(np.delete(exact(name), -1)) > 0.05).all()


@pytest.mark.parametrize("name", UTILITIES)
def test_the_kinds_differ_in_how_many_coalitions_are_effective(name):
    parts = effective_part(name)
    if name.startswith("rules"):
        assert parts.mean() < 0.4 and parts.max() < 0.6
    else:
        assert parts[:-1].mean() > 0.95 and parts.min() == parts[-1] == 0


def test_no_coalition_and_64_players():
    last = Utility(64, (Rule(2.0, all_of=(63,)), Rule(1.0, any_of=((0, 63),))))
    masks = np.array([0, 1, 1 << 63, (1 << 64) - 1], dtype=np.uint64)
    assert last(masks)[:, 0].tolist() == [0, 1, 3, 3]
    assert last(masks[:0]).shape == (0, 1)
    with pytest.raises(InputError, match="64 players"):
        complete_table(last)


@pytest.mark.parametrize(
    ("n", "rule", "message"),
    [
        (0, None, "0 players"),
        (65, None, "65 players"),
        (3, Rule(1.0, all_of=(3,)), "0 to 2"),
        (3, Rule(1.0, any_of=((0, -1),)), "0 to 2"),
        (3, Rule(1.0, any_of=((0,), ())), "empty group"),
    ],
)
def test_unusable_rules_are_refused(n, rule, message):
    with pytest.raises(InputError, match=message):
        Utility(n, () if rule is None else (rule,))


# Surrogates


@pytest.fixture(scope="module")
def trained():
    return train_surrogate(UTILITIES["rules_12"], share=0.5, seed=3, steps=500, batch_size=256)


def fit_of(surrogate, utility):
    masks = np.arange(2**surrogate.n_players, dtype=np.uint64)
    return table_fit(surrogate(masks), utility(masks), surrogate.trained_on)


def test_a_surrogate_predicts_coalitions_that_it_was_not_trained_on(trained):
    quality = fit_of(trained, UTILITIES["rules_12"])
    assert len(trained.trained_on) == len(np.unique(trained.trained_on)) == 2048
    assert quality.n_coalitions == 2048
    assert quality.r_squared > 0.95
    assert quality.mean_absolute_error < 0.2 * table("rules_12").std()
    assert quality.mean_absolute_error <= quality.largest_error


def test_the_fit_is_that_of_the_other_coalitions(trained):
    rest = np.setdiff1d(np.arange(2**12), trained.trained_on.astype(int)).astype(np.uint64)
    truth, given_values = UTILITIES["rules_12"](rest), trained(rest)
    quality = fit_of(trained, UTILITIES["rules_12"])
    squares = ((given_values - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert quality.r_squared == pytest.approx(1 - squares)
    assert quality.largest_error == pytest.approx(np.abs(given_values - truth).max())
    assert quality.mean_absolute_error == pytest.approx(np.abs(given_values - truth).mean())
    assert quality.n_coalitions == len(rest)


def test_training_is_repeatable_and_leaves_the_global_seed_alone():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    masks = np.arange(2**12, dtype=np.uint64)
    first, again, other = (
        train_surrogate(UTILITIES["synergies_12"], share=0.4, seed=seed, steps=20)
        for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(first(masks), again(masks))
    np.testing.assert_array_equal(first.trained_on, again.trained_on)
    assert len(first.trained_on) == round(0.4 * 2**12)
    assert not np.array_equal(first.trained_on, other.trained_on)
    assert not np.array_equal(first(masks), other(masks))


def test_a_surrogate_is_a_game_and_differentiable(trained):
    masks = np.arange(2**12, dtype=np.uint64)
    values = trained(masks)
    assert values.shape == (2**12, 1)
    np.testing.assert_array_equal(counted(trained)(masks[5:9]), trained(masks[5:9]))
    assert trained(masks[:0]).shape == (0, 1)
    # Between 0 and 1, too, a derivative is the gain of a small step.
    network = SurrogateNetwork(12, 64).double()
    network.load_state_dict(trained.network.state_dict())
    x = torch.rand(4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    step = torch.zeros(12, dtype=torch.float64)
    step[4] = 1e-6
    with torch.no_grad():
        gained = (network(x + step) - network(x - step))[:, 0] / 2e-6
    torch.testing.assert_close(gradient[:, 4], gained, rtol=1e-5, atol=1e-6)
    assert gradient.abs().max() > 0.01


def test_membership_is_that_of_the_masks():
    masks = np.array([0b101, 0b010], dtype=np.uint64)
    assert membership_of(masks, 3).tolist() == to_bool(masks, 3).astype(float).tolist()


def test_one_player_and_a_constant_game_can_be_learnt():
    one = train_surrogate(table_game(np.array([1.0, 4.0])), share=1, steps=200, hidden=8)
    assert isinstance(one, Surrogate)
    np.testing.assert_allclose(one(np.arange(2, dtype=np.uint64))[:, 0], [1, 4], atol=0.05)
    constant = table_game(np.full(8, 2.5))
    flat = train_surrogate(constant, share=0.5, steps=50, hidden=8)
    np.testing.assert_allclose(flat(np.arange(8, dtype=np.uint64)), 2.5, atol=0.2)
    assert np.isnan(fit_of(flat, constant).r_squared)
    assert fit_of(one, table_game(np.array([1.0, 4.0]))) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 0}, "share 0"),
        ({"share": 1.5}, "share 1.5"),
        ({"share": 0.5, "steps": 0}, "steps 0"),
        ({"share": 0.5, "hidden": 0}, "hidden 0"),
        ({"share": 0.5, "learning_rate": -1.0}, "learning_rate -1"),
    ],
)
def test_unusable_trainings_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        train_surrogate(UTILITIES["rules_12"], **arguments)
    with pytest.raises(InputError, match="NaN or Inf"):
        train_surrogate(table_game(np.array([0, np.nan])), share=1)
