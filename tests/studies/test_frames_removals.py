"""Scores with replaced frames against slow code, and how far values depend on the removal."""

import json
from itertools import combinations

import numpy as np
import oracle
import pytest
import study as run
import torch
from scipy import stats
from tiny import tiny_params

from pipeline.models.sequences import Averaging, MultiScale, SingleScale
from pipeline.store import open_store
from pipeline.studies.frames import game, removals
from pipeline.studies.frames.coalition_scores import table
from pipeline.studies.frames.lengths import frames_of
from pipeline.studies.frames.removals import REMOVALS
from pipeline.studies.frames.replaced_scores import replaced_table, sequences_at_once
from pipeline.studies.frames.trained import load_model

RNG = np.random.default_rng
D, C = 3, 4
SCORES = ("probability", "logit", "mean_of_softmax")
GAMES = {"trn": oracle.multi_scale_game, "tsn": oracle.averaging_game}


def network(model, n_max=3):
    torch.manual_seed(0)
    if model == "tsn":
        return Averaging(D, C).double().eval()
    return MultiScale([SingleScale(s, D, 5, C) for s in range(1, n_max + 1)]).double().eval()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("model", ["trn", "tsn"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_tables_with_replaced_frames_are_those_of_slow_code(model, n, score):
    made = network(model)
    features = torch.from_numpy(RNG(n).normal(size=(2, n, D)))
    empty = torch.from_numpy(RNG(1).dirichlet(np.ones(C)))
    for removal in REMOVALS[1:]:
        found = replaced_table(made, features, empty, removal, score)
        for i, of_video in enumerate(features.numpy()):
            v = oracle.replaced_game(GAMES[model], made, of_video, empty.numpy(), score, removal)
            for mask in range(2**n):
                expected = v(tuple(k for k in range(n) if mask >> k & 1))
                np.testing.assert_allclose(found[i, mask], expected, atol=1e-12)


@pytest.mark.parametrize("model", ["trn", "tsn"])
def test_all_frames_have_the_score_of_deletion(model):
    made, features = network(model, 4), torch.from_numpy(RNG(2).normal(size=(3, 4, D)))
    empty = torch.zeros(C, dtype=torch.float64)
    deleted = table(made, features, empty)
    for removal in REMOVALS[1:]:
        found = replaced_table(made, features, empty, removal)
        torch.testing.assert_close(found[:, -1], deleted[:, -1])
    # A frozen TSN frame alone is repeated, which leaves the mean as it is.
    if model == "tsn":
        frozen = replaced_table(made, features, empty, "freeze")
        torch.testing.assert_close(frozen[:, [1, 2, 4, 8]], deleted[:, [1, 2, 4, 8]])


def test_memory_bounds_what_is_evaluated_at_once():
    assert sequences_at_once(network("trn"), 8, 1) == 1
    few, many = (sequences_at_once(network("trn"), 8, b) for b in (1 << 24, 1 << 26))
    assert many >= 4 * few > 4


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    training = {"epochs": 12, "learning_rate": 0.02, "draws": 1}
    params = tiny_params(scales=training, tsn=training).frames
    made = run.Study(tmp_path_factory.mktemp("removals"), params)
    run.make_feature_files(made)
    run.make_models(made)
    run.make(made, "removal")
    return made


@pytest.mark.parametrize("model", ["trn", "tsn"])
def test_the_store_holds_the_scores_of_every_removal(study, model):
    store = open_store(study.store(f"{model}_removal"))
    n = study.params.removal.n
    assert (len(store), store.record.n_players, store.record.outputs) == (6, n, REMOVALS)
    assert store.record.specification["removal"] == list(REMOVALS)
    setting = game.read_setting(
        model,
        study.features(model, "validation"),
        study.weights(model),
        study.priors,
        "probability",
        device=torch.device("cpu"),
    )
    known = setting.features
    made, empty = load_model(model, study.weights(model)), setting.empty.double().numpy()
    for i, uid in enumerate(store.instances):
        video = known.uids.index(uid)
        label = known.labels[video]
        rows = frames_of(known, [video], n)[0]
        values = store.read(i)
        games = [GAMES[model](made, rows, empty, "probability")]
        games += [
            oracle.replaced_game(GAMES[model], made, rows, empty, "probability", removal)
            for removal in REMOVALS[1:]
        ]
        for mask in range(2**n):
            players = tuple(k for k in range(n) if mask >> k & 1)
            expected = [v(players)[label] for v in games]
            np.testing.assert_allclose(values[mask], expected, atol=1e-5)


def test_the_table_has_the_rank_correlations(study):
    rows = json.loads((study.folder / "removal.json").read_text())["rows"]
    assert len(rows) == 2 * 6
    assert (study.folder / "figures/removal.svg").exists()
    for model in ("trn", "tsn"):
        store = open_store(study.store(f"{model}_removal"))
        esv = []
        for i in range(len(store)):
            values = store.read(i).astype(float)

            def v(players, values=values):
                return values[oracle.mask_of(players)]

            esv.append(oracle.shapley_values(v, store.record.n_players))
        of_model = [row for row in rows if row["model"] == model]
        pairs = list(combinations(range(4), 2))
        for row, (first, second) in zip(of_model, pairs, strict=True):
            assert (row["first"], row["second"]) == (REMOVALS[first], REMOVALS[second])
            each = [stats.spearmanr(e[:, first], e[:, second]).statistic for e in esv]
            assert row["rank_correlation"] == pytest.approx(np.mean(each), abs=1e-6)
            assert row["standard_error"] == pytest.approx(stats.sem(each), abs=1e-6)
            same = [e[:, first].argmax() == e[:, second].argmax() for e in esv]
            assert row["same_best_frame"] == pytest.approx(np.mean(same))
            assert row["videos"] == 6


def test_equal_values_have_no_rank_correlation_and_do_not_count():
    values = RNG(0).normal(size=(3, 5, 4))
    values[0, :, 1] = 2.0
    values[1, [0, 2], 0] = values[1, 1, 0]
    rows = removals.rows_of("trn", values)
    assert [row["videos"] for row in rows] == [2, 3, 3, 2, 2, 3]
    expected = [stats.spearmanr(values[i, :, 0], values[i, :, 1]).statistic for i in (1, 2)]
    assert rows[0]["rank_correlation"] == pytest.approx(np.mean(expected))


def test_values_do_not_depend_on_the_batch(study, monkeypatch):
    stored = open_store(study.store("trn_removal"))
    expected = np.stack([stored.read(i) for i in range(len(stored))])
    opened = game.open_game("trn_removal", device="cpu", **run.given(study, "trn_removal"))
    monkeypatch.setattr(game, "REMOVAL_BYTES", 1)
    alone = game.open_game("trn_removal", device="cpu", **run.given(study, "trn_removal"))
    assert alone.batch_size == 1 < opened.batch_size
    np.testing.assert_allclose(opened.tables([4, 2], None), expected[[4, 2]], atol=1e-6)
    np.testing.assert_allclose(alone.tables([4], None), expected[[4]], atol=1e-6)
