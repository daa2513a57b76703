"""Stages that ask what the values say, on features made by hand, against slow recomputation."""

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import study as run
from matplotlib import pyplot as plt
from recomputed import (
    check_confusions,
    check_contributions,
    check_discarded,
    check_gradients,
    check_lengths,
    check_patterns,
    check_shifted,
    loaded,
    rows_of,
)
from tiny import tiny_params

from pipeline.core.errors import InputError
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.frames import discard_stage as discarded
from pipeline.studies.frames import gradients, lengths, patterns
from pipeline.studies.frames import shift_stage as shifted
from pipeline.studies.frames.values import read_values

MODELS = run.MODELS
TRAINING = {"epochs": 12, "learning_rate": 0.02, "draws": 1}


def make_values(study):
    for model in MODELS:
        run.make_coalitions(study, model)
        run.make_values(study, model)
        run.make_gradients(study, model)


def make_all(study):
    make_values(study)
    run.make_discarded(study)
    run.make_patterns(study)
    run.make_lengths(study)
    run.make_shifted(study)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    params = tiny_params(scales=TRAINING, tsn=TRAINING).frames
    made = run.Study(tmp_path_factory.mktemp("stages"), params)
    run.make_feature_files(made)
    run.make_models(made)
    make_all(made)
    return made


@pytest.fixture
def copy(study, tmp_path):
    """Features and models in a folder of their own, to be looked at otherwise."""

    def with_params(**changes):
        for name in ("features", "scales", "tsn.pt", "priors.json", "videos"):
            origin, target = study.folder / name, tmp_path / "copy" / name
            shutil.copytree(origin, target) if origin.is_dir() else shutil.copy(origin, target)
        params = tiny_params(scales=TRAINING, tsn=TRAINING, **changes).frames
        return replace(study, folder=tmp_path / "copy", params=params)

    return with_params


def test_gradients(study):
    check_gradients(study)


def test_gradients_do_not_depend_on_what_is_computed_at_once(study, tmp_path, monkeypatch):
    monkeypatch.setitem(gradients.MOST_AT_ONCE, "cpu", 3)  # fewer than steps, than videos
    run.make_gradients(study, "trn", out=tmp_path / "few.h5")
    few, many = map(gradients.read_gradients, (tmp_path / "few.h5", study.gradients("trn")))
    np.testing.assert_allclose(few.gradcam, many.gradcam, atol=1e-6)
    np.testing.assert_allclose(few.integrated_gradients, many.integrated_gradients, atol=1e-6)


def test_discarded(study):
    check_discarded(study)


def test_patterns(study):
    check_patterns(study)
    positions = loaded(study, "patterns.json")["positions"]
    assert positions["classes"][-1]["class"] == "Class 5"
    assert positions["classes"][-1]["videos"] == 0
    assert positions["most_alike"] == [positions["classes"][0]["class"]]
    assert positions["least_alike"] == [positions["classes"][4]["class"]]
    of_trn = loaded(study, "patterns.json")["confusions"]["trn"]["videos"]
    assert 0 < of_trn < 15, "of all or of no video, less would be tested"


def test_lengths(study):
    check_lengths(study)


@pytest.mark.parametrize("name", ["lengths", "shifted"])
def test_what_is_stored_is_not_evaluated_again(study, tmp_path, undrawn, monkeypatch, name):
    make = {"lengths": run.make_lengths, "shifted": run.make_shifted}[name]
    here = {"stores": tmp_path / "stores", "receipts": tmp_path, "out": tmp_path / "out.json"}

    def made_and_reused(clips):
        params = getattr(study.params, name).model_copy(update={"clips": clips})
        make(study, params=params, **here)
        receipts = [read_receipt(tmp_path / f"{model}_{name}.json") for model in MODELS]
        return [(r.instances_evaluated, r.instances_reused) for r in receipts]

    each = study.params.lengths.max_frames if name == "lengths" else 1
    assert made_and_reused(2) == [(2 * each, 0)] * 2
    # The first and the last video are among three as well.
    assert made_and_reused(3) == [(each, 2 * each)] * 2
    assert made_and_reused(3) == [(0, 3 * each)] * 2
    assert made_and_reused(2) == [(0, 2 * each)] * 2
    content = (tmp_path / "out.json").read_bytes()
    # What another version of the code evaluated is of no use.
    with monkeypatch.context() as other:
        other.setattr({"lengths": lengths, "shifted": shifted}[name], "version", lambda *_: 99)
        assert made_and_reused(2) == [(2 * each, 0)] * 2
    assert (tmp_path / "out.json").read_bytes() == content
    receipt = read_receipt(tmp_path / f"trn_{name}.json")
    n = study.params.coalitions.n
    of_lengths = sum(2**k for k in range(1, study.params.lengths.max_frames + 1))
    assert receipt.evaluations_made == 2 * (of_lengths if name == "lengths" else 2**n)


@pytest.mark.parametrize("crossing", [True, False])
def test_shifted(study, crossing):
    changed = tiny_params(shifted={"crossing": crossing}).frames.shifted
    study = replace(study, params=study.params.model_copy(update={"shifted": changed}))
    run.make_shifted(study)
    check_shifted(study)


def save_with(monkeypatch, save):
    for stage in (discarded, lengths, patterns, shifted):
        monkeypatch.setattr(stage, "save", save)
    monkeypatch.setattr("recomputed.check_figures", lambda study, names: None)


@pytest.fixture
def undrawn(monkeypatch):
    """Writes no figures, which takes most of the time."""
    save_with(monkeypatch, lambda figure, path: plt.close(figure))


@pytest.fixture
def unwritten(monkeypatch):
    """Lays figures out and writes none."""

    def lay_out(figure, path):
        figure.draw_without_rendering()
        plt.close(figure)

    save_with(monkeypatch, lay_out)


def check_all(study):
    check_gradients(study)
    check_discarded(study)
    check_patterns(study)
    check_lengths(study)
    check_shifted(study)


def test_the_true_and_the_predicted_class_alone(study, copy, undrawn):
    two = copy(coalitions={"outputs": "true_and_predicted"})
    make_values(two)
    run.make_discarded(two)
    run.make_patterns(two)
    check_discarded(two)
    check_patterns(two)
    rows = rows_of(two, "discarded.csv") + rows_of(two, "discarded_areas.csv")
    assert {(row["accuracy"], row["accuracy_error"]) for row in rows} == {("", "")}
    ours, theirs = (loaded(each, "patterns.json") for each in (two, study))
    assert ours["confusions"]["tsn"]["videos"] == theirs["confusions"]["tsn"]["videos"]
    assert ours["positions"]["maps"] == theirs["positions"]["maps"]


def shorten(study, model, video, length):
    """Leave only the first frames of a video."""
    with h5py.File(study.features(model, "validation"), "r+") as file:
        dim = file["features"].attrs["feature_dim"]
        for name, count in (("features", length * dim), ("frame_indices", length)):
            file[name][video] = file[name][video][:count]


def relabel(study, labels):
    """Say that validated videos are of other classes; (video,) by model."""
    for model, of_model in labels.items():
        with h5py.File(study.features(model, "validation"), "r+") as file:
            file["labels/class"][:] = of_model


@pytest.mark.parametrize("score", ["logit", "mean_of_softmax"])
def test_other_scores_and_videos_that_one_model_leaves_out(copy, undrawn, score):
    game = {"score": score, "short_videos": "leave_out"}
    made = copy(coalitions=game, gradients={"baseline": "mean"}, shifted={"clips": 4})
    shorten(made, "trn", 3, 4)
    shorten(made, "tsn", 7, 2)
    make_all(made)
    check_all(made)
    uids = {model: read_values(made.values(model)).uids for model in MODELS}
    assert set(uids["trn"]) ^ set(uids["tsn"]) == {"validation 3", "validation 7"}
    videos = [row["videos"] for row in loaded(made, "patterns.json")["positions"]["classes"]]
    assert sum(videos) == 13


def test_models_without_a_video_in_common(copy, unwritten):
    made = copy()
    with h5py.File(made.features("tsn", "validation"), "r+") as file:
        file["uids"][:] = [f"other {i}" for i in range(15)]
    make_values(made)
    run.make_patterns(made)
    found = loaded(made, "patterns.json")["positions"]
    assert [row["videos"] for row in found["classes"]] == [0] * 6
    assert (found["most_alike"], found["least_alike"]) == ([], [])
    check_contributions(made)


def test_one_frame_and_one_video(copy, unwritten):
    made = copy(coalitions={"n": 1, "clips": 1}, lengths={"clips": 1}, shifted={"clips": 1})
    make_all(made)
    check_all(made)
    assert {row["discarded"] for row in rows_of(made, "discarded.csv")} == {"0"}
    assert loaded(made, "discarded.json")["trn"]["random"]["class_score_error"] is None
    assert loaded(made, "lengths.json")["trn"]["standard_error"] == [None] * 4
    assert loaded(made, "shifted.json")["tsn"]["spread"] is None


def test_videos_that_are_all_too_short_to_be_shifted(copy, unwritten):
    made = copy(coalitions={"n": 12})
    run.make_shifted(made)
    assert loaded(made, "shifted.json") == {m: {"spread": None, "by_shift": []} for m in MODELS}
    none = made.params.coalitions.model_dump(exclude={"outputs"}) | {"short_videos": "leave_out"}
    with pytest.raises(InputError, match="no video has 12 frames, and shorter ones are left out"):
        run.make_gradients(made, "tsn", game=none)


@pytest.mark.parametrize("wrong", [False, True])
def test_no_or_every_video_is_wrongly_classified(study, copy, unwritten, wrong):
    made = copy()
    predicted = {m: read_values(study.values(m)).predicted_class for m in MODELS}
    labels = {m: (of_model + 1) % 6 if wrong else of_model for m, of_model in predicted.items()}
    relabel(made, labels)
    make_values(made)
    run.make_patterns(made)
    found = check_confusions(made)
    assert [found[model]["videos"] for model in MODELS] == [15 * wrong] * 2
    run.make_discarded(made)
    check_discarded(made)
    whole = next(row for row in rows_of(made, "discarded.csv") if row["discarded"] == "0")
    assert float(whole["accuracy"]) == 1 - wrong


def test_gradients_of_other_videos_or_frames_are_refused(copy, study, tmp_path):
    made = copy()
    other = tmp_path / "other.h5"
    paths = [study.gradients("trn"), other]
    for changes, words in (
        ({"clips": 4}, "is of other videos than the values"),
        ({"n": 4}, "is of 4 frames a video, the values are of 5"),
    ):
        game = tiny_params(coalitions=changes).frames.coalitions.model_dump(exclude={"outputs"})
        run.make_gradients(made, "tsn", game=game, out=other)
        with pytest.raises(InputError, match=f"other.h5: {words}; run both again"):
            run.make_discarded(study, gradients=paths, **elsewhere(tmp_path))
    assert not list((tmp_path / "out").rglob("*"))


def elsewhere(folder):
    """Where the results of a stage that fails would be."""
    folder = folder / "out"
    return {
        "out": folder / "o.json",
        "figures": folder,
        "table": folder / "t",
        "areas": folder / "a",
    }


def test_stores_of_other_videos_or_games_are_refused(copy, study, tmp_path):
    made = copy(coalitions={"clips": 4})
    run.make_coalitions(made, "trn")
    receipts = [made.receipt("trn"), study.receipt("tsn")]
    places = elsewhere(tmp_path)
    of_patterns = {"out": places["out"], "tables": places["table"], "figures": places["figures"]}

    def refused(words):
        said = receipts[0].read_bytes()
        with pytest.raises(InputError, match=words):
            run.make_discarded(study, receipts=receipts, **places)
        receipts[0].write_bytes(said)
        with pytest.raises(InputError, match=words):
            run.make_patterns(study, receipts=receipts, **of_patterns)

    refused("trn.zarr: lists other videos than the values")
    all_clips = tiny_params(coalitions={"score": "logit"}).frames.coalitions
    kept = made.receipt("trn").read_bytes()
    run.make_coalitions(made, "trn", params=all_clips)
    assert len(open_store(read_receipt(made.receipt("trn")).store)) == 15
    made.receipt("trn").write_bytes(kept)
    refused("trn.zarr: holds another game than .*coalitions_trn.json says.* is removed")
    assert not made.receipt("trn").exists()
    assert not (tmp_path / "out").exists()
