"""Compares interactions of frames with their definition, by brute force from the stores."""

import csv
import json
from itertools import combinations
from math import factorial

import numpy as np
import pytest
import study as run
from tiny import tiny_params

from pipeline.store import open_store
from pipeline.studies.frames import interactions
from pipeline.studies.frames.figures.interactions import draw_interactions
from pipeline.studies.frames.values import read_values

PAIRS = [["Class 0", "Class 1"], ["Class 2", "Class 3"]]
COUNTERPART = {0: 1, 1: 0, 2: 3, 3: 2}


def make(study):
    run.make_feature_files(study)
    (study.root / "labels/order_pairs.json").write_text(json.dumps(PAIRS))
    run.make_models(study)
    for model in run.MODELS:
        run.play(study, model)
        run.make_values(study, model)
    run.make(study, "interactions")
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make(run.Study(tmp_path_factory.mktemp("interactions"), tiny_params().frames))


def slow_pair(v, n, i, j):
    """The Shapley interaction index of two players (Grabisch and Roubens, 1999)."""
    total = 0.0
    others = [k for k in range(n) if k not in (i, j)]
    for size in range(n - 1):
        weight = factorial(n - size - 2) * factorial(size) / factorial(n - 1)
        for coalition in combinations(others, size):
            mask, a, b = sum(1 << k for k in coalition), 1 << i, 1 << j
            total += weight * (v[mask | a | b] - v[mask | a] - v[mask | b] + v[mask])
    return total


def slow_means(study, model, game):
    """For each distance: mean and error of pairs' values, and of their sizes; number of videos."""
    store, n = open_store(study.store(model)), study.params.coalitions.n
    labels = read_values(study.values(model)).true_class
    of_videos = []
    for row, uid in enumerate(store.instances):
        table, true = store.read(uid).astype(float), int(labels[row])
        if game == "order" and true not in COUNTERPART:
            continue
        v = table[:, true] - (table[:, COUNTERPART[true]] if game == "order" else 0)
        of_videos.append([[slow_pair(v, n, i, i + d) for i in range(n - d)] for d in range(1, n)])
    means = np.array([[np.mean(pairs) for pairs in video] for video in of_videos])
    sizes = np.array([[np.mean(np.abs(pairs)) for pairs in video] for video in of_videos])
    root = np.sqrt(len(of_videos))
    return {
        "mean": means.mean(axis=0),
        "standard_error": means.std(axis=0, ddof=1) / root,
        "mean_size": sizes.mean(axis=0),
        "error": sizes.std(axis=0, ddof=1) / root,
    }, len(of_videos)


@pytest.mark.parametrize("model", run.MODELS)
@pytest.mark.parametrize("game", interactions.GAMES)
def test_means_by_distance_are_those_of_the_definition(study, model, game):
    found = json.loads((study.folder / "interactions.json").read_text())
    expected, videos = slow_means(study, model, game)
    assert found[model][game]["videos"] == videos
    with (study.folder / "interactions.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if (r["model"], r["game"]) == (model, game)]
    assert [int(row["distance"]) for row in rows] == list(range(1, study.params.coalitions.n))
    for name, numbers in expected.items():
        np.testing.assert_allclose(found[model][game][name], numbers, atol=1e-7)
        np.testing.assert_allclose([float(row[name]) for row in rows], numbers, atol=1e-7)


def test_single_frames_have_their_shapley_values(study):
    store, known = open_store(study.store("trn")), read_values(study.values("trn"))
    none = np.full(len(known.uids), -1)
    found = interactions.pair_values(store, known.true_class, none, "SII")
    assert np.isnan(found["order"]).all()
    singles = np.diagonal(found["class"], axis1=1, axis2=2)
    np.testing.assert_allclose(singles, known.esv_true, atol=1e-6)
    np.testing.assert_array_equal(found["class"], found["class"].transpose(0, 2, 1))


def test_what_is_read_at_once_changes_nothing(study, monkeypatch):
    store, known = open_store(study.store("tsn")), read_values(study.values("tsn"))
    other = np.array([COUNTERPART.get(int(c), -1) for c in known.true_class])
    many = interactions.pair_values(store, known.true_class, other, "FSII")
    monkeypatch.setattr("pipeline.studies.frames.values.BYTES_AT_ONCE", 1)
    few = interactions.pair_values(store, known.true_class, other, "FSII")
    for game in interactions.GAMES:
        np.testing.assert_allclose(few[game], many[game], atol=1e-12)


def test_without_pairs_of_classes_there_is_no_order(study, tmp_path):
    options = {"out": tmp_path / "a.json", "table": tmp_path / "a.csv", "root": None}
    run.make(study, "interactions", figure=tmp_path / "a.png", **options)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["trn"]["order"]["videos"] == 0
    assert set(found["trn"]["order"]["mean"]) == {None}


@pytest.mark.parametrize("n", [1, 2])
def test_few_frames(tmp_path, n):
    made = make(run.Study(tmp_path, tiny_params(coalitions={"n": n}).frames))
    found = json.loads((made.folder / "interactions.json").read_text())
    assert len(found["tsn"]["class"]["mean"]) == n - 1
    assert made.figure("interactions").exists()


def test_a_figure_without_videos():
    nothing = {"mean": [], "standard_error": [], "videos": 0}
    found = {model: dict.fromkeys(interactions.GAMES, nothing) for model in run.MODELS}
    empty = {model: np.empty((0, 4, 4)) for model in run.MODELS}
    assert draw_interactions(empty, [], found, "SII", "probability").axes
