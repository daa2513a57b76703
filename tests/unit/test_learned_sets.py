"""Compares networks that learn which features meet with slow, obvious code."""

import itertools

import pytest
import torch

from pipeline.core.errors import InputError
from pipeline.models import learned_sets, shapnets


def network(**more):
    torch.manual_seed(0)
    found = learned_sets.redundant(4, [3, 2], [[5], [4, 3]], **more).double()
    found.references.copy_(torch.tensor([0.0, 0.5, -1.0, 0.0]))
    return found.eval()


def alone(module, number, inputs):
    """One module's inner network of rows (sample, channels of all players), in a loop."""
    weight = module.first[number].flatten(0, 1)
    hidden = torch.relu(inputs @ weight + module.biases[0][number, 0])
    for inner, bias in zip(list(module.weights)[:-1], list(module.biases)[1:], strict=True):
        hidden = torch.relu(hidden @ inner[number] + bias[number, 0])
    return hidden @ module.weights[-1][number]


@pytest.mark.parametrize("layer", [0, 1])
def test_interactions_are_what_pairs_give_beyond_their_features(layer):
    net = network()
    features = torch.randn(6, 4, dtype=torch.float64)
    x, nobody = features[:, :, None], net.references[:, None]
    if layer:
        x = net.explain(features).layers[0]
        nobody = torch.zeros(4, 3, dtype=torch.float64)
    found = learned_sets.interactions(net, features, layer)
    assert set(found) == {*((i,) for i in range(4)), *itertools.combinations(range(4), 2)}
    for group in net.layers[layer].groups:
        for number, some in enumerate(group.sets.tolist()):
            there = [x[:, p] for p in some]
            absent = [nobody[p].expand(6, -1) for p in some]
            if len(some) == 1:
                assert found[tuple(some)] == pytest.approx(0, abs=1e-12)
                continue
            both, first, second, nobody_ = (
                alone(group, number, torch.cat(rows, dim=1))
                for rows in (
                    there,
                    [there[0], absent[1]],
                    [absent[0], there[1]],
                    absent,
                )
            )
            size = (both - first - second + nobody_).abs().sum(dim=1).mean()
            assert found[tuple(some)] == pytest.approx(float(size), rel=1e-10)


@pytest.mark.parametrize("kept", [0, 1, 3, 6, 9])
def test_the_largest_pairs_stay_and_their_weights(kept):
    net = network()
    features = torch.randn(6, 4, dtype=torch.float64)
    before = {
        some: group.first[number].clone()
        for group in net.layers[1].groups
        for number, some in enumerate(map(tuple, group.sets.tolist()))
    }
    sizes = {some: i for i, some in enumerate(learned_sets.pairs_of(net, 1))}
    learned_sets.strip(net, 1, kept, sizes)
    assert learned_sets.pairs_of(net, 1) == list(sizes)[max(0, 6 - kept) :]
    assert len(learned_sets.pairs_of(net, 0)) == 6
    for group in net.layers[1].groups:
        for number, some in enumerate(map(tuple, group.sets.tolist())):
            assert torch.equal(group.first[number], before[some])
    told = net.explain(features)
    empty = net(net.references[None])
    torch.testing.assert_close(told.layers[-1].sum(dim=1), net(features) - empty)
    again = shapnets.from_state(net.state_dict())
    assert torch.equal(again(features), net(features))


def test_pairs_of_a_product_are_learned():
    torch.manual_seed(1)
    features = torch.rand(600, 5) - 0.5
    targets = features.sum(dim=1) + 8 * features[:, 1] * features[:, 3]
    net = learned_sets.redundant(5, [4, 1], [[16]] * 2)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (net(features)[:, 0] - targets).square().mean().backward()
        optimizer.step()
    sizes = learned_sets.interactions(net, features, 0)
    learned_sets.strip(net, 0, 1, sizes)
    assert learned_sets.pairs_of(net, 0) == [(1, 3)]


def test_a_number_below_0_is_refused():
    with pytest.raises(InputError, match="-1 pairs to be kept: must be at least 0"):
        learned_sets.strip(network(), 0, -1, {})
