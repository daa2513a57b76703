"""A model of the user's for a whole folder of videos: what is listed, stored, drawn and refused."""

import csv
import json
import shutil

import numpy as np
import oracle
import pytest
import stages
import study as run
import torch
from lossless import write_video
from test_own_videos import Scores, slow_clip
from tiny import tiny_params

from pipeline.core.errors import InputError
from pipeline.store import open_store
from pipeline.studies.frames import own_game, paths
from pipeline.studies.frames.own_clips import read_clips
from pipeline.studies.frames.params import OwnModelParams
from pipeline.studies.frames.values import read_values

NAME = "my:model"
LENGTHS = {"b": 7, "a": 9, "short": 3}


class Six(Scores):
    """Wants six frames."""

    frames = 6


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of lossless videos, and their pictures."""
    folder = tmp_path_factory.mktemp("folder")
    rng = np.random.default_rng(0)
    pixels = {
        name: rng.integers(0, 256, (length, 6, 8, 3), dtype=np.uint8)
        for name, length in LENGTHS.items()
    }
    for name, of_video in pixels.items():
        write_video(folder / f"{name}.mov", of_video)
    (folder / "notes.txt").write_text("no video")
    return folder, pixels


@pytest.fixture
def model(monkeypatch):
    made = Six()
    monkeypatch.setattr(own_game, "load_video_model", lambda *args, **kwargs: made)
    return made


@pytest.fixture
def study(tmp_path):
    changed = {"coalitions": {"n": 3}, "model": NAME, "discard": {"random_orders": 2}}
    return run.Study(tmp_path, tiny_params(**changed).frames)


def own_model(removal="freeze"):
    return OwnModelParams(weights=None, removal=removal)


def listed(study, root, removal="freeze", **changed):
    """Run the stage that lists the clips; return them."""
    game = run.run_game(study.params).model_copy(update=changed)
    run.run(
        study,
        "clips",
        model=NAME,
        own_model=own_model(removal),
        game=game,
        dataset=study.params.dataset,
        root=root,
        out=study.folder / "clips.json",
        skipped=study.folder / "skipped.csv",
        device="cpu",
    )
    return read_clips(study.folder / "clips.json")


def given(study, removal="freeze", **changed):
    return {
        "clips": study.folder / "clips.json",
        "model": NAME,
        "own_model": own_model(removal),
        "coalitions": study.params.coalitions.model_copy(update=changed),
    }


def filled(study, removal="freeze", **changed):
    """Fill the store of the model; return it and its receipt."""
    arguments = given(study, removal, **changed)
    stages.plan(study.folder, "frames", "my_model", **arguments)
    receipt = stages.evaluate(
        study.folder, "frames", "my_model", study.receipt("my_model"), **arguments
    )
    return open_store(study.store("my_model")), receipt


@pytest.mark.parametrize("removal", ["freeze", "mean", "blank"])
def test_the_store_holds_what_the_model_says_of_every_coalition(study, model, videos, removal):
    folder, pixels = videos
    clips = listed(study, folder, removal)
    assert [clip.id for clip in clips.clips] == sorted(LENGTHS)
    assert clips.of_player == (0, 0, 1, 1, 2, 2)
    assert not clips.are_labelled
    store, receipt = filled(study, removal)
    assert receipt.evaluations_made == 3 * 2**3
    assert store.instances == tuple(sorted(LENGTHS))
    assert store.record.outputs == ("a", "b")
    assert store.record.specification["removal"] == removal
    for i, clip in enumerate(clips.clips):
        seen = model.prepare(
            torch.from_numpy(pixels[clip.id][list(clip.frames)]).permute(0, 3, 1, 2)
        )
        for mask in range(2**3):
            members = {p for p in range(3) if mask >> p & 1}
            expected = model(slow_clip(seen, clips.of_player, members, removal)[None])[0]
            np.testing.assert_allclose(store.read(i)[mask], expected, atol=1e-6)
        assert clip.predicted_class == int(expected.argmax())
    assert store.coordinates["frame_in_video"][0].tolist() == [clips.clips[0].frames[k] for k in
                                                               (0, 2, 4)]  # fmt: skip


def test_one_store_serves_values_curves_interactions_and_figures(study, model, videos):
    folder, _ = videos
    listed(study, folder)
    store, _ = filled(study)
    run.make_values(study, "my_model")
    values = read_values(study.values("my_model"))
    assert (values.explained, values.unit, values.game) == ("predicted class", "score", "my_model")
    np.testing.assert_array_equal(values.true_class, values.predicted_class)
    for i in range(3):

        def v(players, i=i):
            return store.read(i)[oracle.mask_of(players)].astype(float)

        expected = oracle.shapley_values(v, 3)[:, values.predicted_class[i]]
        np.testing.assert_allclose(values.esv_predicted[i], expected, atol=1e-6)
    files = {"receipts": [study.receipt("my_model")], "values": [study.values("my_model")]}
    curves = {"curves": study.folder / "discard.csv", "areas": study.folder / "areas.csv"}
    out = study.folder / "discard.json"
    run.run(study, "discard", **files, gradients=[], params=study.params.discard, out=out, **curves)
    found = json.loads(out.read_text())
    assert found["explained"] == "predicted class"
    assert set(found["comparisons"]["my_model"]) == {
        "esv_ascending - random", "random - esv_descending", "gain"
    }  # fmt: skip
    rows = list(csv.DictReader((study.folder / "discard.csv").open()))
    whole = [r for r in rows if r["order"] == "esv_ascending" and r["discarded"] == "0"]
    assert float(whole[0]["class_score"]) == pytest.approx(values.whole_predicted.mean(), rel=1e-5)
    assert {row["accuracy"] for row in whole} == {"1"}
    figures = [study.figure(f"discard_{kind}") for kind in ("attribution", "plain")]
    run.run(study, "draw_discard", numbers=out, curves=curves["curves"], figures=figures)
    clips = study.folder / "clips.json"
    figure = study.figure("interactions")
    run.run(
        study, "interactions", **files, classes=clips, params=study.params.interactions,
        out=study.folder / "interactions.json", table=study.folder / "i.csv", figure=figure,
        root=folder,
    )  # fmt: skip
    found = json.loads((study.folder / "interactions.json").read_text())["my_model"]
    assert found["class"]["videos"] == 3
    assert found["order"]["videos"] == 0
    drawn = study.folder / "figures/clips"
    run.run(
        study, "figures", values=files["values"], classes=clips, params=study.params.figures,
        clips=drawn, summary_figure=study.figure("summary"), root=folder,
        summary=study.folder / "summary.json",
    )  # fmt: skip
    assert len(list(drawn.glob("*.png"))) == study.params.figures.clips
    for path in (*figures, figure, study.figure("summary")):
        assert path.stat().st_size > 5000


def test_what_is_stored_is_not_evaluated_again(study, model, videos, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(videos[0], folder)
    listed(study, folder)
    assert filled(study, clips=2)[1].instances_evaluated == 2
    receipt = filled(study)[1]
    assert (receipt.instances_evaluated, receipt.instances_reused) == (1, 2)
    # Another file under the same name, before and after the list is written.
    write_video(folder / "a.mov", videos[1]["b"])
    with pytest.raises(InputError, match=r"a.mov: has changed since .*clips.json was written"):
        filled(study, removal="blank")
    listed(study, folder)
    receipt = filled(study)[1]
    assert (receipt.instances_evaluated, receipt.instances_reused) == (1, 2)
    write_video(folder / "a.mov", videos[1]["a"])
    listed(study, folder)
    receipt = filled(study)[1]
    assert (receipt.instances_evaluated, receipt.instances_reused) == (0, 3)
    model.digest = "2"
    with pytest.raises(InputError, match=r"my:model has changed since"):
        filled(study, removal="blank")
    listed(study, folder)
    assert filled(study)[1].instances_evaluated == 3


def test_true_classes_that_the_model_knows_are_explained(study, model, videos):
    folder, _ = videos
    root = study.folder / "labelled"
    (root / "labels").mkdir(parents=True)
    (root / "20bn-something-something-v2").mkdir()
    (root / "labels/labels.json").write_text(json.dumps({"[b]": "0", "a": "1"}))
    rows = [
        {"id": "a", "label": "b", "template": "[b]"},
        {"id": "b", "label": "a", "template": "a"},
    ]
    for split in ("train", "validation"):
        (root / f"labels/{split}.json").write_text(json.dumps(rows))
    for name in ("a", "b"):
        shutil.copy(folder / f"{name}.mov", root / "20bn-something-something-v2")
    clips = listed(study, root)
    assert [clip.true_class for clip in clips.clips] == [1, 0]
    store, _ = filled(study, outputs="true_and_predicted")
    predicted = [clip.predicted_class for clip in clips.clips]
    np.testing.assert_array_equal(store.output_classes, np.stack([[1, 0], predicted], axis=1))
    run.make_values(study, "my_model")
    values = read_values(study.values("my_model"))
    assert values.explained == "true class"
    assert values.true_class.tolist() == [1, 0]
    # One class that the model does not know: the predicted class is explained of all.
    (root / "labels/labels.json").write_text(json.dumps({"b": "0", "a": "1", "c": "2"}))
    rows[1] = {"id": "b", "label": "c", "template": "c"}
    (root / "labels/validation.json").write_text(json.dumps(rows))
    assert not listed(study, root).are_labelled


def test_videos_that_cannot_be_used_are_left_out_and_listed(study, model, videos, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(videos[0], folder)
    (folder / "broken.mp4").write_bytes(b"not a video")
    tolerant = study.params.dataset.model_copy(update={"max_skipped": 0.6})
    study = study.with_params(dataset=tolerant)
    assert [c.id for c in listed(study, folder).clips] == ["a", "b", "short"]
    (row,) = csv.DictReader((study.folder / "skipped.csv").open())
    assert (row["id"], row["used"]) == ("broken", "no")
    assert "broken.mp4" in row["reason"]
    # Three frames are shared by three players, but not by five.
    clips = listed(study, folder, n=5, short_videos="leave_out")
    assert [clip.id for clip in clips.clips] == ["a", "b"]
    reasons = {
        row["id"]: row["reason"] for row in csv.DictReader((study.folder / "skipped.csv").open())
    }
    assert "has 3 frames, fewer than the 5 players" in reasons["short"]
    repeated = listed(study, folder, n=5).clips[2]
    assert (repeated.id, len(set(repeated.frames))) == ("short", 3)
    strict = study.with_params(dataset=tolerant.model_copy(update={"max_skipped": 0.1}))
    with pytest.raises(InputError, match=r"1 of 4 videos cannot be used.*max_skipped: 0.1 allows"):
        listed(strict, folder)


def test_models_that_cannot_be_explained_are_refused_before_anything_is_listed(
    study, model, videos, monkeypatch
):
    folder, _ = videos
    with pytest.raises(InputError, match="delete makes clips shorter"):
        listed(study, folder, removal="delete")
    with pytest.raises(InputError, match="7 players cannot share a clip of 6 frames"):
        listed(study, folder, n=7)
    real = Scores.__call__
    for changed, message in (
        (lambda s: s[:, :1], r"returns \(1, 1\) for clips"),
        (lambda s: s * float("nan"), "returns NaN or Inf"),
        (lambda s: s + torch.rand(1), "change from call to call"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Scores, "__call__", lambda self, clips, c=changed: c(real(self, clips)))
            with pytest.raises(InputError, match=message):
                listed(study, folder)
    monkeypatch.setattr(Scores, "digest", "")
    with pytest.raises(InputError, match="my:model has no digest"):
        listed(study, folder)
    assert not (study.folder / "clips.json").exists()
    assert not (study.folder / "skipped.csv").exists()


def test_a_folder_without_usable_videos_is_refused(study, model, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"none of the 1 videos can be used: .*a.mp4"):
        listed(study, folder)
    (folder / "a.mp4").unlink()
    with pytest.raises(InputError, match="Something-Something V2"):
        listed(study, folder)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("torchvision:r3d_18", "torchvision_r3d_18"), ("a.b:c", "a_b_c"), ("tsn", "tsn")],
)
def test_files_are_named_after_the_model(name, slug, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.py").touch()
    (tmp_path / "w.pt").touch()
    params = tiny_params(model=name, own_model={"weights": "w.pt"}).frames
    assert paths.models(params) == (slug,)
    assert list(paths.games(params)) == [slug]
    assert paths.receipts(params) == [f"results/frames/receipts/{slug}.json"]
    own = name != "tsn"
    assert paths.is_own(params) == own
    assert ("discard_methods" in paths.figures(params)["discard"]) != own
    assert "Left out" in paths.left_out(params)
    expected = ["a/b.py", "w.pt"] if name == "a.b:c" else ["w.pt"]
    assert paths.model_files(params) == expected
    assert not paths.left_out(tiny_params().frames)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "resnet"}, "must be null"),
        ({"model": "a b:c"}, "must be null"),
        ({"model": "a:b", "coalitions": {"score": "mean_of_softmax"}}, "choose probability or"),
        ({"own_model": {"removal": "blur"}}, "own_model.removal"),
    ],
)
def test_bad_parameters_are_refused(changed, message):
    with pytest.raises(InputError, match=message):
        tiny_params(**changed)


def test_missing_weights_are_refused_before_any_rule_runs():
    with pytest.raises(InputError, match=r"frames.own_model.weights: there is no none.pt"):
        paths.check(tiny_params(model="a:b", own_model={"weights": "none.pt"}).frames)
