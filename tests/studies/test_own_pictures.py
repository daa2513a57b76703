"""Own picture models: values of areas against brute force, gradients, and what is refused."""

import re

import numpy as np
import oracle
import pytest
import torch
from PIL import Image
from tiny import ROOT
from torchvision import models
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.core.errors import InputError
from pipeline.models.own import load_picture_model
from pipeline.store.explanations import Effort
from pipeline.studies.baselines import own_picture
from pipeline.studies.baselines.integrated import Attribution
from pipeline.studies.baselines.own_picture import (
    absent_picture,
    explain_own_picture,
    partition,
    read_picture,
)

HEIGHT, WIDTH = 24, 36


class Scores:
    """Scores that are not additive over pixels; counts the pictures that it sees."""

    classes = ("a", "b", "c")
    digest = "1"

    def __init__(self):
        self.seen = 0
        rng = np.random.default_rng(0)
        self.weights = torch.from_numpy(rng.normal(size=(3, 3, HEIGHT, WIDTH)) / 10)

    def prepare(self, picture):
        return picture.double() / 255 - 0.3

    def __call__(self, pictures):
        self.seen += len(pictures)
        return torch.einsum("bchw,kchw->bk", pictures, self.weights).sigmoid()


@pytest.fixture
def model(monkeypatch):
    made = Scores()
    monkeypatch.setattr(own_picture, "load_picture_model", lambda *args, **kwargs: made)
    return made


@pytest.fixture
def picture(tmp_path):
    tiles = np.random.default_rng(1).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    pixels = tiles.repeat(HEIGHT // 2, axis=0).repeat(WIDTH // 3, axis=1)
    Image.fromarray(pixels).save(tmp_path / "a picture.png")
    return tmp_path / "a picture.png"


@pytest.mark.parametrize("absent", ["zero", "mean", "blur"])
@pytest.mark.parametrize("areas", ["2x3", "1x4", "segments:5"])
def test_values_are_those_of_brute_force(model, picture, tmp_path, absent, areas):
    found = explain_own_picture(
        picture, "m:f", areas=areas, absent=absent, results=tmp_path / "r", device="cpu"
    )
    whole = model.prepare(read_picture(picture))
    instead = absent_picture(whole, absent)
    n = int(found.areas.max()) + 1
    scores = model(whole[None])[0].numpy()
    first, second = np.argsort(-scores)[:2]
    assert found.classes == (Scores.classes[first], Scores.classes[second])

    def v(players):
        shown = torch.from_numpy(np.isin(found.areas, list(players)))
        return model(torch.where(shown, whole, instead)[None])[0, [first, second]].numpy()

    assert found.is_exact
    assert found.estimate.evaluations == 2**n
    np.testing.assert_allclose(found.estimate.values, oracle.shapley_values(v, n), atol=1e-6)
    np.testing.assert_allclose(found.scores, v(range(n)), atol=1e-6)
    np.testing.assert_allclose(found.empty, v(()), atol=1e-6)
    # Integrated Gradients sum to the difference of the scores (completeness).
    for gradients in (found.gradients, found.shapley_gradients):
        assert gradients.shape == (HEIGHT, WIDTH)
        total = found.of_areas(gradients).sum()
        assert total == pytest.approx(found.scores[0] - found.empty[0], abs=2e-2)


def test_absent_pictures():
    picture = torch.rand(3, 16, 20)
    assert not absent_picture(picture, "zero").any()
    mean = absent_picture(picture, "mean")
    assert mean.shape == picture.shape
    torch.testing.assert_close(mean[:, 3, 5], picture.mean(dim=(1, 2)))
    blurred = absent_picture(picture, "blur")
    assert blurred.std() < 0.5 * picture.std()


def test_partitions():
    shown = np.random.default_rng(0).random((10, 7, 3)).astype(np.float32)
    grid = partition("3x2", shown)
    assert [len(set(row)) for row in grid] == [2] * 10
    assert np.bincount(grid.ravel()).tolist() == [16, 12, 12, 9, 12, 9]
    tiles = np.random.default_rng(0).random((2, 3, 3)).repeat(20, axis=0).repeat(20, axis=1)
    segments = partition("segments:6", tiles.astype(np.float32))
    assert set(segments.ravel()) == set(range(segments.max() + 1))
    assert 4 <= segments.max() + 1 <= 9
    for text, message in (
        ("4", "give <rows>x<columns>, such as 4x4, or segments:<n>"),
        ("1x1", "give at least two"),
        ("11x2", "of a picture of 10 × 7 pixels"),
        ("segments:1", "makes one area"),
        ("10x7", "makes 70 areas; at most 64"),
    ):
        with pytest.raises(InputError, match=message):
            partition(text, shown)


def test_the_same_again_evaluates_no_coalition(model, picture, tmp_path, monkeypatch):
    def nothing(scores, shown, *args, **kwargs):
        return Attribution(torch.zeros(shown.shape), 0, 0, 0.0)

    monkeypatch.setattr(own_picture, "integrated_gradients", nothing)
    monkeypatch.setattr(own_picture, "shapley_integrated_gradients", nothing)
    options = {"areas": "2x2", "results": tmp_path / "r", "device": "cpu"}
    first = explain_own_picture(picture, "m:f", **options)
    checks = 3
    assert model.seen == 16 + checks
    model.seen = 0
    again = explain_own_picture(picture, "m:f", **options)
    np.testing.assert_array_equal(again.estimate.values, first.estimate.values)
    assert model.seen == checks
    explain_own_picture(picture, "m:f", **options | {"absent": "zero"})
    assert model.seen == 16 + 2 * checks


def test_classes_of_the_same_name_are_told_apart(model, picture, tmp_path, monkeypatch):
    monkeypatch.setattr(Scores, "classes", ("crane", "crane", "crane"))
    found = explain_own_picture(picture, "m:f", areas="1x2", results=tmp_path / "r", device="cpu")
    assert len(set(found.classes)) == 2


def test_many_areas_are_estimated(model, picture, tmp_path):
    options = {"areas": "3x3", "results": tmp_path / "r", "device": "cpu"}
    exact = explain_own_picture(picture, "m:f", **options)
    found = explain_own_picture(picture, "m:f", effort=Effort(200, 1e-9), **options)
    assert found.estimate.evaluations <= 200
    assert not found.is_exact
    error = np.abs(found.estimate.values - exact.estimate.values)
    assert (error < 6 * found.estimate.standard_errors).all()


def resnet(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.get_model("resnet18", weights=None).eval()


def test_a_network_of_torchvision(tmp_path, picture):
    network = resnet()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    described = models.get_model_weights("resnet18").DEFAULT
    found = load_picture_model("torchvision:resnet18", weights=tmp_path / "weights.pt")
    assert list(found.classes) == described.meta["categories"]
    pixels = read_picture(picture)
    with torch.no_grad():
        expected = network(described.transforms()(pixels)[None]).softmax(dim=1)
        np.testing.assert_allclose(found(found.prepare(pixels)[None]), expected, atol=1e-6)
    with pytest.raises(InputError, match=r"no picture classifier 'resnet19'; choose .*resnet18"):
        load_picture_model("torchvision:resnet19")


def test_the_commands_of_the_document_run(tmp_path, monkeypatch, picture):
    text = (ROOT / "docs/own-models.md").read_text()
    commands = re.findall(r"python -m pipeline (explain my\.\w+ --model \S+ --areas .*?) *#", text)
    assert len(commands) == 2
    (code,) = re.findall(r"```python\n(# my_pictures.py.*?)```", text, flags=re.DOTALL)
    (tmp_path / "my_pictures.py").write_text(code)
    Image.open(picture).resize((90, 60)).convert("RGB").save(tmp_path / "my.jpg")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    torch.save(models.get_model("resnet50", weights=None).state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for command in commands:
        arguments = command.split()
        if "torchvision" in command:
            arguments = [*command.replace("4x4", "1x2").split(), "--weights", "w.pt"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert "Values are exact" in done.output
    assert len(list(tmp_path.glob("my.jpg.*.png"))) == 2
    for wrong, message in (
        (["--removal", "freeze"], "--removal: 'freeze' is none of mean, zero, blur"),
        (["--class", "darj"], "did you mean 'dark'"),
        (["--score", "mean_of_softmax"], "choose probability or logit"),
    ):
        done = CliRunner().invoke(app, ["explain", "my.jpg", "--model", "my_pictures:load", *wrong])
        assert done.exit_code != 0
        assert message in str(done.exception) + done.output


def test_files_that_are_no_pictures_are_refused(model, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "none.png"):
        with pytest.raises(InputError, match=f"{name}: cannot be read as a picture"):
            explain_own_picture(tmp_path / name, "m:f", device="cpu")


def test_pictures_are_turned_upright(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    tags = Image.Exif()
    tags[0x0112] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=tags)
    found = read_picture(tmp_path / "a.png").permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, np.rot90(pixels, -1))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda s: s[:, :2], r"returns \(1, 2\) for one picture; scores of shape \(1, 3\)"),
        (lambda s: s.tolist(), "returns list"),
        (lambda s: s * float("nan"), "returns NaN or Inf"),
        (lambda s: s + torch.rand(1), r"change from call to call \(by .*model.eval\(\)"),
    ],
)
def test_unusable_scores_are_refused_before_anything_is_evaluated(
    model, picture, tmp_path, monkeypatch, changed, message
):
    real = Scores.__call__
    monkeypatch.setattr(Scores, "__call__", lambda self, pictures: changed(real(self, pictures)))
    with pytest.raises(InputError, match=message):
        explain_own_picture(picture, "m:f", results=tmp_path / "r", device="cpu")
    assert model.seen <= 2
    assert not (tmp_path / "r").exists()
