"""Runs the stages of the frames study on a tiny data set with some bad videos."""

import csv
import json
import shutil
from dataclasses import replace

import av
import h5py
import numpy as np
import oracle
import pytest
import study as run
import torch
from small_networks import make_game
from tiny import tiny_params
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.core.errors import InputError
from pipeline.data.decoding import decode
from pipeline.data.something import VIDEOS, read_split
from pipeline.models import backbones, checkpoints
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.frames import sampling
from pipeline.studies.frames.accuracy import accuracies, counterparts
from pipeline.studies.frames.backbone import load_backbone
from pipeline.studies.frames.explain import Sampling, explain_video
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.trained import load_model

MODELS = ["trn", "tsn"]


def spoil(path, how):
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:300], "empty": b"", "text": b"no video\n" * 50}[how])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = run.Study(tmp_path_factory.mktemp("study"), tiny_params().frames)
    run.make_videos(made)
    train, validation = (read_split(made.root, split) for split in ("train", "validation"))
    spoil(train[3].path, "truncated")
    spoil(train[5].path, "empty")
    spoil(validation[2].path, "text")
    run.make_features(made)
    run.make_models(made)
    for model in MODELS:
        run.play(made, model)
        run.make_values(made, model)
    run.make(made, "accuracy")
    run.make(made, "figures")
    (made.folder / "results").mkdir(exist_ok=True)
    (made.folder / "results/frames").symlink_to(made.folder)
    return made


@pytest.fixture
def copy(study, tmp_path):
    """A copy of the study that tests may damage."""
    shutil.copytree(study.folder, tmp_path / "copy", symlinks=True)
    return replace(study, folder=tmp_path / "copy")


def test_undecodable_videos_are_left_out_and_listed(study):
    rows = list(csv.DictReader((study.folder / "skipped.csv").open()))
    train, validation = (read_split(study.root, split) for split in ("train", "validation"))
    expected = [("train", train[3].id), ("train", train[5].id), ("validation", validation[2].id)]
    assert [(row["split"], row["id"]) for row in rows] == expected
    assert all(f"{row['id']}.webm" in row["reason"] for row in rows)
    features = read_features(study.features("trn", "validation"))
    assert features.uids == tuple(c.id for c in validation if c.id != validation[2].id)
    assert len(read_features(study.features("tsn", "train"))) == 32


def test_too_many_undecodable_videos_are_an_error_that_leaves_nothing(copy):
    strict = tiny_params(dataset={"max_skipped": 0.05}).frames
    (copy.folder / "skipped.csv").unlink()
    with pytest.raises(InputError, match=r"2 of 34 videos cannot be decoded.*max_skipped: 0.05"):
        run.check_skipped(replace(copy, params=strict))
    assert not (copy.folder / "skipped.csv").exists()


def test_a_data_set_without_videos_is_an_error_that_leaves_nothing(copy):
    shutil.rmtree(copy.root / VIDEOS)
    shutil.rmtree(copy.folder / "features")
    (copy.folder / "skipped_validation.csv").unlink()
    backbones = [path.read_bytes() for path in copy.folder.glob("backbone/*")]
    with pytest.raises(InputError, match=r"34 of 34 videos of the train split .* no such folder"):
        run.make_features(copy)
    assert [path.read_bytes() for path in copy.folder.glob("backbone/*")] == backbones
    with pytest.raises(InputError, match="17 of 17 videos of the validation split are missing"):
        run.extract_features(copy, "validation")
    validation = read_split(copy.root, "validation")
    (copy.root / VIDEOS).mkdir()
    for clip in validation:
        clip.path.write_text("no video")
    with pytest.raises(InputError, match="none of the 17 validation clips can be decoded"):
        run.extract_features(copy, "validation")
    assert not list(copy.folder.glob("features/*"))
    assert not (copy.folder / "skipped_validation.csv").exists()


@pytest.mark.parametrize("model", MODELS)
def test_values_are_those_of_the_definition(study, model):
    """Compares the values file with brute force on one video of the feature file."""
    features = read_features(study.features(model, "validation"))
    n = study.params.coalitions.n
    frames = sampling.spread(features.lengths, n)
    network = load_model(model, study.weights(model))
    empty = empty_score(read_priors(study.priors)[1], "probability").numpy()
    with h5py.File(study.values(model)) as file:
        assert [u.decode() for u in file["uids"]] == list(features.uids)
        for video in (0, 9):
            inputs = features.gather(np.array([video]), frames[[video]])[0]
            v = make_game(model)(network, inputs, empty, "probability")
            np.testing.assert_allclose(file["esv"][video], oracle.shapley_values(v, n), atol=1e-6)
            marginals = oracle.mean_marginals(v, n)
            np.testing.assert_allclose(file["marginals"][video], marginals, atol=1e-6)
            np.testing.assert_allclose(file["whole"][video], v(tuple(range(n))), atol=1e-6)
            assert file["predicted_class"][video] == v(tuple(range(n))).argmax()
            assert file["true_class"][video] == features.labels[video]


def test_the_csv_table_has_the_same_values(study):
    with h5py.File(study.values("trn")) as file:
        esv, true = file["esv"][:], file["true_class"][:]
        uids = [u.decode() for u in file["uids"]]
    rows = list(csv.DictReader(study.values("trn").with_suffix(".csv").open()))
    assert len(rows) == len(uids) * study.params.coalitions.n
    for row in rows:
        i, k = uids.index(row["video"]), int(row["position"]) - 1
        assert int(row["true_class"]) == true[i]
        assert float(row["esv_true_class"]) == pytest.approx(esv[i, k, true[i]], rel=1e-5)


def with_game(study, **changes):
    """The study with another game of all clips."""
    return study.with_params(coalitions=tiny_params(coalitions=changes).frames.coalitions)


def test_nothing_is_evaluated_twice(copy):
    videos = len(read_features(copy.features("trn", "validation")))
    first = read_receipt(copy.receipt("trn"))
    assert (first.evaluations_made, first.evaluations_reused) == (videos * 2**5, 0)
    run.play(copy, "trn")
    again = read_receipt(copy.receipt("trn"))
    assert (again.evaluations_made, again.evaluations_reused) == (0, videos * 2**5)

    run.play(with_game(copy, clips=4), "trn")
    assert read_receipt(copy.receipt("trn")).evaluations_made == 0
    run.play(copy, "trn")
    assert read_receipt(copy.receipt("trn")).evaluations_made == 0

    run.play(with_game(copy, score="logit"), "trn")
    assert read_receipt(copy.receipt("trn")).evaluations_made == videos * 2**5
    run.play(copy, "trn")
    assert read_receipt(copy.receipt("trn")).evaluations_made == 0


def test_a_damaged_shard_is_named_and_made_again(copy, caplog):
    store = open_store(copy.store("tsn"))
    before = store.read_many(range(len(store)))
    shard = store.shard(3)
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    command = ["store", "verify", str(copy.store("tsn"))]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 1
    assert store.instances[3] in found.output
    run.play(copy, "tsn")
    receipt = read_receipt(copy.receipt("tsn"))
    assert receipt.instances_damaged == (store.instances[3],)
    assert receipt.evaluations_made == 2**5
    assert store.instances[3] in caplog.text
    assert CliRunner().invoke(app, command).exit_code == 0
    np.testing.assert_array_equal(
        open_store(copy.store("tsn")).read_many(range(len(store))), before
    )


def test_the_store_of_another_game_is_not_read(copy):
    kept = copy.receipt("trn").read_bytes()
    run.play(with_game(copy, n=4), "trn")
    copy.receipt("trn").write_bytes(kept)
    with pytest.raises(InputError, match=r"holds another game than .* is removed: run the same"):
        run.make_values(copy, "trn")
    assert not copy.receipt("trn").exists()


def test_a_damaged_store_is_never_read_and_the_next_run_mends_it(copy):
    expected = copy.values("trn").read_bytes()
    store = open_store(copy.store("trn"))
    for spoil_shard in (lambda p: p.write_bytes(p.read_bytes()[:-9]), lambda p: p.unlink()):
        spoil_shard(store.shard(2))
        with pytest.raises(InputError, match="removed: run the same command again"):
            run.make_values(copy, "trn")
        assert not copy.receipt("trn").exists()
        run.play(copy, "trn")
        assert read_receipt(copy.receipt("trn")).evaluations_made == 2**5
        run.make_values(copy, "trn")
        assert copy.values("trn").read_bytes() == expected


def test_the_true_and_the_predicted_class_alone(copy):
    with h5py.File(copy.values("trn")) as file:
        esv, true, predicted = file["esv"][:], file["true_class"][:], file["predicted_class"][:]
    table = copy.values("trn").with_suffix(".csv").read_text()
    run.play(with_game(copy, outputs="true_and_predicted"), "trn")
    run.make_values(copy, "trn")
    videos = np.arange(len(true))
    with h5py.File(copy.values("trn")) as file:
        np.testing.assert_array_equal(file["predicted_class"][:], predicted)
        np.testing.assert_allclose(file["esv"][:, :, 0], esv[videos, :, true], atol=1e-7)
        np.testing.assert_allclose(file["esv"][:, :, 1], esv[videos, :, predicted], atol=1e-7)
    run.make(copy, "figures")
    found = copy.values("trn").with_suffix(".csv").read_text()
    assert found.splitlines()[0] == table.splitlines()[0]


def rewrite(path, change):
    """Rewrite a feature file with one video changed."""
    with h5py.File(path, "r+") as file:
        rows = file["features"][1]
        file["features"][1] = change(rows)


def test_features_that_are_not_finite_are_refused_by_video(copy):
    path = copy.features("trn", "validation")
    uid = read_features(path).uids[1]

    def spoil_one(rows):
        rows[3] = np.nan
        return rows

    rewrite(path, spoil_one)
    with pytest.raises(InputError, match=f"video {uid} hold NaN or Inf"):
        run.play(copy, "trn")


@pytest.mark.parametrize("policy", ["repeat", "leave_out"])
def test_short_videos(copy, policy, caplog):
    path = copy.features("trn", "validation")
    with h5py.File(path, "r+") as file:
        file["features"][1] = file["features"][1][: 3 * 8]
        file["frame_indices"][1] = file["frame_indices"][1][:3]
    uid = read_features(path).uids[1]
    run.play(with_game(copy, short_videos=policy), "trn")
    instances = open_store(copy.store("trn")).instances
    assert (uid in instances) == (policy == "repeat")
    words = {"repeat": "sampled with repeats", "leave_out": "left out"}[policy]
    assert f"1 videos of fewer than n: 5 frames are {words}: {uid}" in caplog.text
    run.make_values(copy, "trn")
    if policy == "repeat":
        with h5py.File(copy.values("trn")) as file:
            assert file["frames"][1].tolist() == sorted(file["frames"][1].tolist())
            assert len(set(file["frames"][1].tolist())) == 3


def test_training_is_repeatable(study, copy):
    digests = {}
    for each in (study, copy):
        run.make_models(each)
        networks = [load_model(model, each.weights(model)) for model in MODELS]
        digests[each.folder] = [checkpoints.state_digest(network) for network in networks]
        digests[each.folder] += [path.read_bytes() for path in each.weights("trn")]
    first, second = digests.values()
    assert first == second


def test_partitions_fill_one_store_in_any_order(copy):
    videos = len(open_store(copy.store("trn")))
    whole = open_store(copy.store("trn")).read_many(range(videos))
    shutil.rmtree(copy.store("trn").parent)
    for outputs in ("all", "true_and_predicted"):
        played = with_game(copy, outputs=outputs)
        run.play(played, "trn", parts=5)
        receipt = read_receipt(copy.receipt("trn"))
        assert (receipt.partition, receipt.instances) == ((0, 1), videos)
        assert (receipt.evaluations_made, receipt.evaluations_reused) == (videos * 2**5, 0)
        run.play(played, "trn", parts=20)
        assert read_receipt(copy.receipt("trn")).evaluations_made == 0
        if outputs == "all":
            np.testing.assert_array_equal(
                open_store(copy.store("trn")).read_many(range(videos)), whole
            )


def test_a_partition_of_another_plan_is_refused(copy):
    run.part(copy, "trn", 0, 1).unlink()
    for changes, message in (
        ({"score": "logit"}, "is planned for another game; run frames_plan"),
        ({"clips": 3}, "is planned for other instances"),
    ):
        with pytest.raises(InputError, match=message):
            run.evaluate(with_game(copy, **changes), "trn")
    uid = read_features(copy.features("trn", "validation")).uids[1]
    rewrite(copy.features("trn", "validation"), lambda rows: rows + 1)
    with pytest.raises(InputError, match=f"is planned for another input of '{uid}'"):
        run.evaluate(copy, "trn")
    assert not run.part(copy, "trn", 0, 1).exists()


def test_receipts_that_do_not_match_the_store_are_removed(copy):
    run.play(copy, "trn", parts=2)
    copy.receipt("trn").unlink()
    open_store(copy.store("trn"), "r+").erase(15)
    with pytest.raises(InputError, match=r"does not hold what .*1_of_2.json said; removed"):
        run.merge(copy, "trn", parts=2)
    assert [run.part(copy, "trn", i, 2).exists() for i in range(2)] == [True, False]
    assert not copy.receipt("trn").exists()


def test_figures_and_summary(study):
    drawn = study.folder / "figures"
    summary = json.loads((drawn / "summary.json").read_text())
    for model in MODELS:
        assert len(summary[model]["mean_esv_by_position"]) == 5
        assert 0 <= summary[model]["highest_in_action"]["inside"] <= 1
    pictures = [*drawn.glob("clips/*.png"), *(drawn / f"{n}.png" for n in ("accuracy", "summary"))]
    assert len(list(drawn.glob("clips/*.png"))) == study.params.figures.clips
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert b"</svg>" in picture.with_suffix(".svg").read_bytes()


def test_unnumbered_frames_are_not_looked_up_in_the_videos(copy, caplog):
    for model in MODELS:
        with h5py.File(copy.features(model, "validation"), "r+") as file:
            del file["frame_indices"]
        run.play(copy, model)
        run.make_values(copy, model)
    rows = list(csv.DictReader(copy.values("trn").with_suffix(".csv").open()))
    assert {row["frame_in_file"] for row in rows} == {""}
    run.make(copy, "figures")
    assert "pictures and actions are left out" in caplog.text
    summary = json.loads((copy.folder / "figures/summary.json").read_text())
    assert "highest_in_action" not in summary["trn"]


def test_values_do_not_depend_on_what_else_is_evaluated(copy):
    whole = open_store(copy.store("trn")).read_many(range(16))
    shutil.rmtree(copy.store("trn").parent)
    for count in (3, None):
        run.play(with_game(copy, clips=count), "trn")
    np.testing.assert_array_equal(open_store(copy.store("trn")).read_many(range(16)), whole)


def test_figures_without_videos(copy):
    run.make(copy, "figures", root=None)
    assert (
        "highest_in_action"
        not in json.loads((copy.folder / "figures/summary.json").read_text())["trn"]
    )


def test_accuracy_is_counted_by_hand(study):
    found = json.loads((study.folder / "accuracy.json").read_text())
    features = read_features(study.features("tsn", "validation"))
    model = load_model("tsn", study.weights("tsn"))
    right = 0
    for video in range(len(features)):
        rows = features.rows[features.starts[video] : features.starts[video + 1]]
        middle = rows[int(0.5 * len(rows))]
        right += int(model.classifier(torch.from_numpy(middle)).argmax()) == features.labels[video]
    assert found["frames"] == [1, 2, 3, 4, 5]
    assert found["tsn"]["top1"][0] == pytest.approx(right / len(features))


def test_accuracies_within_pairs():
    other = counterparts([("a", "b"), ("c", "gone")], ("a", "b", "c"))
    assert other.tolist() == [1, 0, -1]
    scores = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.2, 0.1, 0.7], [0.4, 0.1, 0.5]])
    found = accuracies(scores, np.array([0, 1, 2, 0]), other)
    assert found == {
        "top1": 0.5,
        "top1_pairs": pytest.approx(1 / 3),
        "within_pairs": pytest.approx(2 / 3),
        "top1_pair_blind": 0.75,
        "top1_rest": 1.0,
    }


def explain(study, *arguments, results=None):
    results = results or study.folder / "results"
    results.mkdir(exist_ok=True)
    if results.is_relative_to(study.folder) and not (results / "frames").exists():
        (results / "frames").symlink_to(study.folder)
    params = study.folder / "params.yaml"
    if not params.exists():
        from tiny import OVERRIDES, defaults, merged  # noqa: PLC0415

        params.write_text(json.dumps(merged(defaults(), OVERRIDES)))
    command = ["explain", *map(str, arguments), "--params", str(params), "--results", str(results)]
    return CliRunner().invoke(app, command)


@pytest.mark.parametrize("model", MODELS)
def test_explaining_a_video_of_the_study_gives_the_studys_values(study, model, tmp_path):
    uid = read_features(study.features(model, "validation")).uids[0]
    video = study.root / VIDEOS / f"{uid}.webm"
    out = tmp_path / "out.png"
    found = explain(study, video, "--model", model, "--out", out)
    assert found.exit_code == 0, found.output
    assert out.read_bytes().startswith(b"\x89PNG")
    with h5py.File(study.values(model)) as file:
        esv, predicted = file["esv"][0], file["predicted_class"][0]
        frames = file["frames"][0]
    lines = [line for line in found.output.splitlines() if "│" in line]
    printed = [line.split("│")[1:-1] for line in lines]
    rows = {cells[0].strip(): cells for cells in printed}
    for k, frame in enumerate(frames):
        assert float(rows[str(frame)][2]) == pytest.approx(esv[k, predicted], abs=6e-4)
    n, n_max = study.params.coalitions.n, study.params.scales.n_max
    where = {"results": study.folder / "results", "device": "cpu"}
    exact = explain_video(video, model, n_frames=n, n_max=n_max, **where)
    np.testing.assert_allclose(exact.esv, esv, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("removal", ["freeze", "mean", "blank"])
def test_values_with_replaced_frames_are_those_of_brute_force(study, model, removal, tmp_path):
    video = next((study.root / VIDEOS).glob("*.webm"))
    n, folder = 4, tmp_path / "results"
    folder.mkdir()
    (folder / "frames").symlink_to(study.folder)
    n_max = study.params.scales.n_max
    options = {"n_frames": n, "n_max": n_max, "removal": removal, "results": folder}
    found = explain_video(video, model, device="cpu", **options)
    backbone, decoding = load_backbone(study.folder / f"backbone/{model}.pt")
    network = load_model(model, study.weights(model))
    decoded = decode(video, fps=decoding.fps, size=decoding.size)
    rows = [int(np.flatnonzero(decoded.indices == frame)[0]) for frame in found.frames]
    with torch.no_grad():
        features = backbone(backbones.normalise(torch.from_numpy(decoded.frames[rows])))
    nobody = empty_score(read_priors(study.priors)[1], "probability").double().numpy()
    of_sequence = {"trn": oracle.multi_scale_game, "tsn": oracle.averaging_game}[model]
    v = oracle.replaced_game(of_sequence, network, features, nobody, "probability", removal)
    np.testing.assert_allclose(found.esv, oracle.shapley_values(v, n), atol=1e-6)
    np.testing.assert_allclose(found.scores, v(tuple(range(n))), atol=1e-6)
    assert found.evaluations == 2**n
    done = explain(study, video, "--model", model, "--frames", n, "--removal", removal,
                   "--out", tmp_path / "o.png", results=folder)  # fmt: skip
    assert f"from 16 of 16 coalitions. Absent frames: {removal}." in done.output, done.exception
    (store,) = (folder / "coalitions/own").glob("*.zarr")
    assert store.name == f"{model}_{removal}.zarr"


def test_algorithm_1_does_not_replace_frames(study, tmp_path):
    video = next((study.root / VIDEOS).glob("*.webm"))
    found = explain(study, video, "--removal", "mean", "--subsequences", "4")
    assert "Algorithm 1 deletes frames" in str(found.exception)
    found = explain(study, video, "--removal", "blur")
    assert "'blur' is none of delete, freeze, mean, blank" in str(found.exception)


def test_explaining_says_what_is_wrong(study, tmp_path):
    bad = tmp_path / "bad.webm"
    bad.write_bytes(b"")
    found = explain(study, bad)
    assert isinstance(found.exception, InputError)
    assert "bad.webm" in str(found.exception)
    video = next((study.root / VIDEOS).glob("*.webm"))
    found = explain(study, video, "--frames", "40")
    assert "40 players" in str(found.exception)
    found = explain(study, video, "--class", "Moving something dwn")
    assert "did you mean 'Moving something down'" in str(found.exception)
    found = explain(study, video, results=tmp_path)
    assert "run `uv run snakemake --cores all` first" in str(found.exception)


def test_explaining_needs_the_backbone_that_the_models_were_trained_on(copy, tmp_path):
    video = next((copy.root / VIDEOS).glob("*.webm"))
    other = tiny_params(backbone={"seed": 1}).frames
    for name in ("backbone/trn.pt", "backbone/tsn.pt"):
        (copy.folder / name).unlink()
    found = explain(copy, video, "--out", tmp_path / "o.png", results=copy.folder / "own")
    assert "run `uv run snakemake --cores all` first" in str(found.exception)
    run.make_backbone(replace(copy, params=other), "trn")
    found = explain(copy, video, "--out", tmp_path / "o.png", results=copy.folder / "own")
    assert "is not the backbone on whose features" in str(found.exception)
    with h5py.File(copy.features("trn", "train"), "r+") as file:
        del file["features"].attrs["backbone_sha256"]
    run.make_models(copy)
    found = explain(copy, video, "--out", tmp_path / "o.png", results=copy.folder / "own")
    assert "was trained on features made elsewhere" in str(found.exception)
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("out", ["picture.jpg", "v1.2", "."])
def test_the_picture_is_written_where_requested_or_not_at_all(study, tmp_path, out):
    video = next((study.root / VIDEOS).glob("*.webm"))
    found = explain(study, video, "--out", tmp_path / out)
    assert "must name a .png file" in str(found.exception)
    assert not list(tmp_path.iterdir())


def test_many_frames_can_be_explained_with_logits(study, tmp_path):
    video = next((study.root / VIDEOS).glob("*.webm"))
    out = tmp_path / "o.png"
    found = explain(study, video, "--frames", "40", "--score", "logit", "--out", out)
    assert found.exit_code == 0, found.output
    assert "only 16 different frames: some are repeated" in found.output
    assert out.exists()


def test_frames_are_sampled_denser_when_more_are_requested(study, tmp_path):
    """A clip has 16 frames at 12 per second; the models are trained on 6 per second, so on 8."""
    video = next((study.root / VIDEOS).glob("*.webm"))
    n_max, folder = study.params.scales.n_max, study.folder / "results"
    few = explain_video(video, "tsn", n_frames=8, n_max=n_max, results=folder, device="cpu")
    assert (few.fps, few.available) == (6, 8)
    more = explain_video(video, "tsn", n_frames=12, n_max=n_max, results=folder, device="cpu")
    assert (more.fps, more.usual_fps) == (12, 6)
    assert len(set(more.frames.tolist())) == 12
    options = ("--frames", "12", "--subsequences", "4", "--out", tmp_path / "o.png")
    said = explain(study, video, *options).output
    assert "Frames are sampled at 12 a second" in said
    assert "repeated" not in said
    assert f"The model knows {len(more.classes)} classes" in said


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_a_clip_with_a_rotated_display_has_the_values_of_a_rotated_clip(
    study, tmp_path, degrees, turns
):
    size = study.params.decoding.size
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (8, size, size, 3), dtype=np.uint8)

    def written(name, frames, rotation):
        path = tmp_path / name
        with av.open(path, "w", format="mov") as out:
            stream = out.add_stream("png", rate=6)
            stream.width, stream.height, stream.pix_fmt = size, size, "rgb24"
            if rotation:
                stream.set_display_rotation(rotation)
            for frame in frames:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode(None))
        return path

    of_matrix = written("matrix.mov", pixels, degrees)
    of_pixels = written("pixels.mov", np.rot90(pixels, turns, axes=(1, 2)), 0)
    as_is = written("as-is.mov", pixels, 0)
    where = {"n_max": study.params.scales.n_max, "results": study.folder / "results"}
    found, expected, other = (
        explain_video(path, "trn", n_frames=5, device="cpu", **where)
        for path in (of_matrix, of_pixels, as_is)
    )
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.esv, expected.esv)
    assert np.abs(found.esv - other.esv).max() > 0


def test_each_file_and_number_of_frames_has_a_picture_of_its_own(study, tmp_path, monkeypatch):
    video = next((study.root / VIDEOS).glob("*.webm"))
    monkeypatch.chdir(tmp_path)
    for name in ("[a] 視頻 $x$.webm", "[a] 視頻 $x$.mkv"):
        shutil.copy(video, tmp_path / name)
        for frames in ("4", "5"):
            found = explain(study, tmp_path / name, "--frames", frames, "--model", "tsn")
            assert found.exit_code == 0, found.output
            assert f"Picture: {name}.tsn.{frames}.esv.png" in found.output
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_many_frames_can_be_explained_approximately(study, tmp_path):
    video = next((study.root / VIDEOS).glob("*.webm"))
    out = tmp_path / "o.png"
    found = explain(study, video, "--frames", "40", "--subsequences", "8", "--out", out)
    assert found.exit_code == 0, found.output
    assert "Values are approximate" in found.output
    assert out.exists()
    n_max = study.params.scales.n_max
    where = {"n_frames": 4, "n_max": n_max, "results": study.folder / "results", "device": "cpu"}
    exact = explain_video(video, "trn", **where)
    same = explain_video(video, "trn", approximate=Sampling(m=6), **where)
    np.testing.assert_allclose(same.esv, exact.esv, atol=1e-6)
    np.testing.assert_allclose(same.scores, exact.scores, atol=1e-6)
