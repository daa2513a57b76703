import pickle

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.networks import backbones, checkpoints, devices
from pipeline.networks.sequences import Averaging, SingleScale
from pipeline.networks.training import fit


def test_checkpoints_come_back(tmp_path):
    network = SingleScale(2, 3, 4, 5)
    checkpoints.save(tmp_path / "a.pt", network, {"scale": 2})
    checkpoints.save(tmp_path / "other-name.pt", network, {"scale": 2})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "other-name.pt").read_bytes()
    description, state = checkpoints.load(tmp_path / "a.pt")
    assert description == {"scale": 2}
    again = SingleScale(2, 3, 4, 5)
    assert checkpoints.state_digest(again) != checkpoints.state_digest(network)
    checkpoints.fill(again, state, tmp_path / "a.pt")
    assert checkpoints.state_digest(again) == checkpoints.state_digest(network)


def test_plain_state_dicts_are_read(tmp_path):
    network = Averaging(3, 2)
    parallel = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": parallel}, tmp_path / "a.pt")
    description, state = checkpoints.load(tmp_path / "a.pt")
    assert description == {}
    checkpoints.fill(Averaging(3, 2), state, tmp_path / "a.pt")


class Unwelcome:
    def __reduce__(self):
        return (print, ("was unpickled",))


@pytest.mark.parametrize("kind", ["pickle", "object", "text", "empty", "number", "missing"])
def test_what_is_no_checkpoint_is_refused(tmp_path, kind, capsys):
    path = tmp_path / "bad.pt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Unwelcome()))
    elif kind == "object":
        torch.save({"x": Unwelcome()}, path)
    elif kind == "number":
        torch.save({"x": 3}, path)
    elif kind != "missing":
        path.write_text("text" if kind == "text" else "")
    with pytest.raises(InputError, match=r"bad.pt: (cannot be read|holds no|there is no)"):
        checkpoints.load(path)
    assert "was unpickled" not in capsys.readouterr().out


def test_a_state_of_another_network_is_refused_by_name():
    state = SingleScale(2, 3, 4, 5).state_dict()
    state["extra"] = torch.zeros(1)
    del state["first.bias"]
    with pytest.raises(InputError) as error:
        checkpoints.fill(SingleScale(3, 3, 4, 5), state, "x.pt")
    message = "x.pt: does not fit a SingleScale: missing: first.bias; unknown: extra; other shape: "
    assert str(error.value) == message + "first.weight"


def test_training_learns_and_tells_its_loss():
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    inputs = torch.randn(64, 2)
    targets = inputs @ torch.tensor([[2.0], [-1.0]])
    history = fit(
        network,
        lambda batch: (network(batch[0]) - batch[1]).square().mean(),
        lambda epoch: [(inputs, targets)] * 20,
        epochs=5,
        batches_per_epoch=20,
        learning_rate=0.05,
        description="test",
    )
    assert len(history) == 5
    assert history[-1] < 0.05 * history[0]
    assert not network.training


def test_training_that_diverges_is_an_error():
    network = nn.Linear(1, 1)
    with pytest.raises(
        InputError, match=r"the loss became nan in epoch 1; lower the learning rate"
    ):
        fit(
            network,
            lambda batch: network(batch).sum() * float("nan"),
            lambda epoch: [torch.ones(1, 1)],
            epochs=1,
            batches_per_epoch=1,
            learning_rate=0.1,
            description="test",
        )


@pytest.mark.parametrize("size", [32, 48, 65])
def test_the_small_backbone_takes_pictures_of_any_size(size):
    network = backbones.build("small", 7).eval()
    pictures = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    assert network(backbones.normalise(pictures)).shape == (2, 7)


def test_resnet50_has_a_bottleneck_and_takes_its_checkpoint(tmp_path):
    network = backbones.build("resnet50", 9).eval()
    assert network.bottleneck.in_features == 2048
    pictures = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert network(backbones.normalise(pictures)).shape == (1, 9)
    checkpoints.save(tmp_path / "r.pt", network, {})
    other = backbones.build("resnet50", 9)
    checkpoints.fill(other, checkpoints.load(tmp_path / "r.pt")[1], tmp_path / "r.pt")
    assert checkpoints.state_digest(other) == checkpoints.state_digest(network)


def test_pictures_are_normalised_channel_by_channel():
    pictures = torch.zeros((1, 2, 2, 3), dtype=torch.uint8)
    pictures[..., 1] = 255
    found = backbones.normalise(pictures)
    assert found.shape == (1, 3, 2, 2)
    expected = [-0.485 / 0.229, (1 - 0.456) / 0.224, -0.406 / 0.225]
    np.testing.assert_allclose(found[0, :, 0, 0], expected, rtol=1e-5)


def test_devices():
    assert devices.resolve("cpu").type == "cpu"
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert devices.resolve("auto").type == expected
    with pytest.raises(InputError, match=r"device: cuda:99 is asked for, but \d+ CUDA"):
        devices.resolve("cuda:99")
