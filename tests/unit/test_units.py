"""Compares networks with absent units with networks rebuilt without them."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from pipeline.core.errors import InputError
from pipeline.models.suffix import suffixes_of, walks
from pipeline.models.units import (
    Masked,
    Site,
    at_once,
    find_sites,
    players_of,
    replacement,
    rows,
)


class Plain(nn.Module):
    """Convolutions one after another, one with batch norm, and a linear classifier."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 5, 3)
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        return self.last(torch.relu(self.second(x)).mean(dim=(2, 3)))


class InPlace(Plain):
    """Its activations change the convolutions' outputs in place, as those of SqueezeNet do."""

    def forward(self, x):
        x = torch.relu_(self.norm(torch.relu_(self.first(x))))
        return self.last(torch.relu_(self.second(x)).mean(dim=(2, 3)))


class Branched(nn.Module):
    """A residual block, a block that concatenates, groups, and a module that runs twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.one = nn.Conv2d(4, 2, 1)
        self.three = nn.Conv2d(4, 2, 3, padding=1, groups=2)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = x + torch.relu(self.twice(x))
        x = x + torch.tanh(self.twice(x))
        x = torch.cat([torch.relu(self.one(x)), torch.relu(self.three(x))], dim=1)
        return self.last(x).mean(dim=(2, 3))


class Attending(nn.Module):
    """Tokens, attention and a multi-layer perceptron, as in a vision transformer."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(2, 6, 3, stride=3)
        self.attention = nn.MultiheadAttention(6, 3, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(6, 7), nn.GELU(), nn.Linear(7, 6))
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.last((x + self.mlp(x)).mean(dim=1))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def ready(kind):
    network = kind().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval(), torch.randn(12, 2, 9, 9).double()


def masked(network, images, absent="mean", **options):
    sites = find_sites(network, images[:1], **options)
    return Masked(network, sites, replacement(network, sites, images, absent))


def without(network, sites, means, absent):
    """The rebuilt network: absent filters have no weights, and their mean as bias."""
    other = copy.deepcopy(network)
    start = 0
    for site in sites:
        module = other.get_submodule(site.name)
        for unit in range(site.n_units):
            if start + unit in absent:
                with torch.no_grad():
                    module.weight[unit] = 0
                    module.bias[unit] = means[site.name][unit]
        start += site.n_units
    return other


def mean_by_hand(network, images, name):
    """Mean output of each channel of a module that runs once, image by image."""
    seen = []
    handle = network.get_submodule(name).register_forward_hook(
        lambda module, given, output: seen.append(output.detach().numpy().copy())
    )
    for image in images:
        network(image[None])
    handle.remove()
    return torch.from_numpy(np.concatenate(seen).mean(axis=(0, 2, 3)))


@pytest.mark.parametrize(("kind", "absent"), [(Plain, "mean"), (Plain, "zero"), (InPlace, "mean")])
def test_all_coalitions_are_as_of_networks_built_again(kind, absent):
    network, images = ready(kind)
    of = masked(network, images, absent)
    assert of.sites == (Site("first", 4, "filters"), Site("second", 5, "filters"))
    assert of.players[:5] == ("first:0", "first:1", "first:2", "first:3", "second:0")
    means = {
        site.name: mean_by_hand(network, images, site.name) * (absent == "mean")
        for site in of.sites
    }
    present = torch.arange(512)[:, None] >> torch.arange(9) & 1 == 1
    found = torch.cat(
        [of(images[3:4].expand(256, -1, -1, -1), part) for part in present.split(256)]
    )
    for mask in range(0, 512, 7):
        gone = [player for player in range(9) if not mask >> player & 1]
        with torch.no_grad():
            expected = without(network, of.sites, means, gone)(images[3:4])
        torch.testing.assert_close(found[mask : mask + 1], expected, rtol=0, atol=1e-12)
    # The network itself is unchanged.
    with torch.no_grad():
        torch.testing.assert_close(found[511], network(images[3:4])[0], rtol=0, atol=1e-12)


def test_a_folded_batch_norm_makes_no_difference():
    network, images = ready(Plain)
    folded = copy.deepcopy(network)
    folded.first = torch.nn.utils.fuse_conv_bn_eval(folded.first, folded.norm)
    folded.norm = nn.Identity()
    present = torch.rand(12, 9) < 0.5
    torch.testing.assert_close(
        masked(network, images)(images, present),
        masked(folded, images)(images, present),
        rtol=0,
        atol=1e-12,
    )


def test_a_module_that_runs_twice_has_one_player_a_filter_and_a_mean_for_each_run():
    network, images = ready(Branched)
    of = masked(network, images)
    assert [site.name for site in of.sites] == ["stem", "twice", "one", "three"]
    assert len(of.replaced_by.outputs["twice"]) == 2
    present = torch.ones(12, 12, dtype=torch.bool)
    present[:, 4:8] = False
    first, second = of.replaced_by.outputs["twice"]
    with torch.no_grad():
        x = torch.relu(network.stem(images))
        x = x + torch.relu(first)
        x = x + torch.tanh(second)
        x = torch.cat([torch.relu(network.one(x)), torch.relu(network.three(x))], dim=1)
        expected = network.last(x).mean(dim=(2, 3))
    torch.testing.assert_close(of(images, present), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [Plain, InPlace, Branched])
def test_walks_are_the_same_however_the_network_is_run(kind, monkeypatch):
    network, images = ready(kind)
    of = masked(network, images)
    n = len(of.players)
    orders = np.stack([np.random.default_rng(i).permutation(n) for i in range(12)])
    suffixes = suffixes_of(network, of.sites, images[:1])
    assert suffixes.saved > 1

    def say(scores, walks):
        return torch.cat([scores, torch.from_numpy(walks)[:, None].double()], dim=1)

    whole = walks(of, images, orders, say=say)
    assert whole.shape == (12, n + 1, 4)
    for walk, (image, order) in enumerate(zip(images, orders, strict=True)):
        for removed in (0, 1, n // 2, n):
            present = torch.ones(1, n, dtype=torch.bool)
            present[0, order[:removed]] = False
            torch.testing.assert_close(whole[walk, removed, :3], of(image[None], present)[0])
    assert (whole[..., 3] == torch.arange(12)[:, None]).all()
    # For any number of walks at once, and any cuts.
    for slots, moved in ((1, 1), (5, 1), (32, 0), (32, 10**9)):
        monkeypatch.setattr("pipeline.models.suffix.MOVED", moved)
        monkeypatch.setattr(
            "pipeline.models.suffix._Walk._most_slots", lambda _, slots=slots: slots
        )
        again = suffixes_of(network, of.sites, images[:1])
        found = walks(of, images, orders, say=say, suffixes=again)
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)
    part = walks(of, images, orders[:, :3], say=say, suffixes=suffixes)
    torch.testing.assert_close(part, whole[:, :4], rtol=0, atol=1e-12)


class Flattening(Plain):
    """A network that passes on its batch's size, which cannot be kept per sample."""

    def forward(self, x):
        size = x.size(0)
        x = torch.relu(self.second(torch.relu(self.norm(self.first(x)))))
        return self.last(x.reshape(size, 5, -1).mean(dim=2))


def test_a_network_that_passes_on_more_than_samples_is_run_whole():
    network, images = ready(Flattening)
    of = masked(network, images)
    assert suffixes_of(network, of.sites, images[:1]) is None
    found = walks(of, images, np.tile([0, 5], (12, 1)), say=lambda scores, walks: scores)
    assert found.shape == (12, 3, 3)


def test_walks_of_whole_layers_and_of_resampled_filters():
    network, images = ready(Branched)
    sites = find_sites(network, images[:1])
    grouped = Masked(network, sites, replacement(network, sites, images), grouped=True)
    assert grouped.players == ("stem", "twice", "one", "three")
    orders = np.array([[0, 1, 2, 3], [3, 1, 0, 2]])
    suffixes = suffixes_of(network, sites, images[:1])
    for of, given in (
        (grouped, None),
        (
            Masked(network, sites, replacement(network, sites, images, "resample")),
            torch.tensor([4, 9]),
        ),
    ):
        some = orders if of is grouped else np.stack([np.arange(12), np.arange(12)[::-1]])
        options = {"references": given, "say": lambda scores, walks: scores}
        whole = walks(of, images[:2], some, **options)
        torch.testing.assert_close(
            walks(of, images[:2], some, suffixes=suffixes, **options), whole, rtol=0, atol=1e-12
        )


def test_a_resampled_filter_gives_what_it_gives_for_the_reference_image():
    network, images = ready(Plain)
    of = masked(network, images, "resample")
    present = torch.ones(2, 9, dtype=torch.bool)
    present[:, 4:] = False
    # Without all filters of the last layer, the outputs are those for the reference.
    given = torch.tensor([7, 2])
    with torch.no_grad():
        expected = network(images[given])
    found = of(images[:2], present, given)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="give the reference image of each sample"):
        of(images[:2], present)


def test_heads_and_hidden_units():
    network, images = ready(Attending)
    heads = masked(network, images, kind="heads")
    assert heads.sites == (Site("attention", 3, "heads"),)
    everybody = torch.ones(12, 3, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(heads(images, everybody), network(images))
    present = everybody.clone()
    present[::2, 1] = False
    found = heads(images, present)
    with torch.no_grad():
        x = network.patches(images).flatten(2).transpose(1, 2)
        q, k, v = nn.functional.linear(
            x, network.attention.in_proj_weight, network.attention.in_proj_bias
        ).chunk(3, dim=-1)
        outputs = []
        for head in range(3):
            span = slice(2 * head, 2 * head + 2)
            scores = q[..., span] @ k[..., span].transpose(1, 2) / 2**0.5
            outputs.append(scores.softmax(dim=-1) @ v[..., span])
        outputs[1][::2] = outputs[1].mean(dim=(0, 1))
        x = x + network.attention.out_proj(torch.cat(outputs, dim=-1))
        expected = network.last((x + network.mlp(x)).mean(dim=1))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)

    hidden = masked(network, images, kind="hidden")
    assert hidden.sites == (Site("mlp.1", 7, "hidden"),)
    present = torch.ones(12, 7, dtype=torch.bool)
    present[:, [0, 5]] = False
    with torch.no_grad():
        x = network.patches(images).flatten(2).transpose(1, 2)
        x = x + network.attention(x, x, x, need_weights=False)[0]
        units = network.mlp[1](network.mlp[0](x))
        units[..., [0, 5]] = units[..., [0, 5]].mean(dim=(0, 1))
        expected = network.last((x + network.mlp[2](units)).mean(dim=1))
    torch.testing.assert_close(hidden(images, present), expected, rtol=0, atol=1e-12)
    assert suffixes_of(network, hidden.sites, images[:1]) is None


def test_networks_of_torchvision():
    with torch.device("meta"):
        inception = models.inception_v3(weights=None, init_weights=False).eval()
        squeeze = models.squeezenet1_0(weights=None).eval()
        images = torch.empty(1, 3, 299, 299)
    assert len(players_of(find_sites(inception, images))) == 17_216
    assert len(players_of(find_sites(squeeze, images))) == 2_976
    vit = models.VisionTransformer(32, 16, 2, 2, 32, 64, num_classes=5).eval()
    nn.init.normal_(vit.heads.head.weight)  # torchvision's are zeros
    images = torch.randn(3, 3, 32, 32)
    for kind, units in (("heads", 4), ("hidden", 128)):
        of = masked(vit, images, kind=kind)
        assert len(of.players) == units
        gone = torch.zeros(3, units, dtype=torch.bool)
        assert (of(images, gone) != of(images, ~gone)).all()


def test_sites_by_name():
    network, images = ready(Plain)
    network.relu = nn.ReLU()
    by_name = find_sites(network, images[:1], modules=["norm", "sec*"])
    assert by_name == (Site("norm", 4, "filters"), Site("second", 5, "filters"))
    of = masked(network, images, modules=["norm"])
    present = torch.ones(12, 4, dtype=torch.bool)
    present[:, 2] = False
    # A batch norm is affine, so the mean of its output is its output for the mean.
    both = masked(network, images, modules=["first"])
    torch.testing.assert_close(of(images, present), both(images, present), rtol=0, atol=1e-12)
    with pytest.raises(InputError, match=r"'thrid' fits no module .* the first modules are first"):
        find_sites(network, images[:1], modules=["first", "thrid"])


def test_what_cannot_be_masked_is_refused():
    network, images = ready(Plain)
    of = masked(network, images)
    with pytest.raises(InputError, match=r"\(12, 9\) bool is needed"):
        of(images, torch.ones(12, 8, dtype=torch.bool))
    with pytest.raises(InputError, match=r"does not take images of shape \(1, 3, 9, 9\)"):
        of(torch.zeros(1, 3, 9, 9).double(), torch.ones(1, 9, dtype=torch.bool))
    with pytest.raises(InputError, match=r"training mode; call network.eval\(\)"):
        find_sites(network.train(), images[:1])
    linear = nn.Sequential(nn.Flatten(), nn.Linear(162, 3)).double().eval()
    with pytest.raises(InputError, match="has no filters before its last layer"):
        find_sites(linear, images[:1])
    network.eval()
    for orders in (np.zeros((12, 2), dtype=int), np.full((12, 1), 9), np.zeros((3, 1), dtype=int)):
        with pytest.raises(InputError, match="name players by number, each at most once"):
            walks(of, images, orders, say=lambda scores, walks: scores)


def test_outputs_computed_from_scores():
    scores = torch.tensor([[1.0, 2, 0], [3, 1, 1]])
    said = rows(scores, torch.tensor([1, 2]), torch.tensor([0, 0]))
    probabilities = scores.double().exp() / scores.double().exp().sum(dim=1, keepdim=True)
    expected = torch.tensor([[1, probabilities[0, 1], 1, probabilities[0, 0]],
                             [0, probabilities[1, 2], 0, probabilities[1, 0]]])  # fmt: skip
    torch.testing.assert_close(said, expected.float())
    with pytest.raises(InputError, match="NaN or Inf scores"):
        rows(torch.tensor([[float("nan"), 1]]), torch.tensor([0]))
    with pytest.raises(InputError, match="labels hold class 3; the network has 3 classes"):
        rows(scores, torch.tensor([1, 3]))


def test_batches_are_powers_of_two():
    network, images = ready(Plain)
    sizes = [
        at_once(network, find_sites(network, images[:1]), torch.zeros(1, 2, side, side).double())
        for side in (9, 60, 200)
    ]
    assert all(size.bit_count() == 1 for size in sizes)
    assert all(a > b for a, b in pairwise(sizes))
