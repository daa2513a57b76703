"""Own video models: removal and values against slow code, memory, and what is refused."""

import re

import numpy as np
import oracle
import pytest
import torch
from lossless import write_video
from tiny import ROOT
from torchvision import models
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.core.errors import InputError
from pipeline.models import own
from pipeline.models.own import load_video_model
from pipeline.store import explanations, open_store
from pipeline.store.explanations import Effort
from pipeline.studies.frames import own_video, removal
from pipeline.studies.frames.own_video import explain_own_video

REMOVALS = ("delete", "freeze", "mean", "blank")
FRAMES = 7


class Scores:
    """Scores that depend on the order of frames, in float64; counts the clips that it sees."""

    classes = ("a", "b")
    frames = None
    digest = "1"

    def __init__(self):
        self.seen = 0

    def prepare(self, pictures):
        return pictures.double() / 255 - 0.4

    def __call__(self, clips):
        self.seen += len(clips)
        place = torch.linspace(1, 2, clips.shape[1], dtype=clips.dtype)
        of_frames = clips.mean(dim=(2, 3, 4))
        spread = of_frames.var(dim=1, correction=0)
        return torch.stack([(of_frames * place).sum(dim=1).sin(), spread], dim=1)


@pytest.fixture
def model(monkeypatch):
    made = Scores()
    monkeypatch.setattr(own_video, "load_video_model", lambda *args, **kwargs: made)
    return made


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A lossless clip of random pictures, 2 seconds long."""
    path = tmp_path_factory.mktemp("video") / "clip.mov"
    pixels = np.random.default_rng(0).integers(0, 256, (FRAMES, 6, 8, 3), dtype=np.uint8)
    write_video(path, pixels)
    return path, pixels


def slow_clip(clip, of_player, members, how):
    """What the model sees of a coalition, frame by frame."""
    present = [t for t in range(len(clip)) if of_player[t] in members]
    if not present and how in ("delete", "freeze"):
        return torch.zeros_like(clip)
    if how == "delete":
        return torch.stack([clip[t] for t in present])
    seen = []
    for t in range(len(clip)):
        if t in present:
            seen.append(clip[t])
        elif how == "freeze":
            seen.append(clip[min(present, key=lambda s, t=t: (abs(s - t), s))])
        else:
            seen.append(sum(clip) / len(clip) if how == "mean" else torch.zeros_like(clip[0]))
    return torch.stack(seen)


@pytest.mark.parametrize("how", REMOVALS)
@pytest.mark.parametrize(("n_frames", "n_players"), [(1, 1), (5, 5), (6, 3), (7, 3), (8, 5)])
def test_models_see_what_the_definition_says(how, n_frames, n_players, monkeypatch):
    monkeypatch.setitem(removal.BYTES_AT_ONCE, "cpu", 4 * n_frames * 3 * 2 * 2 * 5)  # five clips
    clip = torch.randn(n_frames, 3, 2, 2, dtype=torch.float64)
    of_player = removal.segments(n_frames, n_players)
    assert np.bincount(of_player).min() >= n_frames // n_players
    model = Scores()
    found = removal.clip_values(model, clip, of_player, how)(
        np.arange(2**n_players, dtype=np.uint64)
    )
    for mask in range(2**n_players):
        members = {p for p in range(n_players) if mask >> p & 1}
        expected = model(slow_clip(clip, of_player, members, how)[None])[0]
        np.testing.assert_allclose(found[mask], expected, atol=1e-6)


@pytest.mark.parametrize("how", REMOVALS)
def test_values_are_those_of_brute_force(model, video, tmp_path, how):
    path, pixels = video
    n = 5
    found = explain_own_video(path, "m:f", n_players=n, removal=how, results=tmp_path, device="cpu")
    assert found.evaluations == 2**n
    assert found.is_exact
    clip = model.prepare(torch.from_numpy(pixels[found.frames]).permute(0, 3, 1, 2))
    of_player = np.arange(n)

    def v(players):
        return model(slow_clip(clip, of_player, set(players), how)[None])[0].numpy()

    np.testing.assert_allclose(found.esv, oracle.shapley_values(v, n), atol=1e-6)
    np.testing.assert_allclose(found.scores, v(range(n)), atol=1e-6)
    np.testing.assert_allclose(found.empty, v(()), atol=1e-6)
    # The same again evaluates nothing but the check; another removal is another game.
    seen = model.seen
    again = explain_own_video(path, "m:f", n_players=n, removal=how, results=tmp_path, device="cpu")
    assert model.seen == seen + 2
    np.testing.assert_array_equal(again.esv, found.esv)


def test_an_interrupted_explanation_goes_on_from_what_was_evaluated(
    model, video, tmp_path, monkeypatch
):
    path, _ = video
    monkeypatch.setattr(explanations, "PAGE", 4)
    options = {"n_players": 5, "removal": "mean", "results": tmp_path, "device": "cpu"}
    real = Scores.__call__

    def interrupted(self, clips):
        if self.seen > 14:
            raise KeyboardInterrupt
        return real(self, clips)

    monkeypatch.setattr(Scores, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        explain_own_video(path, "m:f", **options)
    before, model.seen = model.seen - 2, 0
    monkeypatch.setattr(Scores, "__call__", real)
    explain_own_video(path, "m:f", **options)
    assert before > 0
    assert model.seen == 2 + 32 - before
    (store,) = (tmp_path / "coalitions/own").glob("*.zarr")
    assert open_store(store).record.specification == {"removal": "mean", "frames": 5}


def test_without_a_digest_nothing_is_kept(model, video, tmp_path, monkeypatch):
    monkeypatch.delattr(Scores, "digest")
    explain_own_video(video[0], "m:f", n_players=3, results=tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())


def test_scores_of_no_frames_may_be_given(model, video, tmp_path, monkeypatch):
    monkeypatch.setattr(Scores, "empty", torch.tensor([5.0, 6.0]), raising=False)
    options = {"n_players": 3, "results": tmp_path, "device": "cpu"}
    for how in ("delete", "freeze"):
        found = explain_own_video(video[0], "m:f", removal=how, **options)
        np.testing.assert_array_equal(found.empty, [5, 6])
    found = explain_own_video(video[0], "m:f", removal="blank", **options)
    assert found.empty[0] < 1


def test_many_players_are_estimated_with_errors_that_hold(model, video, tmp_path):
    options = {"n_players": FRAMES, "removal": "freeze", "results": tmp_path, "device": "cpu"}
    exact = explain_own_video(video[0], "m:f", effort=Effort(128), **options)
    found = explain_own_video(video[0], "m:f", effort=Effort(60, 1e-9), **options)
    assert found.evaluations <= 60
    assert not found.is_exact
    assert np.all(np.abs(found.esv - exact.esv) < 6 * found.standard_errors + 1e-9)
    np.testing.assert_allclose(found.esv.sum(axis=0), found.scores - found.empty, atol=1e-6)


def test_the_example_of_the_document_runs(video, tmp_path, monkeypatch):
    text = (ROOT / "docs/own-models.md").read_text()
    (code,) = re.findall(r"```python\n(# my_model.py.*?)```", text, flags=re.DOTALL)
    (command,) = re.findall(r"python -m pipeline (explain .*my_model:load.*?) *#", text)
    (tmp_path / "my_model.py").write_text(code)
    (tmp_path / "my.webm").write_bytes(video[0].read_bytes())
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    command = command.replace("--frames 12", "--frames 6")
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output
    assert "Values are exact, from 64 of 64 coalitions. Absent frames: freeze." in done.output
    assert (tmp_path / "my.webm.my_model-load.6.freeze.esv.png").exists()
    done = CliRunner().invoke(app, [*command.split(), "--budget", "40"])
    assert "Values are estimated (maximum sample reuse)" in done.output
    assert "±" in done.output


def r3d(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.get_model("r3d_18", weights=None).eval()


def test_a_network_of_torchvision_with_weights_in_a_file(tmp_path):
    network = r3d()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    described = models.get_model_weights("r3d_18").DEFAULT
    pictures = torch.randint(0, 256, (16, 3, 40, 60), dtype=torch.uint8)
    logits = load_video_model("torchvision:r3d_18", weights=tmp_path / "weights.pt", score="logit")
    scores = load_video_model("torchvision:r3d_18", weights=tmp_path / "weights.pt")
    assert logits.digest != scores.digest
    assert scores.frames == 16
    assert list(scores.classes) == described.meta["categories"]
    with torch.no_grad():
        expected = network(described.transforms()(pictures)[None])
        found = logits(logits.prepare(pictures)[None])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        found = scores(scores.prepare(pictures)[None])
        np.testing.assert_allclose(found, expected.softmax(dim=1), atol=1e-6)


def test_weights_that_torchvision_has_fetched_are_used(tmp_path, monkeypatch):
    described = models.get_model_weights("r3d_18").DEFAULT
    network = r3d(1)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    name = described.url.rpartition("/")[2]
    torch.save(network.state_dict(), tmp_path / "hub/checkpoints" / name)
    clips = torch.randn(1, 16, 3, 16, 16)
    found = load_video_model("torchvision:r3d_18", score="logit")
    with torch.no_grad():
        np.testing.assert_allclose(found(clips), network(clips.transpose(1, 2)), atol=1e-5)


def test_weights_that_cannot_be_fetched_are_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"cannot be fetched from https://.* with --weights"):
        load_video_model("torchvision:r3d_18")


def test_weights_that_do_not_fit_are_refused(tmp_path):
    torch.save(models.get_model("mc3_18", weights=None).state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other.pt: does not fit r3d_18: .*size mismatch") as told:
        load_video_model("torchvision:r3d_18", weights=tmp_path / "other.pt")
    assert len(str(told.value)) < 700
    (tmp_path / "text.pt").write_text("no weights")
    for path, message in (
        (tmp_path / "text.pt", "cannot be read as a file of weights"),
        (tmp_path / "none.pt", "none.pt"),
    ):
        with pytest.raises(InputError, match=message):
            load_video_model("torchvision:r3d_18", weights=path)
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(InputError, match="holds a Tensor, not the state of a network"):
        load_video_model("torchvision:r3d_18", weights=tmp_path / "tensor.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet", "give trn, tsn, torchvision:<network> or <module>:<function>"),
        ("torchvision:r4d", "has no video classifier 'r4d'; choose .*r3d_18"),
        ("no_such_module:f", "No module named 'no_such_module'; the module must be installed"),
        ("json:no_such_function", "has no attribute 'no_such_function'"),
        ("builtins:dict", "returns a dict without classes, frames, prepare"),
    ],
)
def test_models_that_do_not_exist_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        load_video_model(name)


def test_an_own_model_takes_no_file_of_weights(tmp_path):
    with pytest.raises(InputError, match="loads its own weights"):
        load_video_model("builtins:dict", weights=tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            lambda s: s.new_zeros(len(s), 3),
            r"returns \(1, 3\) for clips .* \(1, 2\) \(clip, cl",
        ),
        (lambda s: s.tolist(), "returns list"),
        (lambda s: s * float("nan"), "returns NaN or Inf"),
        (lambda s: s + torch.rand(1), r"change from call to call \(by .*model.eval\(\)"),
    ],
)
def test_unusable_scores_are_refused_before_anything_is_evaluated(
    model, video, tmp_path, monkeypatch, changed, message
):
    real = Scores.__call__
    monkeypatch.setattr(Scores, "__call__", lambda self, clips: changed(real(self, clips)))
    with pytest.raises(InputError, match=message):
        explain_own_video(video[0], "m:f", n_players=5, results=tmp_path, device="cpu")
    assert model.seen <= 2
    assert not list(tmp_path.iterdir())


def test_what_the_model_cannot_take_is_refused(model, video, tmp_path, monkeypatch):
    options = {"results": tmp_path, "device": "cpu"}
    with pytest.raises(InputError, match="has 7 frames, fewer than the 9 players; give --frames 7"):
        explain_own_video(video[0], "m:f", n_players=9, **options)
    with pytest.raises(InputError, match="65 players; at most 64"):
        explain_own_video(video[0], "m:f", n_players=65, **options)
    monkeypatch.setattr(Scores, "frames", 6)
    with pytest.raises(InputError, match=r"delete makes clips shorter, .* clips of 6 frames"):
        explain_own_video(video[0], "m:f", n_players=3, removal="delete", **options)
    with pytest.raises(InputError, match="7 players cannot share a clip of 6 frames"):
        explain_own_video(video[0], "m:f", n_players=7, **options)


def test_the_protocol_is_what_the_document_says():
    assert isinstance(Scores(), own.VideoModel)
