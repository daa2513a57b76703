"""Compares Shapley explanation networks for images with Definition 1, window by window."""

import itertools
from math import comb

import numpy as np
import pytest
import torch

from pipeline.core.errors import InputError
from pipeline.models.image_shapnets import SLOPE, ImageShapNet, ImageStage, from_state


def by_windows(stage, image):
    """One stage by its definition: (channel, height, width) → (output, height, width)."""
    weight, bias = stage.weight.detach().numpy(), stage.bias.detach().numpy()
    (_, height, width), k = image.shape, len(stage.offsets)
    out = np.zeros((len(bias), height, width))

    def inner(y, x, there):
        total = bias.copy()
        for place in there:
            row, column = y + stage.offsets[place][0], x + stage.offsets[place][1]
            if 0 <= row < height and 0 <= column < width:
                total = total + weight[place] @ image[:, row, column]
        return np.where(total > 0, total, SLOPE * total)

    for y in range(-stage.reach[0], height):
        for x in range(-stage.reach[1], width):
            for place, (down, right) in enumerate(stage.offsets):
                if not (0 <= y + down < height and 0 <= x + right < width):
                    continue
                others = [p for p in range(k) if p != place]
                for size in range(k):
                    for some in itertools.combinations(others, size):
                        gain = inner(y, x, {*some, place}) - inner(y, x, some)
                        out[:, y + down, x + right] += gain / (k * comb(k - 1, size))
    return out


SHAPES = [((2, 2), 1), ((1, 2), 3), ((2, 1), 2), ((1, 3), 1), ((1, 1), 1)]


@pytest.fixture(autouse=True)
def _float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("window", "dilation"), SHAPES)
def test_a_stage_is_as_its_definition_says(window, dilation):
    stage = ImageStage(2, 3, window, dilation)
    images = torch.randn(2, 2, 5, 4)
    with torch.no_grad():
        found, total = stage(images), stage.total(images)
    for image, own in zip(images.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(own, by_windows(stage, image), atol=1e-12)
    torch.testing.assert_close(total, found.sum(dim=(2, 3)), rtol=0, atol=1e-11)


def test_windows_may_change_from_stage_to_stage():
    windows = [(1, 2), (2, 1), (2, 2)]
    net, images = ImageShapNet(2, [4, 3, 5], [1, 2, 3], windows), torch.randn(2, 2, 5, 4)
    with torch.no_grad():
        found = net.explain(images)
    for image, scores, *stages in zip(
        images.numpy(), found.scores.numpy(), *(s.numpy() for s in found.stages), strict=True
    ):
        for stage, own in zip(net.stages, stages, strict=True):
            image = by_windows(stage, image)  # noqa: PLW2901
            np.testing.assert_allclose(own, image, atol=1e-12)
        np.testing.assert_allclose(scores, image.sum(axis=(1, 2)), atol=1e-11)


class Explaining(torch.nn.Module):
    """Scores as sums of the last stage's explanation."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net.explain(images).scores


@pytest.mark.parametrize("way", [Explaining, lambda net: net])
def test_deep_lift_hooks_the_activations(way):
    from captum.attr import DeepLift, DeepLiftShap  # noqa: PLC0415

    net, images = network().eval(), torch.randn(4, 2, 7, 6)
    others, targets = torch.randn(3, 2, 7, 6), torch.tensor([4, 0, 2, 2])
    for baselines in (torch.zeros_like(images), others[[0, 0, 1, 2]]):
        found = DeepLift(way(net)).attribute(images, baselines=baselines, target=targets)
        with torch.no_grad():
            gained = (net(images) - net(baselines)).gather(1, targets[:, None])[:, 0]
        torch.testing.assert_close(found.sum(dim=(1, 2, 3)), gained, rtol=0, atol=1e-10)
    # Without its hooks it would be the gradient times the difference.
    images.requires_grad_()
    scores = net(images).gather(1, targets[:, None]).sum()
    gradient = torch.autograd.grad(scores, images)[0] * (images - baselines)
    assert (found - gradient).abs().max() > 1e-3
    mean = DeepLiftShap(way(net)).attribute(images, baselines=others, target=targets)
    with torch.no_grad():
        gained = (net(images) - net(others).mean(dim=0)).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(mean.sum(dim=(1, 2, 3)), gained, rtol=0, atol=1e-10)


def network():
    return ImageShapNet(2, [4, 3, 5], [1, 2, 3])


def test_local_accuracy_and_missingness_in_every_stage_also_after_training():
    net, images = network(), torch.randn(6, 2, 7, 6)
    images[:, :, :3] = 0
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(4):
        loss = net(images).square().mean() + net.explain(images).stages[-1].abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        found = net.explain(images)
        torch.testing.assert_close(net(images), found.scores, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.stages[-1].sum(dim=(2, 3)), found.scores, rtol=0, atol=1e-10)
    for stage in found.stages:
        assert stage[:, :, :3].abs().max() < 1e-14
        assert stage[:, :, 3:].abs().max() > 1e-3


def test_stages_may_take_some_channels_and_pass_the_others_on():
    net = ImageShapNet(4, [3, 2], [1, 2], (1, 2), taken=[2, 5])
    images = torch.randn(3, 4, 5, 6)
    images[:, :, :, :2] = 0
    first, last = net.stages
    with torch.no_grad():
        between = torch.cat([images[:, 2:], first(images[:, :2])], dim=1)
        told = net.explain(images)
        assert torch.equal(told.stages[0], between)
        torch.testing.assert_close(told.stages[1], last(between))
        torch.testing.assert_close(told.scores, net(images))
        for stage in told.stages:
            assert stage[:, :, :, :2].abs().max() < 1e-14
        pruned, _ = net.pruned(images, 0.0)
        torch.testing.assert_close(pruned.stages[0], told.stages[0])
        torch.testing.assert_close(pruned.scores, told.scores)
        again = from_state(net.state_dict())
        assert torch.equal(again(images), net(images))


@pytest.mark.parametrize(("window", "dilation"), SHAPES)
def test_gradients_are_those_of_the_stage(window, dilation):
    torch.manual_seed(0)
    stage = ImageStage(2, 3, window, dilation).double()
    images = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(stage, (images,))
    loss = stage(images).sum()
    whole = torch.autograd.grad(loss, list(stage.parameters()), retain_graph=True)
    again = torch.autograd.grad(stage.total(images).sum(), list(stage.parameters()))
    for one, other in zip(whole, again, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("window", "dilation"), SHAPES)
def test_pruning_what_is_at_its_reference_changes_nothing(window, dilation):
    stage = ImageStage(2, 3, window, dilation)
    images = torch.randn(3, 2, 6, 7)
    images[0] = 0
    images[1, :, torch.rand(6, 7) < 0.7] = 0
    found, share = stage.pruned(images, 0.0)
    with torch.no_grad():
        torch.testing.assert_close(found, stage(images), rtol=0, atol=1e-12)
    assert 1 / 3 <= share < 0.9
    empty, none = stage.pruned(torch.zeros_like(images), 0.0)
    assert none == 0
    assert (empty == 0).all()


def test_pruning_skips_what_is_near_its_reference():
    net, images = network().eval(), torch.randn(4, 2, 7, 6)
    exact, whole = net.pruned(images, 0.0)
    with torch.no_grad():
        torch.testing.assert_close(exact.scores, net.explain(images).scores, rtol=0, atol=1e-10)
    assert whole == [1.0, 1.0, 1.0]
    fewer, shares = net.pruned(images, 0.3)
    assert shares[-1] < 1
    # As if those pixels were at their references in every stage.
    x = images
    for stage, found in zip(net.stages, fewer.stages, strict=True):
        near = (x.abs().amax(dim=1, keepdim=True) <= 0.3).expand_as(x)
        with torch.no_grad():
            expected = stage(torch.where(near, 0.0, x))
        x = torch.where(near[:, :1], 0.0, expected)
        torch.testing.assert_close(found, x, rtol=0, atol=1e-10)


def test_a_state_holds_the_structure(tmp_path):
    windows = [(1, 2), (2, 1)]
    net, images = ImageShapNet(1, [3, 2], [1, 3], windows), torch.randn(2, 1, 5, 6)
    torch.save(net.state_dict(), tmp_path / "state.pt")
    again = from_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert again.structure.tolist() == [[1, 2, 1, 1], [2, 1, 3, 3]]
    with torch.no_grad():
        torch.testing.assert_close(again(images), net(images), rtol=0, atol=0)
    with pytest.raises(InputError, match="no state of an image ShapNet"):
        from_state({"weight": torch.zeros(2)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageStage(1, 1, (3, 3)), "a window has 1 to 8 pixels"),
        (lambda: ImageStage(1, 1, (0, 2)), "a window has 1 to 8 pixels"),
        (lambda: ImageStage(1, 1, (2, 2), 0), "the dilation is at least 1"),
        (lambda: ImageShapNet(1, [2, 3], [1]), "2 widths and 1 dilations"),
        (lambda: ImageShapNet(1, [2, 3], [1, 1], [(1, 2)]), "with 1 windows: give one of each"),
        (lambda: ImageShapNet(2, [2, 3], [1, 1], taken=[1]), "give one number per stage"),
        (lambda: ImageShapNet(2, [2, 3], [1, 1], taken=[3, 2]), "stage 1 takes 3 of 2 channels"),
        (lambda: ImageShapNet(2, [2, 3], [1, 1], taken=[1, 2]), "it may take all 3"),
        (lambda: network()(torch.zeros(1, 3, 7, 7)), r"\(image, 2, height, width\) are needed"),
        (lambda: network()(torch.zeros(1, 2, 3, 7)), "windows reach over 4 × 4"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_networks_compile_whole():
    network = ImageShapNet(1, [3, 2], [1, 2], [(2, 2), (1, 2)]).eval()
    images = torch.randn(2, 1, 8, 8)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), network(images))
    explain = torch.compile(network.explain, backend="eager", fullgraph=True)
    torch.testing.assert_close(explain(images).stages, network.explain(images).stages)
