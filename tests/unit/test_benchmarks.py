"""Benchmarks run, and their alternatives agree; times are not tested."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import against, estimators, games, limits, many, runtime, store
from benchmarks.measuring import Setting, Timing, in_own_process, seconds_text, timed
from pipeline.studies.frames.coalition_scores import table

pytest.importorskip("shap")
pytest.importorskip("shapiq")
others = pytest.importorskip("benchmarks.others")

CPU = torch.device("cpu")
TIMING = Timing(median=1.0, shortest=1.0, longest=1.0, runs=1, first=1.0)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_quick_runtime_agrees_with_other_libraries(tmp_path, capsys):
    runtime.main(["--quick", "--device", "cpu", "--json", str(tmp_path / "runtime.json")])
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "runtime.json").read_text())
    assert {(c["library"], c["values"], c["model"]) for c in report["comparisons"]} == {
        (library, values, model)
        for library in ("captum", "shapiq", "shap")
        for values in ("table", "evaluated")
        for model in ("TRN", "TSN")
    }
    for comparison in report["comparisons"]:
        assert comparison["library"] in printed
        assert 0 < comparison["ratio"] < math.inf
        assert comparison["difference"] <= report["tolerance"]
        # Otherwise agreement would mean nothing.
        assert comparison["largest"] > 10 * report["tolerance"]
    for row in report["rows"] + report["batches"]:
        assert 0 < row["evaluations_per_second"] < math.inf
        assert "output layer" in row["limit"] or row["model"] == "TSN"
        ratio = row["timing"]["shortest"] / sum(row["limit"].values())
        assert row["limit_ratio"] == pytest.approx(ratio)
        assert runtime.ratio_text(row["limit_ratio"]) in printed


def test_limits_grow_with_the_work():
    for name, n, parts in (
        ("TRN", 9, {"softmax", "sums by player", "output layer", "memory"}),
        ("TSN", 9, {"softmax", "sums by player"}),
        ("TSN", 14, {"products", "exponentials", "sums by player"}),
    ):
        one = limits.parts(name, n, 1, CPU)
        many = limits.parts(name, n, 1000, CPU)
        assert set(one) == parts
        for part, seconds in one.items():
            assert 0 < 10 * seconds < many[part] < math.inf


def test_a_checkout_is_compared_with_itself(tmp_path, capsys):
    root = str(Path(__file__).parents[2])
    file = tmp_path / "against.json"
    against.main([root, "--games", "TRN:4", "TSN:5", "--rounds", "2", "--json", str(file)])
    rows = json.loads(file.read_text())
    assert [(row["model"], row["n_frames"]) for row in rows] == [("TRN", 4), ("TSN", 5)]
    for row in rows:
        assert row["same_bits"]
        assert row["difference"] == 0
        assert len(row["here_s"]) == len(row["there_s"]) == 2
    assert "TSN" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        against.main([str(tmp_path)])
    assert "benchmarks/runtime.py" in capsys.readouterr().err


def test_disagreement_fails_the_run(monkeypatch):
    row = runtime.Row("TRN", 5, 1, TIMING, None, None)
    wrong = others.Comparison("TRN", 5, "captum", "table", 1, TIMING, None, 2e-4, 0.1)
    not_run = replace(wrong, timing=None, extrapolated=100.0, difference=None)
    report = runtime.Report({}, [row], [wrong, not_run], [])
    assert report.disagreements() == [wrong]
    assert runtime.Report({}, [row], [replace(wrong, difference=math.nan)], []).disagreements()
    assert report.ratio(not_run) is None
    monkeypatch.setattr(runtime, "measure", lambda setting, quick: report)
    with pytest.raises(SystemExit, match="captum on TRN n=5"):
        runtime.main(["--device", "cpu"])


@pytest.mark.parametrize("name", ["TRN", "TSN"])
def test_plain_scores_are_the_scores(name):
    # More frames than a single-scale model takes, so that the largest scale is shorter.
    game = games.make(name, 9, CPU)
    masks = np.arange(2**9)
    present = torch.from_numpy(masks[:, None] >> np.arange(9) & 1 == 1)
    expected = table(game.model, game.features, game.empty)[0]
    torch.testing.assert_close(games.plain_scores(game, present), expected, rtol=1e-4, atol=1e-6)


def test_a_row_has_a_process_of_its_own():
    row = in_own_process(runtime.measure_row, "TSN", 4, 1, Setting("cpu", 1, 0.01))
    assert row.n_frames == 4
    assert row.peak_bytes > row.own_bytes >= 0


def test_quick_store(tmp_path, capsys):
    store.main(["--quick", "--json", str(tmp_path / "store.json")])
    tasks = json.loads((tmp_path / "store.json").read_text())["tasks"]
    assert [task["task"] for task in tasks] == ["plan", "write", "read all", "read each"]
    assert tasks[0]["ratio"] is None
    assert all(0 < task["ratio"] < math.inf for task in tasks[1:])
    assert "ratio" in capsys.readouterr().out


def test_a_store_of_some_videos(tmp_path, monkeypatch, capsys):
    # Other processes take seconds to start; here only those of DVC and of the evaluation do.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(many, "in_own_process", lambda function, *given: function(*given))
    below = tmp_path / "below"
    below.mkdir()
    many.main(
        ["--videos", "30", "--workers", "1", "--folder", str(below), "--json", str(tmp_path / "m")]
    )
    assert list(below.iterdir()) == []
    report = json.loads((tmp_path / "m").read_text())
    steps = [(step["step"], step["videos"]) for step in report["steps"]]
    assert len(steps) == len(set(steps)) == 2 * 23
    assert {videos for _, videos in steps} == {30, 3}
    assert all(0 < step["seconds"] < math.inf for step in report["steps"])
    assert [each["videos"] for each in report["stores"]] == [30, 3]
    # One file a video, and the metadata and lists of the arrays.
    assert report["stores"][0]["files"] - report["stores"][1]["files"] == 27
    printed = capsys.readouterr().out
    assert "30 videos" in printed and "dvc add" in printed


def test_timed_counts_its_calls():
    calls = []
    timing = timed(lambda: calls.append(1), seconds=0.0, fewest=3)
    assert len(calls) == 1 + timing.runs == 4
    assert timing.shortest <= timing.median <= timing.longest


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12.3 ms"),
        (12.34, "12.3 s"),
        (1200, "20 min"),
        (7.2e5, "8.33 days"),
        (1e25, "> 1,000,000 years"),
    ],
)
def test_seconds_text(seconds, text):
    assert seconds_text(seconds) == text


def test_estimators_are_compared_on_the_same_games(tmp_path, capsys, monkeypatch):
    table = np.random.default_rng(0).normal(size=2**6)
    monkeypatch.setattr(estimators, "read_tables", lambda *_: {"rules/0": table})
    file = tmp_path / "estimators.json"
    command = ["--repeats", "2", "--budgets", "4", "8", "--peers", sys.executable]
    estimators.main([*command, "--json", str(file)])
    report = json.loads(file.read_text())
    assert report["versions"].keys() == {"shapiq", "shap"}
    methods = {row["method"] for row in report["rows"]}
    assert methods >= {"kernel", "regression", "shapiq KernelSHAP, paired", "shap KernelExplainer"}
    printed = capsys.readouterr().out
    for row in report["rows"]:
        # Above 0, since no method sees the whole game; noise is not estimated worse than by 0.
        assert 0 < row["error"] < 20
        assert (row["family"], row["estimates"]) == ("rules", 2)
        assert row["method"] in printed


def test_estimators_name_a_store_that_is_missing(tmp_path):
    with pytest.raises(SystemExit, match=r"trn_convergence\.zarr: there is no such store"):
        estimators.main(["--results", str(tmp_path), "--no-peers"])
