"""Tests pictures of filters, and the network that recognises faces."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.data.faces import faces
from pipeline.data.wheels import WheelFile
from pipeline.models import checkpoints
from pipeline.models.devices import resolve
from pipeline.models.rnet import RNet
from pipeline.studies.neurons import faces as of_faces
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.networks import SmallNetwork
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    FacesParams,
    PairsParams,
    PicturesParams,
    RemovalParams,
)
from pipeline.studies.neurons.pictures import (
    Chosen,
    blurred,
    dream,
    largest,
    largest_of_layers,
    portraits,
    read_portraits,
    write_portraits,
)
from pipeline.studies.neurons.stages import draw_faces
from pipeline.studies.neurons.stages import faces as stage

COALITIONS = CoalitionsParams(absent="mean", block=16, seed=0)
PICTURES = PicturesParams(
    images=3, layers=4, of_class=1, steps=60, step=0.05, jitter=1, blur=0.3, seed=0
)
NOWHERE = WheelFile("no-such-weights==1.0", "0" * 64, "weights.pt")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 1, (20, 1, 8, 8)).astype(np.float32)
    labels = np.arange(20) % 3
    return Images(pixels, labels, ("a", "b", "c"), np.zeros(20, dtype=bool))


@pytest.fixture(scope="module")
def filters(images, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("networks") / "plain.pt"
    network = SmallNetwork(1, 3, [4, 5])
    checkpoints.save(path, network, network.description())
    return read_filters(path, images, COALITIONS, None, resolve("cpu"))


def test_images_that_activate_a_filter_most_and_least(filters, images):
    values, errors = np.arange(9.0), np.ones(9)
    chosen = largest("accuracy", values, errors, 3, np.array([8]))
    assert [each.player for each in chosen] == [7, 6, 5]
    found = portraits(filters, images, chosen, PICTURES)
    assert found.filters == ("body.2:3", "body.2:2", "body.2:1")
    assert found.values.tolist() == [7, 6, 5]
    network = filters.masked.network
    with torch.no_grad():
        first = network.body[1](network.body[0](torch.from_numpy(images.pixels)))
        means = network.body[2](first).mean(dim=(2, 3)).numpy()[:, [3, 2, 1]]
    for place in range(3):
        order = np.argsort(means[:, place])
        np.testing.assert_array_equal(found.least[place], images.pixels[order[:3]])
        np.testing.assert_array_equal(found.most[place], images.pixels[order[::-1][:3]])
        ends = [means[order[-1], place], means[order[0], place]]
        np.testing.assert_allclose(found.strengths[place, :2], ends, rtol=1e-5)


def test_the_largest_of_each_layer(filters):
    values = np.array([1.0, 4, 2, 3, 9, 5, 8, 7, 6])
    found = largest_of_layers(filters, "accuracy", values, np.zeros(9), 4)
    assert [each.player for each in found] == [1, 3, 4, 6]
    found = largest_of_layers(filters, "accuracy", values, np.zeros(9), 1)
    assert [each.player for each in found] == [1]


def test_dreams_go_beyond_every_image(filters, images):
    players = np.array([0, 5, 8])
    found, reached = dream(filters, (1, 8, 8), players, PICTURES)
    assert found.shape == (3, 2, 1, 8, 8)
    assert found.min() >= 0
    assert found.max() <= 1
    chosen = [Chosen(int(player), "accuracy", 1.0, 0.1) for player in players]
    known = portraits(filters, images, chosen, PICTURES).strengths
    assert (reached[:, 0] > known[:, 0]).all()
    assert (reached[:, 1] < known[:, 1]).all()
    np.testing.assert_allclose(known[:, 2:], reached, rtol=1e-5)
    network = filters.masked.network
    with torch.no_grad():
        told = network.body[0](torch.from_numpy(found[0]))[:, 0].mean(dim=(1, 2))
    np.testing.assert_allclose(reached[0], told.numpy(), rtol=1e-4)


def test_a_blur_spreads_a_point_and_keeps_what_is_even():
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    found = blurred(point, 0.8)
    assert found.sum().item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(found, found.transpose(2, 3))
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 0.8) ** 2)
    assert found[0, 0, 4, 2:7].numpy() == pytest.approx(
        weights / weights.sum() * (weights[2] / weights.sum()), abs=1e-6
    )
    even = torch.full((2, 3, 4, 5), 0.3)
    torch.testing.assert_close(blurred(even, 0.8), even)
    assert blurred(point, 0.0) is point


def test_portraits_are_read_as_they_were_written(filters, images, tmp_path):
    chosen = largest("accuracy", np.arange(9.0), np.ones(9), 2, np.empty(0, int))
    found = portraits(filters, images, chosen, PICTURES)
    write_portraits(tmp_path / "a.h5", found)
    again = read_portraits(tmp_path / "a.h5")
    assert again.filters == found.filters
    np.testing.assert_array_equal(again.dreams, found.dreams)
    write_portraits(tmp_path / "none.h5", None)
    assert read_portraits(tmp_path / "none.h5") is None
    (tmp_path / "b.h5").write_bytes(b"no such file")
    with pytest.raises(InputError, match=r"b\.h5: holds no pictures of filters"):
        read_portraits(tmp_path / "b.h5")
    many = PICTURES.model_copy(update={"images": 21})
    with pytest.raises(InputError, match=r"21 images per filter .* there are only 20"):
        portraits(filters, images, chosen, many)


def test_rnet_is_as_the_paper_draws_it():
    torch.manual_seed(0)
    network = RNet().double().eval()
    images = torch.rand(2, 3, 24, 24, dtype=torch.float64)
    shapes = []
    for name in ("pool1", "pool2", "prelu3"):
        module = network.get_submodule(name)
        module.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        scores = network(images)
    assert shapes == [(28, 11, 11), (48, 4, 4), (64, 3, 3)]
    # The hidden layer takes width, height, channel, in this order.
    x = images * 255
    x = (x - 127.5) / 128
    with torch.no_grad():
        for conv, prelu, pool in (
            (network.conv1, network.prelu1, network.pool1),
            (network.conv2, network.prelu2, network.pool2),
            (network.conv3, network.prelu3, nn.Identity()),
        ):
            x = pool(prelu(conv(x)))
        flat = torch.stack(
            [
                torch.stack([x[i, c, h, w] for w in range(3) for h in range(3) for c in range(64)])
                for i in range(2)
            ]
        )
        expected = network.dense5_1(network.prelu4(network.dense4(flat)))
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-10)


def test_faces_are_split_evenly():
    every = faces(24)
    assert every.pixels.shape == (200, 3, 24, 24)
    assert every.labels.sum() == 100
    parts = of_faces.read_faces()
    assert [len(part) for part in parts.values()] == [100, 100]
    assert [part.labels.sum() for part in parts.values()] == [50, 50]


REMOVAL = RemovalParams(most=3, top=4, classes=1, excluded=0.2, random_orders=2, steps=2, seed=0)


def played(checkpoint, folder):
    stage.main(
        checkpoint=checkpoint,
        coalitions=COALITIONS,
        pairs=PairsParams(count=4, rounds=2),
        params=REMOVAL,
        pictures=PICTURES.model_copy(update={"steps": 2}),
        out=folder / "faces.json",
        table=folder / "faces.csv",
        portraits_of=folder / "faces.h5",
        device="cpu",
    )
    figures = [folder / "faces.png"]
    draw_faces.main(
        numbers=folder / "faces.json", portraits_of=folder / "faces.h5", figures=figures
    )
    return json.loads((folder / "faces.json").read_bytes())


def test_faces_with_weights_from_a_file(tmp_path):
    torch.manual_seed(0)
    torch.save(RNet().state_dict(), tmp_path / "weights.pt")
    params = FacesParams(weights=str(tmp_path / "weights.pt"))
    of_faces.write_weights(params, tmp_path / "faces.pt")
    assert of_faces.left_out(tmp_path / "faces.pt") is None
    found = played(tmp_path / "faces.pt", tmp_path)
    assert found["left_out"] is None
    assert found["filters"] == 140
    assert found["evaluations"] == 100 * 2 * 10
    assert sum(layer["top"] for layer in found["layers"]) == 4
    assert (tmp_path / "faces.png").exists()
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt: does not fit a RNet"):
        of_faces.write_weights(FacesParams(weights=str(tmp_path / "other.pt")), tmp_path / "no.pt")
    assert not (tmp_path / "no.pt").exists()


def test_faces_are_left_out_where_their_weights_cannot_be_had(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    of_faces.write_weights(FacesParams(weights="fetch"), tmp_path / "faces.pt", NOWHERE)
    assert "faces are left out: no-such-weights==1.0 cannot be fetched" in caplog.text
    found = played(tmp_path / "faces.pt", tmp_path)
    assert found["left_out"].startswith("no-such-weights==1.0 cannot be fetched")
    assert (tmp_path / "faces.csv").read_text().splitlines() == [
        "of,method,removed,metric,value,standard_error"
    ]
    assert (tmp_path / "faces.png").exists()
