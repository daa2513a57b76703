"""Compares Harsanyi networks with slow code, and with Shapley values by brute force."""

import itertools
from math import comb

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.core.errors import InputError
from pipeline.models import harsanyi
from pipeline.models.harsanyi import HarsanyiNet, from_state

NETWORKS = {
    "two layers": (6, 3, 20, 2),
    "one layer": (8, 2, 12, 1),
    "three layers": (7, 4, 16, 3),
    "one feature": (1, 2, 5, 2),
    "two features": (2, 1, 4, 3),
    "one unit": (4, 2, 1, 2),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def made(name, dtype=torch.float64):
    """A network with random references, and features, some of them at their references."""
    torch.manual_seed(1)
    n, *sizes = NETWORKS[name]
    network = HarsanyiNet(n, *sizes, references=torch.randn(n)).to(dtype)
    features = torch.randn(6, n, dtype=dtype)
    features[1, 0] = network.references[0]
    features[2, ::2] = network.references[::2]
    features[3] = network.references
    return network, features


def trained(network, features, steps=60):
    """The network after some training steps, in which gates switch."""
    torch.manual_seed(2)
    targets = torch.randn(len(features), network.last.out_features).to(features)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        loss = functional.mse_loss(network(features), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def exact(network, features):
    """Shapley values of the scores, from all 2ᵈ coalitions: (sample, player, output)."""
    d = features.shape[1]
    members = [frozenset(s) for k in range(d + 1) for s in itertools.combinations(range(d), k)]
    found = np.zeros((len(features), d, network.last.out_features))
    for sample, row in enumerate(features):
        rows = network.references.repeat(len(members), 1)
        for given, some in zip(rows, members, strict=True):
            given[list(some)] = row[list(some)]
        with torch.no_grad():
            value = dict(zip(members, network(rows).double().numpy(), strict=True))
        for some in members:
            for player in set(range(d)) - some:
                gain = value[some | {player}] - value[some]
                found[sample, player] += gain / (d * comb(d - 1, len(some)))
    return found


def by_loops(network, row):
    """Scores, values and fields of one sample: a loop over units and their children."""
    own = [float(x - r) for x, r in zip(row, network.references, strict=True)]
    n = len(own)
    scores = network.last.bias.detach().numpy().copy()
    shares = np.zeros((n, len(scores)))
    below, fields_below, number, all_fields = [], [], 0, []
    for layer in network.layers:
        candidates = below + own
        fields = fields_below + [{i} for i in range(n)]
        below, fields_below = [], []
        for gates, weight in zip(layer.gates, layer.weight.detach(), strict=True):
            children = [i for i, gate in enumerate(gates.tolist()) if gate > 0]
            z = max(0.0, sum(float(weight[i]) * candidates[i] for i in children))
            if any(candidates[i] == 0 for i in children):
                z = 0.0
            field = set().union(*(fields[i] for i in children))
            added = network.last.weight[:, number].detach().numpy() * z
            scores += added
            for player in field:
                shares[player] += added / len(field)
            below.append(z)
            fields_below.append(field)
            all_fields.append(field)
            number += 1
    return scores, shares, all_fields


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("steps", [0, 60])
def test_values_are_exact(name, steps):
    network, features = made(name)
    before = [layer.chosen for layer in network.layers]
    if steps:
        trained(network, features, steps)
        after = [layer.chosen for layer in network.layers]
        assert not all(map(torch.equal, before, after))
    with torch.no_grad():
        found = network.explain(features)
    np.testing.assert_allclose(found.values.numpy(), exact(network, features), rtol=0, atol=1e-9)
    assert name.startswith("one ") or found.values.abs().max() > 0.01


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("steps", [0, 60])
def test_a_network_is_as_unit_after_unit_says(name, steps):
    network, features = made(name)
    trained(network, features, steps)
    with torch.no_grad():
        found, scores = network.explain(features), network(features)
    for sample, row in enumerate(features):
        expected, shares, fields = by_loops(network, row)
        np.testing.assert_allclose(scores[sample].numpy(), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.values[sample].numpy(), shares, rtol=0, atol=1e-12)
        assert [set(np.flatnonzero(f)) for f in network.fields().numpy()] == fields


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_local_accuracy_and_missingness(name, dtype, within):
    network, features = made(name, dtype)
    trained(network, features)
    with torch.no_grad():
        found = network.explain(features)
        torch.testing.assert_close(network(features), found.scores, rtol=0, atol=0)
    bias = network.last.bias.detach()
    total = found.values.sum(dim=1) + bias
    torch.testing.assert_close(total, found.scores, rtol=0, atol=within)
    assert (found.values[1, 0] == 0).all()
    assert (found.values[2, ::2] == 0).all()
    assert (found.values[3] == 0).all()
    torch.testing.assert_close(found.scores[3], bias, rtol=0, atol=0)
    assert found.scores.dtype == found.values.dtype == dtype


def test_units_and_structure_at_the_start():
    torch.manual_seed(0)
    network = HarsanyiNet(10, 2, units=30, layers=3)
    first, *others = network.layers
    assert first.chosen.sum(dim=1).tolist() == [2, 3, 4] * 10
    for layer in others:
        assert (layer.chosen[:, :30].sum(dim=1) == harsanyi.UNITS).all()
        assert (layer.chosen[:, 30:].sum(dim=1) == harsanyi.FEATURES).all()
    units = network.units(torch.randn(50, 10))
    assert units.shape == (50, 90)
    assert (units >= 0).all()
    assert ((units > 0).float().mean(dim=0).unflatten(0, (3, 30)).mean(dim=1) > 0.05).all()


def test_a_unit_without_children_is_0():
    network, features = made("two layers")
    with torch.no_grad():
        network.layers[0].gates[:3] = -1
        network.layers[1].gates[4] = -1
        found = network.explain(features)
        assert (network.units(features)[:, [0, 1, 2, 24]] == 0).all()
    assert not network.fields()[[0, 1, 2, 24]].any()
    np.testing.assert_allclose(found.values.numpy(), exact(network, features), rtol=0, atol=1e-9)


def test_gradients_of_gates_are_those_of_soft_ones():
    """If all candidates are non-zero, the AND operation is 1, and only sums depend on gates."""
    torch.manual_seed(0)
    layer = harsanyi.HarsanyiLayer(torch.tensor([[True, True, False]])).double()
    candidates = torch.tensor([[0.5, 1.0, 2.0]], dtype=torch.float64)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([[1.0, 2.0, 3.0]])
    layer(candidates).sum().backward()
    soft = torch.sigmoid(harsanyi.SLOPE * layer.gates.detach())
    slopes = harsanyi.SLOPE * soft * (1 - soft)
    torch.testing.assert_close(layer.gates.grad, slopes * layer.weight.detach() * candidates)

    # A child that is 0 blocks the unit. Its gate's gradient says that the unit would be 2.5.
    layer.zero_grad()
    candidates = torch.tensor([[0.0, 1.25, 0.5]], dtype=torch.float64)
    found = layer(candidates)
    assert found.item() == 0
    found.sum().backward()
    expected = -slopes[0, 0] * 2.5 * np.exp(-1)
    torch.testing.assert_close(layer.gates.grad[0, 0], expected)
    assert layer.gates.grad[0, 1] == 0
    assert layer.weight.grad.abs().max() == 0


def test_gradients_of_features_are_those_of_the_definition():
    network, features = made("two layers")
    assert torch.autograd.gradcheck(network, features[[0, 4, 5]].requires_grad_())


def test_an_interaction_is_learned():
    """The sign of a product of two features, among four, with the training that studies use."""
    torch.manual_seed(0)
    features = torch.randn(1000, 4)
    targets = (features[:, 0] * features[:, 1] > 0).long()
    network = HarsanyiNet(4, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(9):
        for some in torch.randperm(750).split(32):
            loss = functional.cross_entropy(network(features[some]), targets[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        found = network(features[750:]).argmax(dim=1)
    assert (found == targets[750:]).double().mean() > 0.85


@pytest.mark.parametrize("name", NETWORKS)
def test_a_state_holds_the_structure(name, tmp_path):
    for dtype in (torch.float32, torch.float64):
        network, features = made(name, dtype)
        trained(network, features, 5)
        torch.save(network.state_dict(), tmp_path / "state.pt")
        again = from_state(torch.load(tmp_path / "state.pt", weights_only=True))
        with torch.no_grad():
            found, expected = again.explain(features), network.explain(features)
        assert torch.equal(found.scores, expected.scores)
        assert torch.equal(found.values, expected.values)


def test_a_state_of_something_else_is_refused():
    network, _ = made("two layers")
    state = network.state_dict()
    for name in state:
        with pytest.raises(InputError, match="no state of a HarsanyiNet"):
            from_state({n: tensor for n, tensor in state.items() if n != name})
    with pytest.raises(InputError, match="no state of a HarsanyiNet"):
        from_state({**state, "last.bias": torch.zeros(())})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "at least one of each is needed"),
        ((3, 0), "at least one of each is needed"),
        ((3, 1, 0), "at least one of each is needed"),
        ((3, 1, 4, 0), "0 layers of 4 units"),
        ((3, 1, 4, 1, torch.zeros(2)), "3 numbers needed"),
        ((2, 1, 4, 1, torch.tensor([0, np.nan])), "2 numbers needed"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        HarsanyiNet(*arguments)


@pytest.mark.parametrize("shape", [(4, 7), (6,), (2, 3, 6)])
def test_features_of_another_shape_are_refused(shape):
    network, _ = made("two layers")
    for function in (network, network.explain):
        with pytest.raises(InputError, match=r"\(sample, 6\) are needed"):
            function(torch.zeros(shape))
