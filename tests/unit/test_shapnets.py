"""Compares Shapley explanation networks with Definition 1 by brute force, module by module."""

import itertools
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import InputError
from pipeline.models.shapnets import ShapNet, butterfly, combinations, deep, from_state, shallow


def inner(group, module, x):
    """The inner network of one module, of inputs (player of the set, channel), in float64."""
    first = group.first[module].detach().double().numpy()
    h = np.einsum("kc,kch->h", x, first) + group.biases[0][module, 0].detach().double().numpy()
    h = np.maximum(h, 0)
    layers = zip(group.weights[:-1], group.biases[1:], strict=True)
    for weight, bias in layers:
        h = h @ weight[module].detach().double().numpy()
        h = np.maximum(h + bias[module, 0].detach().double().numpy(), 0)
    return h @ group.weights[-1][module].detach().double().numpy()


def by_definition(function, n):
    """Shapley values of a function of a set of players: (player, output)."""
    found = [0.0] * n
    for player in range(n):
        others = [p for p in range(n) if p != player]
        for size in range(n):
            for some in itertools.combinations(others, size):
                gain = function({*some, player}) - function({*some})
                found[player] = found[player] + gain / (n * comb(n - 1, size))
    return np.array(found)


def by_loops(network, features):
    """Representations of all layers for one sample: a loop over modules, and over coalitions."""
    x = features.astype(np.float64)[:, None]
    r = network.references.double().numpy()[:, None]
    found = []
    for layer in network.layers:
        out = np.zeros((layer.n_players, layer.n_outputs))
        for group in layer.groups:
            for module, players in enumerate(group.sets.tolist()):

                def value(there, group=group, module=module, players=players, x=x, r=r):
                    given = [x[p] if place in there else r[p] for place, p in enumerate(players)]
                    return inner(group, module, np.array(given))

                out[players] += by_definition(value, len(players))
        x, r = out, np.zeros_like(out)
        found.append(out)
    return found


def scores_by_masks(network, features):
    """The network's own Shapley values: all 2ᵈ coalitions, references for absent features."""
    d = features.shape[1]
    masks = torch.arange(2**d)[:, None] >> torch.arange(d) & 1 == 1
    found = []
    for row in features:
        with torch.no_grad():
            values = network(torch.where(masks, row, network.references)).double().numpy()
        index = {frozenset(np.flatnonzero(m)): i for i, m in enumerate(masks.numpy())}
        found.append(by_definition(lambda s, v=values, i=index: v[i[frozenset(s)]], d))
    return np.array(found)


NETWORKS = {
    "pairs": lambda: shallow(5, 3, [6], references=torch.arange(5.0) / 7),
    "gam": lambda: shallow(4, 1, [5, 4], sets=[[0], [1], [2], [3]]),
    "overlapping": lambda: shallow(
        6, 2, [4], sets=[[0, 1, 2], [2, 3], [5], [3, 4, 5, 0]], references=torch.randn(6)
    ),
    "fours": lambda: shallow(5, 2, [4, 3], sets=[[0, 1, 2, 3], [1, 2, 3, 4]], bias=True),
    "one": lambda: shallow(1, 2, [3]),
    "deep": lambda: deep(8, [4, 3, 2], [[5], [6, 5], [4]], references=torch.randn(8)),
    "deep, three missing": lambda: deep(5, [4, 3, 2], [[5], [6], [4]], bias=True),
    "radix 3": lambda: deep(7, [3, 2], [[5], [4]], radix=3),
    "radix 4": lambda: deep(4, [2], [[5]], radix=4, references=torch.ones(4)),
}


def made(name, dtype=torch.float64):
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        network = NETWORKS[name]()
        if network.bias is not None:
            torch.nn.init.normal_(network.bias)
        return network, torch.randn(4, len(network.references))
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_is_as_module_after_module_says(name):
    network, features = made(name)
    with torch.no_grad():
        found = network.explain(features)
    for sample, row in enumerate(features.numpy()):
        for layer, expected in zip(found.layers, by_loops(network, row), strict=True):
            np.testing.assert_allclose(layer[sample].numpy(), expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(network(features), found.scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["pairs", "gam", "overlapping", "fours", "one", "radix 4"])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_shallow_network_explains_itself_exactly(name, dtype, within):
    """Theorem 2."""
    network, features = made(name, dtype)
    exact = scores_by_masks(network, features)
    with torch.no_grad():
        found = network.explain(features).layers[-1].double().numpy()
    assert np.abs(found - exact).max() <= within * max(1.0, np.abs(exact).max())


def test_a_network_that_was_in_float32_is_exact_again_in_float64():
    network, features = made("overlapping")
    network.float().explain(features.float())
    exact = scores_by_masks(network.double(), features)
    with torch.inference_mode():
        found = network.explain(features).layers[-1].numpy()
    assert np.abs(found - exact).max() <= 1e-12
    network.explain(features).scores.sum().backward()


@st.composite
def families(draw, most):
    """Active sets of 1 to 4 features, which may overlap, of up to so many features."""
    d = draw(st.integers(1, most))
    players = st.integers(0, d - 1)
    sets = st.lists(players, min_size=1, max_size=min(4, d), unique=True)
    return d, draw(st.lists(sets, min_size=1, max_size=6))


def random_network(d, layers, n_outputs, seed, bias):
    """A float64 network of some layers, with references that are not 0."""
    torch.manual_seed(seed)
    network = ShapNet(
        layers, d, [3] * (len(layers) - 1) + [n_outputs], [[4, 3]] * len(layers),
        references=torch.randn(d), bias=bias,
    ).double()  # fmt: skip
    return network.requires_grad_(requires_grad=False), torch.randn(2, d, dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(families(8), st.integers(1, 3), st.integers(0, 99), st.booleans())
def test_any_shallow_network_explains_itself_exactly(family, n_outputs, seed, bias):
    """Theorem 2 for random active sets."""
    d, sets = family
    network, features = random_network(d, [sets], n_outputs, seed, bias)
    exact = scores_by_masks(network, features)
    found = network.explain(features).layers[-1].numpy()
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_twelve_features_are_explained_exactly(k):
    """Theorem 2 for overlapping sets of k."""
    sets = [[(start + 2 * place) % 12 for place in range(k)] for start in range(12)]
    network, features = random_network(12, [sets], 3, k, bias=True)
    exact = scores_by_masks(network, features[:1])
    found = network.explain(features[:1]).layers[-1].numpy()
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(families(9), st.integers(1, 3), st.integers(0, 99), st.booleans())
def test_any_deep_network_is_locally_accurate_and_gives_missing_features_zero(
    family, depth, seed, bias
):
    """Theorem 3 and Corollary 4 for random active sets, and pruning at a threshold of 0."""
    d, sets = family
    network, features = random_network(d, [sets] * depth, 2, seed, bias)
    features[:, 0] = network.references[0]
    told = network.explain(features)
    nobody = network(network.references[None])
    torch.testing.assert_close(told.layers[-1].sum(dim=1), network(features) - nobody)
    for layer in told.layers:
        assert layer[:, 0].abs().max() <= 1e-12
    pruned, _ = network.pruned(features, 0.0)
    for layer, expected in zip(pruned.layers, told.layers, strict=True):
        torch.testing.assert_close(layer, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_local_accuracy_and_missingness_in_every_layer(name):
    """Theorem 3 and Corollary 4, also after training."""
    network, features = made(name)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(5):
        loss = network(features).square().mean() + network.explain(features).layers[-1].abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    features[1:, 0] = network.references[0]
    features[3] = network.references
    with torch.no_grad():
        found = network.explain(features)
    constant = 0 if network.bias is None else network.bias.detach()
    torch.testing.assert_close(found.layers[-1].sum(dim=1) + constant, found.scores)
    for layer in found.layers:
        assert layer[1:, 0].abs().max() < 1e-15
        assert layer[3].abs().max() < 1e-15
    with torch.no_grad():
        nothing = network(network.references[None])[0]
    torch.testing.assert_close(nothing, torch.zeros_like(nothing) + constant, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_pruning_what_is_at_its_reference_changes_nothing(name):
    network, features = made(name)
    features[1] = network.references
    features[2, ::2] = network.references[::2]
    found, shares = network.pruned(features, 0.0)
    with torch.no_grad():
        expected = network.explain(features)
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-12)
    for layer, own in zip(found.layers, expected.layers, strict=True):
        torch.testing.assert_close(layer, own, rtol=0, atol=1e-12)
    assert len(shares) == len(network.layers)
    assert all(share <= 0.75 for share in shares)
    nothing, none = network.pruned(network.references.expand(3, -1), 0.0)
    assert none == [0.0] * len(shares)
    constant = 0 if network.bias is None else network.bias.detach()
    assert (nothing.scores == constant).all()


def test_pruning_sets_features_near_their_references_to_them():
    network, features = made("deep")
    found, _ = network.pruned(features, 0.4)
    x, r = features, network.references
    with torch.no_grad():
        for layer, own in zip(network.layers, found.layers, strict=True):
            near = (x - r).abs() <= 0.4 if x.ndim == 2 else x.abs().amax(dim=2, keepdim=True) <= 0.4
            x = torch.where(near, r if x.ndim == 2 else torch.zeros_like(x), x)
            given = x.T[:, :, None] if x.ndim == 2 else x.transpose(0, 1)
            references = r[:, None, None] if x.ndim == 2 else torch.zeros_like(given[:, :1])
            x = layer(given, references).transpose(0, 1)
            torch.testing.assert_close(own, x, rtol=0, atol=1e-12)


@given(st.integers(1, 40), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_a_butterfly_lets_all_features_meet(n, radix):
    layers = butterfly(n, radix)
    met = [{p} for p in range(n)]
    for sets in layers:
        assert sorted(p for some in sets for p in some) == list(range(n))
        assert all(1 <= len(some) <= radix for some in sets)
        joined = list(met)
        for some in sets:
            every = set().union(*(met[p] for p in some))
            for p in some:
                joined[p] = every
        met = joined
    if n == radix ** len(layers):
        assert all(each == set(range(n)) for each in met)


def test_features_that_fill_up_cost_nothing():
    """Thirty features in a butterfly of 32 behave like 32 with two always at references of 0."""
    torch.manual_seed(0)
    few, all_there = (deep(n, [2] * 5, [[3]] * 5).double() for n in (30, 32))
    with torch.no_grad():
        for small, large in zip(few.layers, all_there.layers, strict=True):
            whole = {tuple(s): i for i, s in enumerate(large.groups[0].sets.tolist())}
            for group in small.groups:
                for module, some in enumerate(map(tuple, group.sets.tolist())):
                    (place,) = (i for s, i in whole.items() if set(s) & set(range(30)) == set(some))
                    group.first[module] = large.groups[0].first[place, : len(some)]
                    group.biases[0][module] = large.groups[0].biases[0][place]
                    group.weights[0][module] = large.groups[0].weights[0][place]
    assert sum(len(g.sets) for layer in few.layers for g in layer.groups) < 5 * 16
    features = torch.randn(3, 32, dtype=torch.float64)
    features[:, 30:] = 0
    with torch.no_grad():
        found, expected = few.explain(features[:, :30]), all_there.explain(features)
    for layer, own in zip(found.layers, expected.layers, strict=True):
        torch.testing.assert_close(layer, own[:, :30], rtol=0, atol=1e-12)
        assert own[:, 30:].abs().max() < 1e-15


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_combinations_are_definition_1(k):
    members, shares = combinations(k)
    values = np.random.default_rng(k).normal(size=2**k)
    index = {frozenset(np.flatnonzero(m)): i for i, m in enumerate(members.numpy())}
    expected = by_definition(lambda s: values[index[frozenset(s)]], k)
    np.testing.assert_allclose(shares.numpy() @ values, expected, atol=1e-12)


def test_a_state_holds_the_structure(tmp_path):
    for name in NETWORKS:
        network, features = made(name)
        torch.save(network.state_dict(), tmp_path / "state.pt")
        again = from_state(torch.load(tmp_path / "state.pt", weights_only=True))
        with torch.no_grad():
            torch.testing.assert_close(again(features), network(features), rtol=0, atol=0)
    with pytest.raises(InputError, match="no state of a ShapNet"):
        from_state({"weight": torch.zeros(3)})


def test_gradients_are_those_of_the_definition():
    network, features = made("deep")
    assert torch.autograd.gradcheck(
        lambda x: network.explain(x).layers[-1], features.requires_grad_()
    )


def test_under_autocast():
    network, features = made("deep", torch.float32)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = network.explain(features)
    with torch.no_grad():
        expected = network.explain(features)
    torch.testing.assert_close(found.scores.float(), expected.scores, rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shallow(3, 1, [4], sets=[]), "no active sets"),
        (lambda: shallow(3, 1, [4], sets=[[0, 1, 2, 0]]), "4 of 3 features; a set has 1 to 3"),
        (lambda: shallow(3, 1, [4], sets=[[0, 3]]), "give different features, 0 to 2"),
        (lambda: shallow(3, 1, [4], sets=[[1, 1]]), "give different features, 0 to 2"),
        (lambda: shallow(3, 1, []), "at least one is needed"),
        (lambda: shallow(3, 1, [4], references=torch.zeros(2)), "3 numbers needed"),
        (lambda: shallow(2, 1, [4], references=torch.tensor([0, np.nan])), "2 numbers needed"),
        (lambda: deep(8, [1, 1], [[2], [2]]), "8 features and radix 2 make 3 layers; 2 widths"),
        (lambda: deep(8, [1], [[2]], radix=9), "radix 9 of 8 players: must be 2 to 8"),
        (lambda: ShapNet([[[0]]], 1, [1, 2], [[3]]), "1 layers of active sets, 2 widths"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_features_of_another_number_are_refused():
    network, _ = made("deep")
    with pytest.raises(InputError, match=r"features of shape \(4, 7\): \(sample, 8\) are needed"):
        network(torch.zeros(4, 7))


def test_networks_compile_whole():
    network, features = made("deep", torch.float32)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(features), network(features))
    explain = torch.compile(network.explain, backend="eager", fullgraph=True)
    torch.testing.assert_close(explain(features).layers, network.explain(features).layers)
