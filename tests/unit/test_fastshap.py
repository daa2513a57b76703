"""Compares FastSHAP with its loss in slow code, and with games of known Shapley values."""

import itertools
from math import comb

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.models import fastshap
from pipeline.models.fastshap import Explainer, explain, from_state, kernel_coalitions, train

WEIGHTS = torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 1.0], [3.0, 0.7]])


pytestmark = pytest.mark.usefixtures("one_thread")


def additive(features):
    return features.tanh() @ WEIGHTS.to(features) + 0.3


def interacting(features):
    return additive(features) + features[:, [0]] * features[:, [1]]


def data(rows=200, dtype=torch.float32):
    torch.manual_seed(3)
    return 2 * torch.randn(rows, 4, dtype=dtype) + 1, torch.randn(4, dtype=dtype)


def difference(found, expected):
    return float((found - expected).abs().sum() / expected.abs().sum())


def test_it_converges_to_the_values_of_an_additive_model():
    features, references = data(600)
    train_rows, test_rows = features[:500], features[500:]
    given = {"hidden": 64, "seed": 0, "learning_rate": 1e-2}
    explainer = train(additive, train_rows, references, 2, steps=1500, **given)
    found = explain(explainer, additive, test_rows, references).values
    expected = (test_rows.tanh() - references.tanh())[:, :, None] * WEIGHTS
    untrained = train(additive, train_rows, references, 2, steps=0, **given)
    first = explain(untrained, additive, test_rows, references).values
    assert difference(found, expected) < 0.05 < 0.3 < difference(first, expected)


def test_it_nears_the_values_of_an_interaction():
    features, references = data(600)
    given = {"hidden": 64, "seed": 0, "learning_rate": 1e-2}
    explainer = train(interacting, features, references, 2, steps=1500, **given)
    found = explain(explainer, interacting, features, references).values
    expected = (features.tanh() - references.tanh())[:, :, None] * WEIGHTS
    (x, y), (r, s) = features.T[:2], references[:2]
    # φ of a product of two: the contribution of each, averaged with and without the other.
    expected[:, 0] += ((x - r) * (y + s) / 2)[:, None]
    expected[:, 1] += ((y - s) * (x + r) / 2)[:, None]
    assert difference(found, expected) < 0.1


@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("steps", [0, 20])
def test_efficiency(dtype, within, steps):
    features, references = data(dtype=dtype)
    explainer = train(interacting, features, references, 2, steps=steps, hidden=8, seed=0)
    found = explain(explainer, interacting, features, references)
    assert found.values.shape == (200, 4, 2)
    assert found.values.dtype == dtype
    torch.testing.assert_close(found.scores, interacting(features), rtol=0, atol=0)
    total = found.scores - interacting(references[None])
    torch.testing.assert_close(found.values.sum(dim=1), total, rtol=within, atol=within)


def test_normalisation_is_additive():
    values, total = torch.randn(5, 3, 2), torch.randn(5, 2)
    found = fastshap.normalised(values, total)
    for sample, output in itertools.product(range(5), range(2)):
        missing = total[sample, output] - values[sample, :, output].sum()
        torch.testing.assert_close(
            found[sample, :, output], values[sample, :, output] + missing / 3
        )


def test_same_seed_same_values():
    features, references = data()
    found = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        explainer = train(additive, features, references, 2, steps=10, hidden=8, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        found.append(explain(explainer, additive, features, references).values)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_loss_is_as_coalition_after_coalition_says():
    features, references = data(5, torch.float64)
    members = kernel_coalitions(10, 4, torch.Generator().manual_seed(0)).unflatten(0, (5, 4))
    values = torch.randn(5, 4, 2, dtype=torch.float64)
    gains = torch.zeros(5, 4, 2, dtype=torch.float64)
    errors = []
    for sample, coalition in itertools.product(range(5), range(4)):
        some = np.flatnonzero(members[sample, coalition].numpy())
        row = references.clone()
        for player in some:
            row[player] = features[sample, player]
        gain = interacting(row[None])[0] - interacting(references[None])[0]
        gains[sample, coalition] = gain
        for output in range(2):
            told = sum(float(values[sample, player, output]) for player in some)
            errors.append((float(gain[output]) - told) ** 2)
    found = fastshap.loss_of(values, members, gains)
    assert found.item() == pytest.approx(np.mean(errors), rel=1e-12)


def test_training_evaluates_pairs_of_coalitions():
    """Each step evaluates this many rows, with references in place of absent features."""
    features, references = data(6, torch.float64)
    seen = []

    def network(rows):
        seen.append(rows)
        return interacting(rows)

    train(network, features, references, 2, steps=3, hidden=4, seed=0, batch=4, coalitions=6)
    everything, nothing, *steps = seen
    assert torch.equal(everything, features)
    assert torch.equal(nothing, references[None])
    assert [len(rows) for rows in steps] == [4 * 6] * 3
    for rows in steps:
        per_sample = rows.unflatten(0, (4, 3, 2))
        for sample in per_sample:
            present = sample != references
            assert (present[:, 0] ^ present[:, 1]).all()
            own = sample[:, 0] + sample[:, 1] - references
            (match,) = (f for f in features if torch.allclose(f, own[0]))
            torch.testing.assert_close(own, match.expand(3, -1))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_coalitions_have_the_kernels_probabilities(n):
    found = kernel_coalitions(20000, n, torch.Generator().manual_seed(n)).numpy()
    assert found.shape == (40000, n)
    np.testing.assert_array_equal(found[0::2], ~found[1::2])
    kernel = {
        some: (n - 1) / (comb(n, size) * size * (n - size))
        for size in range(1, n)
        for some in itertools.combinations(range(n), size)
    }
    total = sum(kernel.values())
    numbers = found[0::2] @ (1 << np.arange(n))
    for some, weight in kernel.items():
        share = weight / total
        count = (numbers == sum(1 << p for p in some)).sum()
        assert abs(count - 20000 * share) < 5 * (20000 * share * (1 - share)) ** 0.5 + 1e-9


def test_the_shapley_values_are_the_least_loss_over_the_kernel():
    """All coalitions of four features, weighted by the kernel: least squares under efficiency."""
    features, references = data(1, torch.float64)
    members = np.array([m for m in itertools.product([0, 1], repeat=4) if 0 < sum(m) < 4])
    weights = np.array([1 / (comb(4, k) * k * (4 - k)) for k in members.sum(axis=1)])
    rows = torch.where(torch.tensor(members) == 1, features, references)
    empty = interacting(references[None])
    gains = (interacting(rows) - empty).numpy()
    total = (interacting(features) - empty)[0].numpy()
    # φ₄ = total − the others, put into the least squares.
    left = (members[:, :3] - members[:, 3:]) * weights[:, None] ** 0.5
    right = (gains - members[:, 3:] * total) * weights[:, None] ** 0.5
    three = np.linalg.lstsq(left, right, rcond=None)[0]
    expected = ((features.tanh() - references.tanh())[0, :, None] * WEIGHTS).numpy()
    (x, y), (r, s) = features[0, :2], references[:2]
    expected[0] += float((x - r) * (y + s) / 2)
    expected[1] += float((y - s) * (x + r) / 2)
    np.testing.assert_allclose(three, expected[:3], atol=1e-10)


def test_a_single_feature_gets_the_whole_difference():
    features = torch.randn(20, 1)
    explainer = train(torch.sin, features, torch.zeros(1), 1, steps=3, hidden=4, seed=0)
    found = explain(explainer, torch.sin, features, torch.zeros(1))
    torch.testing.assert_close(found.values[:, 0], features.sin())


def test_the_network_is_left_as_it_is():
    features, references = data()
    network = nn.Linear(4, 2)
    before = [p.clone() for p in network.parameters()]
    train(network, features, references, 2, steps=3, hidden=4, seed=0)
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is None
        assert parameter.requires_grad


def test_a_constant_feature_and_few_rows_can_be_trained_on():
    features, references = data(5)
    features[:, 2] = 4
    explainer = train(additive, features, references, 2, steps=5, hidden=4, seed=0)
    assert not explainer.training
    assert torch.isfinite(explain(explainer, additive, features, references).values).all()


def test_a_state_holds_the_structure(tmp_path):
    for dtype in (torch.float32, torch.float64):
        features, references = data(dtype=dtype)
        explainer = train(additive, features, references, 2, steps=3, hidden=8, seed=0)
        torch.save(explainer.state_dict(), tmp_path / "state.pt")
        again = from_state(torch.load(tmp_path / "state.pt", weights_only=True))
        found, expected = (explain(e, additive, features, references) for e in (again, explainer))
        assert torch.equal(found.values, expected.values)
    with pytest.raises(InputError, match="no state of a FastSHAP explainer"):
        from_state({"mean": torch.zeros(3)})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": torch.zeros(4)}, r"features of shape \(4,\)"),
        ({"features": torch.zeros(0, 4)}, r"features of shape \(0, 4\)"),
        ({"features": torch.full((3, 4), np.nan)}, "features hold NaN or Inf"),
        ({"references": torch.zeros(3)}, "4 numbers needed"),
        ({"references": torch.full((4,), np.inf)}, "4 numbers needed"),
        ({"n_outputs": 3}, r"outputs of shape \(200, 2\): \(200, 3\)"),
        ({"hidden": 0}, "at least one of each is needed"),
        ({"steps": -1}, "-1 steps"),
        ({"batch": 0}, "of 0 samples"),
        ({"coalitions": 3}, "3 coalitions per sample: an even number"),
        ({"coalitions": 0}, "an even number"),
        ({"learning_rate": 0.0}, "must be a number above 0"),
        ({"network": lambda x: additive(x) * np.nan}, "outputs hold NaN or Inf"),
        ({"learning_rate": 1e30, "steps": 4}, "the loss became"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    features, references = data()
    given = {"network": additive, "features": features, "references": references}
    given |= {"n_outputs": 2, "steps": 2, "hidden": 4, "seed": 0}
    with pytest.raises(InputError, match=message):
        train(**given | changed)


def test_an_explainer_refuses_other_shapes():
    explainer = Explainer(4, 2, 8)
    rows, scores, empty = torch.zeros(5, 4), torch.zeros(5, 2), torch.zeros(2)
    with pytest.raises(InputError, match=r"\(sample, 4\) are needed"):
        explainer(torch.zeros(5, 3), scores, empty)
    with pytest.raises(InputError, match=r"\(5, 2\) and \(2,\) are needed"):
        explainer(rows, torch.zeros(4, 2), empty)
    with pytest.raises(InputError, match=r"\(5, 2\) and \(2,\) are needed"):
        explainer(rows, scores, torch.zeros(1, 2))
    with pytest.raises(InputError, match="4 numbers needed of each"):
        Explainer(4, 2, 8, mean=torch.zeros(3))
