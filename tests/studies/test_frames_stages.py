"""Compares analyses of values, on generated features, with slow recomputation."""

import importlib
import json
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
    check_discard,
    check_figures,
    check_gradients,
    check_lengths,
    check_patterns,
    check_shift,
    loaded,
    rows_of,
)
from tiny import tiny_params

from pipeline.core.errors import InputError
from pipeline.core.stage import module_of
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.frames import game, gradients, sampling
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.values import read_values

MODELS = run.MODELS
STAGES = ("discard", "patterns", "lengths", "shift")
TRAINING = {"epochs": 12, "learning_rate": 0.02, "draws": 1}


def make_values(study):
    for model in MODELS:
        run.play(study, model)
        run.make_values(study, model)
        run.make_gradients(study, model)


def make_all(study):
    make_values(study)
    for stage in STAGES:
        run.make(study, stage)


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
    """Features and models in another folder, for runs with other parameters."""

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


def test_discard(study):
    check_discard(study)


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


@pytest.mark.parametrize("name", ["lengths", "shift"])
def test_stored_values_are_not_evaluated_again(copy, monkeypatch, name):
    made = copy()
    out = made.folder / f"{name}.json"

    def made_and_reused(clips):
        section = getattr(made.params, name).model_copy(update={"clips": clips})
        run.make(made.with_params(**{name: section}), name)
        receipts = [read_receipt(made.receipt(f"{model}_{name}")) for model in MODELS]
        return [(r.instances_evaluated, r.instances_reused) for r in receipts]

    each = made.params.lengths.max_frames if name == "lengths" else 1
    assert made_and_reused(2) == [(2 * each, 0)] * 2
    # Three videos include the first and the last, as two do.
    assert made_and_reused(3) == [(each, 2 * each)] * 2
    assert made_and_reused(3) == [(0, 3 * each)] * 2
    assert made_and_reused(2) == [(0, 2 * each)] * 2
    content = out.read_bytes()
    # Values of another version of the code are not reused.
    with monkeypatch.context() as other:
        other.setattr(game, "VERSION", 99)
        assert made_and_reused(2) == [(2 * each, 0)] * 2
    assert out.read_bytes() == content
    receipt = read_receipt(made.receipt(f"trn_{name}"))
    n = made.params.coalitions.n
    of_lengths = sum(2**k for k in range(1, made.params.lengths.max_frames + 1))
    assert receipt.evaluations_made == 2 * (of_lengths if name == "lengths" else 2**n)


@pytest.mark.parametrize("crossing", [True, False])
def test_shift(study, crossing):
    changed = study.params.shift.model_copy(update={"crossing": crossing})
    study = study.with_params(shift=changed)
    run.make(study, "shift")
    check_shift(study)


def test_figures_are_written(study):
    for stage in STAGES:
        run.make(study, f"draw_{stage}")
        check_figures(study, stage)


@pytest.fixture
def lay_out(monkeypatch):
    """Lays out figures of stages without writing them."""

    def save(figure, path):
        figure.draw_without_rendering()
        plt.close(figure)

    def of_study(study, *names):
        for name in names:
            stage = importlib.import_module(module_of(f"frames_draw_{name}"))
            monkeypatch.setattr(stage, "save", save)
            run.make(study, f"draw_{name}")

    return of_study


def check_all(study):
    check_gradients(study)
    check_discard(study)
    check_patterns(study)
    check_lengths(study)
    check_shift(study)


def test_the_true_and_the_predicted_class_alone(study, copy):
    two = copy(coalitions={"outputs": "true_and_predicted"})
    make_values(two)
    run.make(two, "discard")
    run.make(two, "patterns")
    check_discard(two)
    check_patterns(two)
    rows = rows_of(two, "discard.csv") + rows_of(two, "discard_areas.csv")
    assert {(row["accuracy"], row["accuracy_error"]) for row in rows} == {("", "")}
    ours, theirs = (loaded(each, "patterns.json") for each in (two, study))
    assert ours["confusions"]["tsn"]["videos"] == theirs["confusions"]["tsn"]["videos"]
    assert ours["positions"]["maps"] == theirs["positions"]["maps"]


def shorten(study, model, video, length):
    """Keep only the first frames of a video."""
    with h5py.File(study.features(model, "validation"), "r+") as file:
        dim = file["features"].attrs["feature_dim"]
        for name, count in (("features", length * dim), ("frame_indices", length)):
            file[name][video] = file[name][video][:count]


def relabel(study, labels):
    """Change the classes of validation videos: (video,) by model."""
    for model, of_model in labels.items():
        with h5py.File(study.features(model, "validation"), "r+") as file:
            file["labels/class"][:] = of_model


@pytest.mark.parametrize("score", ["logit", "mean_of_softmax"])
def test_other_scores_and_videos_that_one_model_leaves_out(copy, score):
    game = {"score": score, "short_videos": "leave_out"}
    made = copy(coalitions=game, gradients={"baseline": "mean"}, shift={"clips": 4})
    shorten(made, "trn", 3, 4)
    shorten(made, "tsn", 7, 2)
    make_all(made)
    check_all(made)
    uids = {model: read_values(made.values(model)).uids for model in MODELS}
    assert set(uids["trn"]) ^ set(uids["tsn"]) == {"validation 3", "validation 7"}
    videos = [row["videos"] for row in loaded(made, "patterns.json")["positions"]["classes"]]
    assert sum(videos) == 13


def test_models_without_a_video_in_common(copy, lay_out):
    made = copy()
    with h5py.File(made.features("tsn", "validation"), "r+") as file:
        file["uids"][:] = [f"other {i}" for i in range(15)]
    make_values(made)
    run.make(made, "patterns")
    lay_out(made, "patterns")
    found = loaded(made, "patterns.json")["positions"]
    assert [row["videos"] for row in found["classes"]] == [0] * 6
    assert (found["most_alike"], found["least_alike"]) == ([], [])
    check_contributions(made)


def test_one_frame_and_one_video(copy, lay_out):
    made = copy(coalitions={"n": 1, "clips": 1}, lengths={"clips": 1}, shift={"clips": 1})
    make_all(made)
    check_all(made)
    lay_out(made, *STAGES)
    assert {row["discarded"] for row in rows_of(made, "discard.csv")} == {"0"}
    assert loaded(made, "discard.json")["trn"]["random"]["class_score_error"] is None
    assert loaded(made, "lengths.json")["trn"]["standard_error"] == [None] * 4
    assert loaded(made, "shift.json")["tsn"]["spread"] is None


def test_videos_that_are_all_too_short_to_be_shifted(copy, lay_out):
    made = copy(coalitions={"n": 12})
    run.make(made, "shift")
    lay_out(made, "shift")
    found = loaded(made, "shift.json")
    assert {m: found[m] for m in MODELS} == {m: {"spread": None, "by_shift": []} for m in MODELS}
    none = made.params.coalitions.model_copy(update={"short_videos": "leave_out"})
    with pytest.raises(InputError, match="no video has 12 frames, and shorter ones are left out"):
        run.make_gradients(made.with_params(coalitions=none), "tsn")


@pytest.mark.parametrize("wrong", [False, True])
def test_no_or_every_video_is_wrongly_classified(study, copy, lay_out, wrong):
    made = copy()
    predicted = {m: read_values(study.values(m)).predicted_class for m in MODELS}
    labels = {m: (of_model + 1) % 6 if wrong else of_model for m, of_model in predicted.items()}
    relabel(made, labels)
    make_values(made)
    run.make(made, "patterns")
    lay_out(made, "patterns")
    found = check_confusions(made)
    assert [found[model]["videos"] for model in MODELS] == [15 * wrong] * 2
    run.make(made, "discard")
    check_discard(made)
    whole = next(row for row in rows_of(made, "discard.csv") if row["discarded"] == "0")
    assert float(whole["accuracy"]) == 1 - wrong


def test_gradients_of_other_videos_or_frames_are_refused(copy, study, tmp_path):
    made = copy()
    other = tmp_path / "other.h5"
    paths = [study.gradients("trn"), other]
    for changes, words in (
        ({"clips": 4}, "belongs to other videos than the values"),
        ({"n": 4}, "has 4 frames per video, the values have 5"),
    ):
        others = made.params.coalitions.model_copy(update=changes)
        run.make_gradients(made.with_params(coalitions=others), "tsn", out=other)
        with pytest.raises(InputError, match=f"other.h5: {words}; run both again"):
            run.make(study, "discard", gradients=paths, **elsewhere(tmp_path))
    assert not list((tmp_path / "out").rglob("*"))


def elsewhere(folder):
    """Paths for the results of a stage ``discard`` that fails."""
    folder = folder / "out"
    return {"out": folder / "o.json", "curves": folder / "c", "areas": folder / "a"}


def test_stores_of_other_videos_or_games_are_refused(copy, study, tmp_path):
    made = copy(coalitions={"clips": 4})
    run.play(made, "trn")
    # Stages run in the folder of the study; a receipt's path of the store is relative to it.
    said = json.loads(made.receipt("trn").read_text()) | {"store": str(made.store("trn"))}
    receipts = [made.receipt("trn"), study.receipt("tsn")]
    of_patterns = ("out", "contributions", "positions", "pairs")
    places = {name: tmp_path / "out" / name for name in of_patterns}

    def refused(words):
        for stage, files in (("discard", elsewhere(tmp_path)), ("patterns", places)):
            receipts[0].write_text(json.dumps(said))
            with pytest.raises(InputError, match=words):
                run.make(study, stage, receipts=receipts, **files)

    refused("trn.zarr: lists other videos than the values")
    all_clips = tiny_params(coalitions={"score": "logit"}).frames.coalitions
    run.play(made.with_params(coalitions=all_clips), "trn")
    assert len(open_store(made.store("trn"))) == 15
    refused("trn.zarr: holds another game than .*trn.json says.* is removed")
    assert not made.receipt("trn").exists()
    assert not (tmp_path / "out").exists()


def test_stores_say_which_frames_play_and_of_which_class(study):
    n = study.params.coalitions.n
    for model in MODELS:
        known = read_features(study.features(model, "validation"))
        frames = sampling.spread(known.lengths, n)
        of_all = open_store(study.store(model)).coordinates
        np.testing.assert_array_equal(of_all["true_class"], known.labels)
        # Frames of these videos are numbered 0, 2, 4, …
        np.testing.assert_array_equal(of_all["frame_in_video"], 2 * frames)
        shifted = open_store(study.store(f"{model}_shift"))
        videos = [known.uids.index(uid) for uid in shifted.instances]
        np.testing.assert_array_equal(shifted.coordinates["row_in_features"], frames[videos])
        np.testing.assert_array_equal(shifted.coordinates["rows"], known.lengths[videos])
        of_lengths = open_store(study.store(f"{model}_lengths"))
        for uid, count, true in zip(
            of_lengths.instances,
            of_lengths.coordinates["n_frames"],
            of_lengths.coordinates["true_class"],
            strict=True,
        ):
            video, _, frames_asked = uid.rpartition(" at ")
            assert (int(frames_asked), known.labels[known.uids.index(video)]) == (count, true)


def test_unknown_games_and_missing_arguments_are_refused(study):
    files = {k: v for k, v in run.given(study, "trn").items() if k != "coalitions"}
    p = study.params
    tried = {"convergence": p.convergence, "score": "logit", "short_videos": "repeat"}
    for name, arguments, message in (
        ("trm", {}, "there is no such game"),
        ("trn_shifted", {}, "there is no such game"),
        ("trn", {}, "coalitions is needed to open it"),
        ("trn_lengths", {"lengths": p.lengths}, "score is needed"),
        ("trn_shift", {"shift": p.shift, "score": "logit"}, "n is needed"),
        ("trn_sampled", tried, "all those one smaller; open trn_convergence"),
    ):
        with pytest.raises(InputError, match=f"game frames/{name}: .*{message}"):
            game.open_game(name, device="cpu", **files, **arguments)
