"""Tests estimates against exact values, and their times, on generated features."""

import csv
import json
from dataclasses import replace

import numpy as np
import oracle
import pytest
import study as run
import torch
from recomputed import check_figures
from scipy import stats
from small_networks import SCORES, make_game, make_input, make_model
from tiny import tiny_params

from pipeline.core.errors import InputError
from pipeline.shapley.games import table_game
from pipeline.store.evaluation import read_receipt
from pipeline.studies.frames import coalition_scores, convergence, runtime, sampling
from pipeline.studies.frames.approximation import sample_iterations
from pipeline.studies.frames.averaging import averaging_game
from pipeline.studies.frames.convergence import COMPARED
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.trained import load_model

SECTION = {"tsn_frames": 8, "budgets": [7, 20, 60, 256]}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = run.Study(tmp_path_factory.mktemp("estimates"), tiny_params(convergence=SECTION).frames)
    run.make_feature_files(made)
    run.make_models(made)
    return made


@pytest.fixture
def copy(study, tmp_path):
    """The same features and models, with results in another folder."""
    (tmp_path / "copy").mkdir()
    for name in ("features", "scales", "tsn.pt", "priors.json"):
        (tmp_path / "copy" / name).symlink_to(study.folder / name)
    return replace(study, folder=tmp_path / "copy")


@pytest.fixture
def seen(monkeypatch):
    """Records the estimates and exact values that are compared."""
    compared = []

    def errors(estimated, exact, original=convergence.errors):
        compared.append((estimated.copy(), exact.copy()))
        return original(estimated, exact)

    monkeypatch.setattr(convergence, "errors", errors)
    return compared


def changed(study, **section):
    """The study with some parameters of convergence changed."""
    params = tiny_params(convergence={**SECTION, **section}).frames.convergence
    return study.with_params(convergence=params)


def rows_of(study, name="convergence"):
    found = json.loads((study.folder / f"{name}.json").read_text(), parse_constant=pytest.fail)
    return found["rows"]


def evaluations(study):
    receipts = [read_receipt(study.receipt(name)) for name in STORES]
    return [(receipt.evaluations_made, receipt.evaluations_reused) for receipt in receipts]


STORES = ("trn_convergence", "tsn_sampled")


def true_tables(study, model, n, score="probability"):
    """Complete tables of the true class by the definition: (video, 2**n)."""
    features = read_features(study.features(model, "validation"))
    network = load_model(model, study.weights(model))
    empty = empty_score(read_priors(study.priors)[1], score).numpy()
    # Spread over the whole file.
    last, count = len(features) - 1, study.params.convergence.clips
    videos = np.linspace(0, last, count).round().astype(int)
    tables = []
    for rows, label in zip(
        features.gather(videos, sampling.spread(features.lengths[videos], n)),
        features.labels[videos],
        strict=True,
    ):
        v = make_game(model)(network, rows, empty, score)
        members = ([i for i in range(n) if mask >> i & 1] for mask in range(2**n))
        tables.append([v(tuple(players))[label] for players in members])
    return np.array(tables)


def exact_of(tables, n):
    return np.array([oracle.shapley_values(lambda c: t[oracle.mask_of(c)], n) for t in tables])


def asked_by(study, repeats, *, seed=0):
    """Coalitions that the estimators request from the TSN's games, by video."""
    params = study.params.convergence
    asked = []
    for video, values in enumerate(true_tables(study, "tsn", params.tsn_frames)):
        found = set()

        class Noting:
            n_players, outputs = params.tsn_frames, ("true class",)

            def __call__(self, masks, values=values, found=found):
                found.update(masks.tolist())
                return table_game(values.astype(np.float32))(masks)

        for method in COMPARED.values():
            for budget in params.budgets:
                if method.smallest(params.tsn_frames) <= budget < 2**params.tsn_frames:
                    for repeat in repeats:
                        of_draw = np.random.SeedSequence([seed, repeat, video])
                        method.estimate(Noting(), budget=budget, seed=of_draw)
        # Algorithm 1 draws the same for all videos.
        for m in params.m:
            for i in params.iterations:
                for repeat in repeats:
                    seeds = np.random.SeedSequence([seed, repeat])
                    for scales in sample_iterations(params.tsn_frames, m, i, seeds):
                        found.update(mask for masks in scales for mask in masks.tolist())
        asked.append(found)
    return asked


def slow_errors(estimated, exact):
    repeats, videos, _ = estimated.shape
    result = {"videos": videos, "repeats": repeats}
    for name, measure in (
        ("pearson", lambda a, b: stats.pearsonr(a, b).statistic),
        ("kendall", lambda a, b: stats.kendalltau(a, b).statistic),
        ("mean_absolute_error", lambda a, b: np.abs(a - b).mean()),
    ):
        by_repeat = [
            np.mean([measure(estimated[r, v], exact[v]) for v in range(videos)])
            for r in range(repeats)
        ]
        result[name] = np.mean(by_repeat)
        result[f"{name}_sd"] = np.std(by_repeat, ddof=1) if repeats > 1 else np.nan
    result["bias_squared"] = result["bias_squared_error"] = np.nan
    if repeats > 2:
        result["bias_squared"] = slow_bias(estimated, exact)
        others = [
            slow_bias(np.array([estimated[r] for r in range(repeats) if r != left_out]), exact)
            for left_out in range(repeats)
        ]
        result["bias_squared_error"] = np.std(others) * np.sqrt(repeats - 1)
    return result


def slow_bias(estimated, exact):
    """The mean product of two different repeats' errors: their chance errors are independent."""
    repeats = range(len(estimated))
    errors = estimated - exact
    return np.mean([np.mean(errors[a] * errors[b]) for a in repeats for b in repeats if a != b])


@pytest.mark.parametrize("repeats", [1, 4])
def test_errors(repeats):
    rng = np.random.default_rng(repeats)
    estimated, exact = rng.normal(size=(repeats, 3, 6)), rng.normal(size=(3, 6))
    found, expected = convergence.errors(estimated, exact), slow_errors(estimated, exact)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, nan_ok=True), name


def test_errors_of_values_that_are_all_equal():
    estimated, exact = np.ones((2, 3, 4)), np.ones((3, 4))
    exact[1] = estimated[:, 1] = [1, 2, 3, 5]
    found = convergence.errors(estimated, exact)
    assert found["pearson"] == found["kendall"] == pytest.approx(1), "of the one that is known"
    found = convergence.errors(np.ones((2, 3, 4)), exact)
    assert np.isnan(found["pearson"])
    assert found["mean_absolute_error"] == pytest.approx((0 + 1 + 2 + 4) / 12)


def test_an_unbiased_estimators_bias_is_that_of_chance():
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(40, 8))
    estimated = exact + 0.3 * rng.normal(size=(9, 40, 8))
    found = convergence.errors(estimated, exact)
    assert abs(found["bias_squared"]) < 3 * found["bias_squared_error"]
    found = convergence.errors(estimated + 0.5, exact)
    assert abs(found["bias_squared"] - 0.25) < 3 * found["bias_squared_error"] < 0.1


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_averaging_models_game_is_its_table(score, n):
    model = make_model("tsn")
    features, empty = make_input(model, 1, n)
    table = coalition_scores.table(model, features, empty, score)[0].numpy()
    for output in range(model.n_classes):
        game = averaging_game(model, features[0], empty, output, score)
        masks = np.random.default_rng(0).permutation(2**n).astype(np.uint64)
        found = game(masks)
        assert found.shape == (2**n, 1)
        np.testing.assert_allclose(found[:, 0], table[masks.astype(int), output], atol=1e-6)
        assert found[masks == 0, 0] == empty[output].numpy()


def test_convergence(copy, seen):
    run.make(copy, "convergence")
    rows, params = rows_of(copy), copy.params.convergence
    frames = {"trn": params.trn_frames, "tsn": params.tsn_frames}
    exact = {model: exact_of(true_tables(copy, model, n), n) for model, n in frames.items()}
    expected = [
        (model, method, m, i, budget)
        for model, n in frames.items()
        for method, m, i, budget in [
            *(("algorithm 1", m, i, None) for m in params.m for i in params.iterations),
            *(
                (name, None, None, budget)
                for name, method in COMPARED.items()
                for budget in params.budgets
                if method.smallest(n) <= budget < 2**n
            ),
        ]
    ]
    columns = ("model", "method", "m", "iterations", "budget")
    assert [tuple(row[name] for name in columns) for row in rows] == expected
    assert len({row["method"] for row in rows if row["model"] == "tsn"}) == 6
    assert len(seen) == len(rows)
    for row, (estimated, values) in zip(rows, seen, strict=True):
        np.testing.assert_allclose(values, exact[row["model"]], atol=1e-6)
        assert (row["frames"], row["videos"], row["repeats"]) == (frames[row["model"]], 2, 2)
        for name, value in slow_errors(estimated, values).items():
            if np.isnan(value):
                assert row[name] is None, name
            else:
                assert row[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
        if row["m"] == 1024:
            assert row["mean_absolute_error"] < 1e-6
            assert row["evaluations"] == 2 ** row["frames"]
        if row["budget"] is not None:
            assert 0.5 * row["budget"] < row["evaluations"] <= row["budget"]
            assert row["unbiased"] == COMPARED[row["method"]].unbiased
    table = list(csv.DictReader((copy.folder / "convergence.csv").open()))
    assert list(table[0]) == list(convergence.COLUMNS)
    for text, row in zip(table, rows, strict=True):
        assert float(text["pearson"]) == pytest.approx(row["pearson"], rel=1e-6)
        assert text["budget"] == ("" if row["budget"] is None else str(row["budget"]))
    described = json.loads((copy.folder / "convergence.json").read_text())["methods"]
    assert set(described) == set(COMPARED)


def test_nothing_is_evaluated_twice(copy, seen):
    few = {"m": [1, 2], "iterations": [1], "tsn_frames": 8, "budgets": [20]}
    copy = changed(copy, **few)
    run.make(copy, "convergence")
    frames, videos = copy.params.convergence.trn_frames, copy.params.convergence.clips
    asked = asked_by(copy, range(2))
    assert evaluations(copy) == [(videos * 2**frames, 0), (sum(map(len, asked)), 0)]
    results = [(copy.folder / f"convergence.{kind}") for kind in ("json", "csv")]
    first = [path.read_bytes() for path in results]

    run.make(copy, "convergence")
    assert evaluations(copy) == [(0, videos * 2**frames), (0, sum(map(len, asked)))]
    assert [path.read_bytes() for path in results] == first

    run.make(changed(copy, **few, repeats=3), "convergence")
    new = [more - known for more, known in zip(asked_by(copy, [2]), asked, strict=True)]
    assert all(new)
    assert evaluations(copy)[0][0] == 0
    assert evaluations(copy)[1] == (sum(map(len, new)), sum(map(len, asked)))

    known = [one | other for one, other in zip(asked, new, strict=True)]
    run.make(changed(copy, **few, seed=5), "convergence")
    other = asked_by(copy, range(2), seed=5)
    made = sum(len(o - k) for o, k in zip(other, known, strict=True))
    assert evaluations(copy)[1] == (made, sum(map(len, other)) - made)
    assert results[0].read_bytes() != first[0]

    run.make(copy, "convergence")
    assert [made for made, _ in evaluations(copy)] == [0, 0]
    assert [path.read_bytes() for path in results] == first


@pytest.mark.parametrize("score", ["logit", "mean_of_softmax"])
def test_other_scores(copy, seen, score):
    of_score = copy.params.coalitions.model_copy(update={"score": score})
    copy = changed(copy, tsn_frames=5, m=[1024], budgets=[20]).with_params(coalitions=of_score)
    run.make(copy, "convergence")
    for row, (_, exact) in zip(rows_of(copy), seen, strict=True):
        expected = exact_of(true_tables(copy, row["model"], 5, score), 5)
        np.testing.assert_allclose(exact, expected, atol=2e-6)
        if row["m"]:
            assert row["mean_absolute_error"] < 2e-6


def test_budgets_that_suit_no_estimator_and_a_single_repeat(copy):
    few = {"budgets": [64], "m": [1], "iterations": [2], "repeats": 1, "clips": 1}
    copy = changed(copy, trn_frames=2, tsn_frames=2, **few)
    run.make(copy, "convergence")
    run.make(copy, "draw_convergence")
    rows = rows_of(copy)
    assert [(row["model"], row["method"]) for row in rows] == [
        ("trn", "algorithm 1"),
        ("tsn", "algorithm 1"),
    ]
    assert {row["mean_absolute_error_sd"] for row in rows} == {None}


def test_figures_of_convergence_are_written(copy):
    run.make(changed(copy, budgets=[20], m=[1, 4]), "convergence")
    run.make(copy, "draw_convergence")
    check_figures(copy, "convergence")


def test_short_videos_are_left_out_but_not_all_of_them(copy, seen):
    lengths = read_features(copy.features("tsn", "validation")).lengths
    left_out = copy.params.coalitions.model_copy(update={"short_videos": "leave_out"})
    copy = copy.with_params(coalitions=left_out)
    of_longest = {"tsn_frames": int(lengths.max()), "clips": 15, "m": [4], "budgets": [20]}
    run.make(changed(copy, **of_longest), "convergence")
    videos = {row["model"]: row["videos"] for row in rows_of(copy)}
    assert videos == {"trn": 15, "tsn": (lengths == lengths.max()).sum()}
    with pytest.raises(InputError, match=r"no video has 11 frames.*lower frames.convergence.tsn_"):
        run.plan(changed(copy, tsn_frames=int(lengths.max()) + 1), "tsn_convergence")


PAPER_TABLE_1 = """
TRN	8	Exact	.080 ± 0.0001
TRN	16	Exact	6.79 ± 0.01
TRN	16	m = 1024, i = 1	.122 ± 0.005
TSN	8	Exact	.0043 ± 0.0007
TSN	16	Exact	.035 ± 0.0001
TSN	20	Exact	.614 ± 0.006
TSN	20	m = 1024, i = 1	.116 ± 0.0005
"""


def test_the_papers_runtimes_are_quoted_as_they_are():
    quoted = {}
    for line in PAPER_TABLE_1.strip().splitlines():
        model, frames, configuration, seconds = line.split("\t")
        sampled = None if configuration == "Exact" else (1024, 1)
        quoted[model.lower(), int(frames), sampled] = tuple(map(float, seconds.split(" ± ")))
    assert quoted == runtime.PAPER


@pytest.mark.parametrize("most", [8, 16])
def test_runtime(copy, most):
    params = tiny_params(runtime={"max_frames": most, "runs": 2, "grid_runs": 2}).frames.runtime
    run.make(copy, "runtime", params=params, threads=1)
    found = json.loads((copy.folder / "runtime.json").read_text(), parse_constant=pytest.fail)
    assert (found["threads"], found["torch"]) == (1, torch.__version__)
    rows = {(r["model"], r["frames"], r["configuration"]): r for r in found["rows"]}
    expected = {
        (model, frames, "exact" if sampled is None else "m = 1024, i = 1")
        for model, frames, sampled in runtime.PAPER
        if frames <= most
    }
    assert set(rows) == expected
    assert len(found["rows"]) == len(expected)
    assert all(row["seconds"] > 0 and row["sd"] >= 0 for row in rows.values())
    assert {row["runs"] for row in rows.values()} == {2}
    assert rows["tsn", 8, "exact"]["paper_seconds"] == 0.0043
    grid = list(csv.DictReader((copy.folder / "runtime_grid.csv").open()))
    tried = copy.params.convergence
    assert len(grid) == len(found["grid"]) == 2 * len(tried.m) * len(tried.iterations)
    assert all(float(row["seconds"]) > 0 for row in grid)
    table = list(csv.DictReader((copy.folder / "runtime.csv").open()))
    assert len(table) == len(rows)
    for row, line in zip(found["rows"], table, strict=True):
        assert line.keys() == row.keys()
        assert float(line["seconds"]) == pytest.approx(row["seconds"])
        assert line["configuration"] == row["configuration"]
