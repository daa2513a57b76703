"""Compares how well attributions find the action with scikit-learn and with slow code."""

import csv
import json
from math import comb

import numpy as np
import pytest
import study as run
import torch
from sklearn.metrics import roc_auc_score
from tiny import tiny_params

from pipeline.store import open_store
from pipeline.studies.frames import localisation
from pipeline.studies.frames.approximation import approximate_element_shapley_values
from pipeline.studies.frames.discard import read_attributions
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.figures.localisation import draw_localisation
from pipeline.studies.frames.methods import METHODS
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.trained import load_model
from pipeline.studies.frames.values import read_values


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = run.Study(tmp_path_factory.mktemp("localisation"), tiny_params().frames)
    run.make_feature_files(made)
    run.make_models(made)
    for model in run.MODELS:
        run.play(made, model)
        run.make_values(made, model)
        run.make_gradients(made, model)
    uids = read_values(made.values("trn")).uids
    # The action of the first video is unknown; the second's covers every frame.
    found = {uid: [2, 7 + number % 3] for number, uid in enumerate(uids[2:])}
    found[uids[1]] = [0, 100]
    (made.root / "labels/action_intervals.json").write_text(json.dumps(found))
    run.make(made, "localisation")
    return made


def slow_attributions(study, model):
    """For each video its attributions by method, and its frames' numbers."""
    known, n = read_values(study.values(model)), study.params.coalitions.n
    store, everyone = open_store(study.store(model)), 2**n - 1
    gradients = read_attributions(known, study.gradients(model))
    classes, counts = read_priors(study.priors)
    network, empty = load_model(model, study.weights(model)), empty_score(counts, "probability")
    features = read_features(study.features(model, "validation"), n_classes=len(classes))
    for row, uid in enumerate(known.uids):
        true = int(known.true_class[row])
        v = store.read(uid)[:, true].astype(float)
        pairs = np.zeros((n, n))
        for i in range(n):
            for j in set(range(n)) - {i}:
                for mask in range(2**n):
                    a, b, size = 1 << i, 1 << j, mask.bit_count()
                    if not mask & (a | b):
                        together = v[mask | a | b] - v[mask | a] - v[mask | b] + v[mask]
                        pairs[i, j] += together / (n - 1) / comb(n - 2, size)
        frames = known.frames[row]
        rows = torch.from_numpy(features.gather([row], frames[None] // 2))
        found = approximate_element_shapley_values(
            network, rows, empty, "probability", m=2, iterations=1, seed=0
        )
        yield (
            uid,
            frames,
            {
                "esv": known.esv_true[row],
                "algorithm_1": found.values[0, :, true].numpy(),
                "ig": gradients["ig"][row],
                "gc": gradients["gc"][row],
                "leave_one_out": [v[everyone] - v[everyone - (1 << i)] for i in range(n)],
                "pairs": np.abs(pairs).sum(axis=1),
                "centre": [-abs(i - (n - 1) / 2) for i in range(n)],
                "early": [-i for i in range(n)],
            },
        )


@pytest.mark.parametrize("model", run.MODELS)
def test_areas_are_those_of_scikit_learn(study, model):
    intervals = json.loads((study.root / "labels/action_intervals.json").read_text())
    areas = {name: [] for name in METHODS}
    for uid, frames, attributions in slow_attributions(study, model):
        if uid in intervals:
            inside = [intervals[uid][0] <= f <= intervals[uid][1] for f in frames]
            if len(set(inside)) == 2:
                for name, found in attributions.items():
                    areas[name].append(roc_auc_score(inside, np.round(found, 12)))
    rows = json.loads((study.folder / "localisation.json").read_text())["rows"]
    of_model = {row["method"]: row for row in rows if row["model"] == model}
    assert set(of_model) == set(areas)
    assert 0 < len(areas["esv"]) < len(intervals)
    for name, expected in areas.items():
        row, less = of_model[name], np.array(areas["esv"]) - expected
        count = len(expected)
        assert row["videos"] == count
        assert row["area"] == pytest.approx(np.mean(expected), abs=1e-9)
        assert row["less_than_esv"] == pytest.approx(less.mean(), abs=1e-9)
        error = np.std(expected, ddof=1) / np.sqrt(count)
        assert row["standard_error"] == pytest.approx(error, abs=1e-9)
    with (study.folder / "localisation.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["area"]) for row in written] == pytest.approx([row["area"] for row in rows])


def test_areas_of_random_attributions():
    rng = np.random.default_rng(0)
    attributions = rng.integers(0, 4, (200, 7)).astype(float)  # many are equal
    inside = rng.random((200, 7)) < 0.4
    inside[0], inside[1] = True, False
    found = localisation.areas(attributions, inside)
    assert np.isnan(found[:2]).all()
    for row in range(2, 200):
        if inside[row].any() and not inside[row].all():
            assert found[row] == pytest.approx(roc_auc_score(inside[row], attributions[row]))


def test_without_known_actions_there_are_no_rows(study, tmp_path):
    options = {"out": tmp_path / "a.json", "table": tmp_path / "a.csv", "root": None}
    run.make(study, "localisation", figure=tmp_path / "a.png", **options)
    assert json.loads((tmp_path / "a.json").read_text())["rows"] == []
    assert (tmp_path / "a.png").exists()


def test_a_video_of_one_frame_has_no_pairs():
    assert localisation.interaction_sizes(np.full((2, 1, 1), 3.0)).tolist() == [[0.0], [0.0]]
    one = {"esv": np.array([[1.0]]), "centre": np.array([[0.0]])}
    (row, _) = localisation.compared("trn", one, np.array([[True]]))
    assert row["videos"] == 0
    assert np.isnan(row["area"])
    assert draw_localisation([]).axes
