import pickle
from urllib.error import URLError

import numpy as np
import pytest
import stages
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.models import backbones, checkpoints, devices
from pipeline.models.sequences import Averaging, SingleScale
from pipeline.models.training import fit
from pipeline.studies.frames.feature_files import feature_writer
from pipeline.studies.frames.params import ScaleParams, ScalesParams, TsnParams
from pipeline.studies.frames.scales import Joint, load_joint, load_scale
from pipeline.studies.frames.tsn import load_averaging


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


def test_a_directory_or_half_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match=r": is a directory; give the file of a checkpoint"):
        checkpoints.load(tmp_path)
    for content, message in (
        ({"format": checkpoints.FORMAT}, "holds no description"),
        ({"format": checkpoints.FORMAT, "description": {}}, "holds no state dict"),
        ({1: torch.zeros(1)}, "holds no state dict"),
    ):
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(InputError, match=f"a.pt: {message}"):
            checkpoints.load(tmp_path / "a.pt")


SCALE = {"scale": 2, "feature_dim": 3, "hidden": 4, "n_classes": 5}


def test_networks_are_built_from_what_the_description_says(tmp_path):
    scale, averaging = SingleScale(**SCALE), Averaging(3, 5)
    more = {"n_max": 8, "backbone_sha256": None}
    checkpoints.save(tmp_path / "s.pt", scale, SCALE | more)
    checkpoints.save(tmp_path / "a.pt", averaging, {"feature_dim": 3, "n_classes": 5} | more)
    for path, load, network in (
        ("s.pt", load_scale, scale),
        ("a.pt", load_averaging, averaging),
    ):
        found = load(tmp_path / path)
        assert not found.training
        assert checkpoints.state_digest(found) == checkpoints.state_digest(network)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    checkpoints.save(tmp_path / "s.pt", SingleScale(**SCALE), SCALE)
    checkpoints.save(tmp_path / "a.pt", Averaging(3, 5), {"feature_dim": 3, "n_classes": 5})
    checkpoints.save(tmp_path / "odd.pt", SingleScale(**SCALE), SCALE | {"hidden": "four"})
    checkpoints.save(tmp_path / "minus.pt", SingleScale(**SCALE), SCALE | {"hidden": -4})
    torch.save(Averaging(3, 5).state_dict(), tmp_path / "plain.pt")
    for load, path, message in (
        (load_scale, "a.pt", r"no checkpoint of a SingleScale: .* lacks scale, hidden \(it has"),
        (load_averaging, "s.pt", "does not fit a Averaging: missing: classifier.bias"),
        (load_averaging, "plain.pt", r"lacks feature_dim, n_classes \(it is empty\)"),
        (load_scale, "odd.pt", "its description does not fit a SingleScale"),
        (load_scale, "minus.pt", "its description does not fit a SingleScale"),
        (load_scale, ".", "is a directory"),
    ):
        with pytest.raises(InputError, match=message) as error:
            load(tmp_path / path)
        assert str(error.value).startswith(str(tmp_path / path))


def test_trained_models_tell_what_they_were_trained_for(tmp_path):
    rng = np.random.default_rng(0)
    with feature_writer(tmp_path / "f.h5", backbone_sha256="ab12") as append:
        for label in (0, 1):
            append(f"v{label}", label, rng.normal(size=(4, 3)), np.arange(4))
    (tmp_path / "p.json").write_text('{"classes": ["a", "b"], "counts": [1, 1]}')
    common = {"frames": 3, "dropout": 0.0, "learning_rate": 0.1, "batch": 2, "draws": 1}
    common |= {"epochs": 1, "least_steps": 0, "seed": 0}
    given = {"features": tmp_path / "f.h5", "priors": tmp_path / "p.json", "device": "cpu"}
    scales = ScaleParams(hidden=4, **common)
    stages.run("frames_scales", **given, scale=2, params=scales, out=tmp_path / "s.pt")
    together = ScalesParams(hidden=4, n_max=2, **common)
    stages.run("frames_joint", **given, params=together, out=tmp_path / "j.pt")
    stages.run("frames_tsn", **given, params=TsnParams(**common), out=tmp_path / "a.pt")
    dimensions = {"feature_dim": 3, "n_classes": 2, "backbone_sha256": "ab12"}
    expected = dimensions | {"scale": 2, "hidden": 4}
    assert checkpoints.load(tmp_path / "s.pt")[0] == expected
    assert checkpoints.load(tmp_path / "a.pt")[0] == dimensions
    assert checkpoints.load(tmp_path / "j.pt")[0] == dimensions | {"n_max": 2, "hidden": 4}
    joint = load_joint(tmp_path / "j.pt")
    assert [scale.scale for scale in joint.scales] == [1, 2]
    assert not joint.training


@pytest.mark.parametrize("sizes", [(1,), (1, 2, 3)])
def test_joint_scales_give_the_mean_of_each_on_its_own_part(sizes):
    torch.manual_seed(0)
    scales = [SingleScale(size, 3, 4, 5).eval() for size in sizes]
    frames = torch.randn(7, sum(sizes), 3)
    expected, start = torch.zeros(7, 5), 0
    for scale in scales:
        expected += scale(frames[:, start : start + scale.scale]) / len(sizes)
        start += scale.scale
    torch.testing.assert_close(Joint(scales).eval()(frames), expected)


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


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6])
def test_parts_of_a_batch_give_the_gradients_of_the_whole(steps, schedule):
    inputs, targets = torch.randn(7, 2), torch.randn(7, 1)

    def trained(at_once):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
        history = fit(
            network,
            lambda batch: (network(batch[0]) - batch[1]).square().mean(),
            lambda epoch: [(inputs.double(), targets.double())] * steps,
            epochs=1,
            batches_per_epoch=steps,
            learning_rate=0.05,
            description="test",
            schedule=schedule,
            at_once=at_once,
        )
        return history, network(inputs.double())

    history, scores = trained(None)
    for at_once in (1, 3, 7, 9):
        others, found = trained(at_once)
        assert others == pytest.approx(history, rel=1e-12)
        torch.testing.assert_close(found, scores, rtol=1e-7, atol=1e-9)


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
    network = backbones.build("small", 7, size).eval()
    pictures = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    assert network(backbones.normalise(pictures)).shape == (2, 7)


def test_resnet50_has_a_bottleneck_and_takes_its_checkpoint(tmp_path):
    network = backbones.build("resnet50", 9, 64).eval()
    assert network.bottleneck.in_features == 2048
    pictures = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert network(backbones.normalise(pictures)).shape == (1, 9)
    checkpoints.save(tmp_path / "r.pt", network, {})
    other = backbones.build("resnet50", 9, 64)
    checkpoints.fill(other, checkpoints.load(tmp_path / "r.pt")[1], tmp_path / "r.pt")
    assert checkpoints.state_digest(other) == checkpoints.state_digest(network)


def test_weights_that_cannot_be_downloaded_are_named(monkeypatch, tmp_path):
    def offline(*arguments, **options):
        raise URLError("no connection")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"there is no .*resnet50.*put the file there, or set"):
        backbones.build("resnet50", 9, 64, pretrained=True)


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
    with pytest.raises(InputError, match=r"device: cuda:99 is requested, but \d+ CUDA"):
        devices.resolve("cuda:99")
