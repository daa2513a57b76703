"""Compares tables of all coalitions with the network's scores, coalition by coalition."""

import itertools

import pytest
import torch

from pipeline.models import shapnets
from pipeline.models.shapnet_games import coalition_values


def brute(network, features):
    rows = []
    for number in range(2 ** len(features)):
        there = torch.tensor([bool(number >> i & 1) for i in range(len(features))])
        rows.append(torch.where(there, features, network.references))
    return network(torch.stack(rows))


NETWORKS = {
    "one feature": lambda: shapnets.deep(1, [2], [[3]], references=torch.randn(1)),
    "pairs": lambda: shapnets.deep(8, [3, 2, 4], [[5], [4, 4], [3]], references=torch.randn(8)),
    "of any number": lambda: shapnets.deep(7, [3, 2, 4], [[5], [4, 4], [3]], bias=True),
    "radix 3": lambda: shapnets.deep(7, [3, 2], [[5], [4, 4]], radix=3, references=torch.randn(7)),
    "shallow": lambda: shapnets.shallow(6, 3, [5], references=torch.randn(6)),
    "additive": lambda: shapnets.shallow(5, 2, [4], sets=[(i,) for i in range(5)]),
    "overlapping, two layers": lambda: shapnets.ShapNet(
        [[(0, 1), (1, 2), (3,)], [(0, 2, 3), (1, 4)]], 5, [3, 2], [[4], [4]], torch.randn(5)
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_tables_are_the_networks_scores(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().double()
    if network.bias is not None:
        torch.nn.init.normal_(network.bias)
    features = torch.randn(len(network.references), dtype=torch.float64)
    found = coalition_values(network, features)
    torch.testing.assert_close(found, brute(network, features), rtol=1e-10, atol=1e-10)


def test_tables_do_not_depend_on_what_is_computed_at_once(monkeypatch):
    torch.manual_seed(0)
    network = NETWORKS["pairs"]().double()
    features = torch.randn(8, dtype=torch.float64)
    whole = coalition_values(network, features)
    monkeypatch.setattr("pipeline.models.shapnet_games.AT_ONCE", 20)
    torch.testing.assert_close(coalition_values(network, features), whole, rtol=1e-12, atol=1e-12)


def test_a_feature_of_no_module_changes_no_value():
    network = shapnets.shallow(4, 1, [3], sets=[(0, 1), (1, 3)]).double()
    found = coalition_values(network, torch.randn(4, dtype=torch.float64))
    for number in range(16):
        assert found[number] == found[number ^ 4]
    assert len({round(float(v), 12) for v in itertools.chain(*found.tolist())}) > 2
