"""Verdicts on results that show a claim, do not show it, or show it in part."""

import copy
import csv
import html
import json

import numpy as np
import pytest
import stages

from pipeline.core.tables import plain, write_table
from pipeline.studies.frames import claims, runtime
from pipeline.studies.frames.discard import COMPARED

MODELS = ("trn", "tsn")
NAMES = {"trn": "TRN", "tsn": "TSN"}


def area(score, error=0.01, *, first=0.5, best=0.6):
    return {
        "class_score": score,
        "class_score_error": error,
        "accuracy": None,
        "accuracy_error": None,
        "score_of_all": first,
        "score_at_best": best,
    }


def discarded(gap):
    """Areas where other attributions keep this much more than ESVs in descending order."""
    found = {"esv_ascending": 0.8, "gc_ascending": 0.6, "ig_ascending": 0.7, "random": 0.5}
    found |= {"esv_descending": 0.2, "gc_descending": 0.2 + gap, "ig_descending": 0.3 + gap}
    return {order: area(score) for order, score in found.items()}


def sizes(*means, error=0.001):
    box = {"lower_quartile": 0.0, "upper_quartile": 0.1}
    return [{"mean_of_frames": m, "mean_of_frames_error": error, **box} for m in means]


def shifts(*means, error=0.001):
    return [{"shift": k, "mean": mean, "standard_error": error} for k, mean in enumerate(means, 1)]


def of_class(name, difference, p):
    return {"class": name, "difference": difference, "p_value": p, "drawn": p is not None}


def timed(model, frames, configuration, seconds):
    key = (model, frames, None if configuration == "exact" else (1024, 1))
    paper = {"paper_seconds": runtime.PAPER[key][0], "sd": 0.0, "runs": 3}
    row = {"model": model, "frames": frames, "configuration": configuration, "seconds": seconds}
    return row | paper


@pytest.fixture
def results():
    """Results of stages that show all claims."""
    shares = {"trn": [90.0, 80.0, 70.0], "tsn": [80.0, 70.0, 60.0]}
    approximate = {"m": 1024, "iterations": 1, "frames": 16, "mean_absolute_error": 0.001}
    return {
        "accuracy": {
            "frames": [1, 2, 3],
            **{
                m: {
                    "top1": [0.2, 0.4, 0.39],
                    "clips": 425,
                    "lengths": {"20": 400, "30": 25},
                    "learning": {"has_learned": True},
                }
                for m in MODELS
            },
            "chance": {"top1": 0.05},
            "scales": {
                "scales": [1, 2],
                "apart": {"alone": [0.3, 0.5], "mean_alone": 0.4, "together": 0.8},
                "joint": {"alone": [0.1, 0.2], "mean_alone": 0.15, "together": 0.7},
                "differences": {
                    name: {"difference": 0.1, "error": 0.02} for name in ("mean_alone", "together")
                },
            },
        },
        "discard": {"trn": discarded(0.3), "tsn": discarded(0.1)},
        "patterns": {
            "contributions": {m: sizes(0.3, 0.2, 0.1) for m in MODELS},
            "positions": {
                "classes": [
                    of_class("alike", 5.0, 0.8),
                    of_class("unlike", 40.0, 0.001),
                    of_class("unseen", None, None),
                ]
            },
        },
        "lengths": {
            "frames": [1, 2, 3],
            **{m: {"supporting_percent": shares[m], "standard_error": [1.0] * 3} for m in MODELS},
        },
        "shift": {m: {"spread": 0.1, "by_shift": shifts(0.01, 0.02, 0.03)} for m in MODELS},
        "convergence": {"rows": [{"model": m, "pearson": 0.99, **approximate} for m in MODELS]},
        "runtime": {
            "threads": 2,
            "device": "a machine",
            "rows": [
                timed("trn", 8, "exact", 0.1),
                timed("trn", 16, "exact", 5.0),
                timed("trn", 16, "m = 1024, i = 1", 0.2),
                timed("tsn", 16, "exact", 0.1),
                timed("tsn", 20, "exact", 3.0),
                timed("tsn", 20, "m = 1024, i = 1", 0.2),
            ],
        },
    }


def compared(areas):
    """Differences as if the areas were of different videos."""

    def difference(a, b):
        errors = [areas[order]["class_score_error"] or 0.0 for order in (a, b)]
        gap = areas[a]["class_score"] - areas[b]["class_score"]
        return {"difference": gap, "error": float(np.hypot(*errors))}

    found = {f"{a} - {b}": difference(a, b) for a, b in COMPARED}
    up = areas["esv_ascending"]
    gain = {"difference": up["score_at_best"] - up["score_of_all"], "error": 0.01}
    return found | {"gain": gain}


def with_comparisons(results):
    of_models = {m: compared(results["discard"][m]) for m in MODELS}
    results["discard"] = {**results["discard"], "comparisons": of_models}
    for model in MODELS:
        lengths = results["lengths"][model]
        last, error = lengths["supporting_percent"][-1], lengths["standard_error"][-1] or 0.0
        lengths["falls"] = [
            {"difference": share - last, "error": float(np.hypot(error, error))}
            for share in lengths["supporting_percent"]
        ]
    return results


def shown(results, words, model="tsn"):
    """The verdict on one claim, found by words of it; None if it is left out."""
    results = with_comparisons(results)
    found = [c for c in claims.all_claims(results) if words in c.claim and c.of == NAMES[model]]
    assert len(found) <= 1
    return found[0].shows if found else None


ONLY_OF_TSN = ("gap between ESV", "much lower for TSN", "same positions")
ONLY_OF_TRN = ("perform very poorly", "one by one improves")
OF_BOTH = (
    "accuracy rises",
    "keeps more of the class score than discarding at random",
    "raises the class score",
    "than GradCAM and Integrated",
    "the larger the coalition",
    "the more frames are looked at",
    "further a frame is shifted",
    "approximate the exact values",
    "take less than 10 s",
    "takes less time than exact",
)


def test_results_that_show_everything(results):
    found = claims.all_claims(with_comparisons(results))
    assert {claim.shows for claim in found} == {"yes"}
    assert len(found) == 2 * len(OF_BOTH) + len(ONLY_OF_TSN) + len(ONLY_OF_TRN)
    assert all(shown(results, words, "trn") == "yes" for words in ONLY_OF_TRN)
    assert all(shown(results, words, model) == "yes" for words in OF_BOTH for model in MODELS)
    assert all(shown(results, words) == "yes" for words in ONLY_OF_TSN)
    assert all(shown(results, words, "trn") is None for words in ONLY_OF_TSN)


def change(results, path, value):
    *parents, last = path
    for name in parents:
        results = results[name]
    results[last] = value


AREAS = ("discard", "tsn")
SIZES = ("patterns", "contributions", "tsn")
SHARES = ("lengths", "tsn", "supporting_percent")
ERRORS = ("lengths", "tsn", "standard_error")
SHIFTS = ("shift", "tsn", "by_shift")
CLASSES = ("patterns", "positions", "classes")


@pytest.mark.parametrize(
    ("words", "path", "value", "expected"),
    [
        ("accuracy rises", ("accuracy", "tsn", "top1"), [0.4, 0.5, 0.4], "no"),
        # One rule for all rises and falls: a clear step the other way makes it "in part".
        ("accuracy rises", ("accuracy", "tsn", "top1"), [0.2, 0.5, 0.3], "in part"),
        ("accuracy rises", ("accuracy", "tsn", "top1"), [0.4, 0.2, 0.4], "in part"),
        ("larger the coalition", SIZES, sizes(0.3, 0.301, 0.1, error=0.001), "yes"),
        ("frame is shifted", SHIFTS, shifts(0.01, 0.009, 0.03, error=0.001), "yes"),
        ("more frames are looked", SHARES, [80.0, 82.0, 60.0], "yes"),
        ("more frames are looked", SHARES, [80.0, 90.0, 60.0], "in part"),
        # Areas count as equal within two standard errors of the difference, 0.0283.
        ("than discarding at random", (*AREAS, "random"), area(0.775), "in part"),
        ("than discarding at random", (*AREAS, "random"), area(0.77), "yes"),
        ("than discarding at random", (*AREAS, "random"), area(0.775, None), "yes"),
        ("than discarding at random", (*AREAS, "random"), area(0.5, 0.5), "no"),
        ("raises the class", (*AREAS, "esv_ascending"), area(0.8, first=0.6), "no"),
        ("than GradCAM", (*AREAS, "ig_ascending"), area(0.9), "in part"),
        ("than GradCAM", (*AREAS, "esv_ascending"), area(0.1), "no"),
        ("gap between ESV", (*AREAS, "esv_descending"), area(0.0), "no"),
        ("gap between ESV", (*AREAS, "gc_descending"), area(0.3, 0.2), "no"),
        ("larger the coalition", SIZES, sizes(0.3, 0.35, 0.1), "in part"),
        ("larger the coalition", SIZES, sizes(0.1, 0.1, 0.1), "no"),
        ("larger the coalition", SIZES, sizes(0.3, 0.2, 0.1, error=0.1), "no"),
        ("larger the coalition", SIZES, sizes(0.3, 0.2, 0.1, error=None), "yes"),
        ("more frames are looked", SHARES, [60.0, 50.0, 60.0], "no"),
        ("more frames are looked", SHARES, [60.0, 70.0, 60.0], "in part"),
        ("more frames are looked", ERRORS, [9.0, 9.0, 9.0], "no"),
        ("more frames are looked", ERRORS, [None, None, None], "yes"),
        ("much lower for TSN", SHARES, [80.0, 70.0, 66.0], "no"),
        ("much lower for TSN", ERRORS, [9.0, 9.0, 9.0], "no"),
        ("much lower for TSN", ERRORS, [None, None, None], "yes"),
        ("frame is shifted", SHIFTS, shifts(0.01, 0.005, 0.03), "in part"),
        ("frame is shifted", SHIFTS, shifts(0.03, 0.02, 0.01), "no"),
        ("frame is shifted", SHIFTS, shifts(0.01, 0.02, 0.03, error=0.01), "no"),
        ("frame is shifted", SHIFTS, shifts(0.01, 0.02, 0.03, error=None), "yes"),
        ("same positions", CLASSES, [of_class("a", 4.0, 0.3)] * 2, "no"),
        ("same positions", CLASSES, [of_class("a", 4.0, 0.001)] * 2, "no"),
        ("approximate", ("convergence", "rows", 1, "pearson"), 0.9, "no"),
        ("less than 10 s", ("runtime", "rows", 3, "seconds"), 11.0, "no"),
        ("less time", ("runtime", "rows", 4, "seconds"), 0.1, "no"),
    ],
)
def test_results_that_show_less(results, words, path, value, expected):
    change(results, path, value)
    assert shown(results, words) == expected
    if words not in ONLY_OF_TSN:
        assert shown(results, words, "trn") == "yes"


@pytest.mark.parametrize(
    ("words", "path", "value"),
    [
        ("accuracy rises", ("accuracy", "frames"), [1]),
        ("larger the coalition", SIZES, sizes(0.3)),
        ("more frames are looked", ("lengths", "frames"), [1]),
        ("frame is shifted", SHIFTS, shifts(0.01)),
        ("frame is shifted", SHIFTS, []),
        ("same positions", CLASSES, [of_class("unseen", None, None)]),
        ("approximate", ("convergence", "rows"), []),
        ("approximate", ("convergence", "rows", 1, "m"), 512),
        ("approximate", ("convergence", "rows", 1, "pearson"), None),
        ("takes less time", ("runtime", "rows"), [timed("tsn", 16, "exact", 1.0)]),
        ("less than 10 s", ("runtime", "rows"), []),
    ],
)
def test_claims_without_results_are_left_out(results, words, path, value):
    change(results, path, value)
    assert shown(results, words) is None


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, "in part"), (11.0, "no")])
def test_fewer_frames_than_claimed_are_timed(results, seconds, expected):
    results["runtime"]["rows"] = [timed("tsn", 8, "exact", seconds)]
    assert shown(results, "less than 10 s") == expected


def test_claims_name_the_measured_numbers(results):
    said = {(c.source, c.of): c.measured for c in claims.all_claims(with_comparisons(results))}
    assert said["Fig. 10", "TRN"] == "20.0 % with 1, 40.0 % with 2 (the most), 39.0 % with 3"
    assert said["Figs. 6b, 11b", "TSN"] == "80.0 % of 1, 80.0 % of 1 (the most), 60.0 % of 3"
    assert "maps differ by 5 points (alike) to 40 (unlike); 1 of 2" in said["Figs. 13, 14", "TSN"]
    assert "takes 15 times as long (in the paper 5.3 times)" in said["Table 1", "TSN"]
    assert "16 frames: 5.000 s on a machine" in said["Supplement D", "TRN"]


@pytest.mark.parametrize(
    ("path", "value", "words", "expected"),
    [
        (("joint", "mean_alone"), 0.35, "very poorly", "in part"),
        (("differences", "mean_alone", "error"), 0.06, "very poorly", "no"),
        (("differences", "together", "error"), 0.06, "one by one improves", "no"),
        (("differences", "together", "difference"), -0.1, "one by one improves", "no"),
    ],
)
def test_scales_trained_jointly(results, path, value, words, expected):
    change(results, ("accuracy", "scales", *path), value)
    assert shown(results, words, "trn") == expected


def test_repeated_frames_are_said(results):
    def measured(words):
        found = claims.all_claims(with_comparisons(results))
        return [one.measured for one in found if words in one.claim]

    for words in ("accuracy rises", "more frames are looked", "much lower", "approximate the"):
        assert all("repeated" not in text for text in measured(words))
    for row in results["convergence"]["rows"]:
        row["frames"] = 25
    for told in measured("approximate the"):
        assert told.endswith(
            "(94 % of the validation clips have fewer than 25 frames: some of theirs are repeated)"
        )
    for model in MODELS:
        results["accuracy"][model]["lengths"] = {"2": 425}
    for words in ("accuracy rises", "more frames are looked", "much lower"):
        assert all("100 % of the validation clips have fewer than 3" in t for t in measured(words))


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([], 0),
        ([0.05], 1),
        ([0.06], 0),
        ([0.04, 0.9], 0),
        ([0.04, 0.05], 2),
        ([0.001] * 30 + [0.5] * 144, 30),
        ([0.001] + [0.5] * 173, 0),
    ],
)
def test_discoveries(p_values, expected):
    shuffled = np.random.default_rng(0).permutation(p_values).tolist()
    assert claims.discoveries(shuffled) == expected


def test_many_classes_can_differ_by_more_than_chance(results):
    """With 1000 draws, no test of 174 can pass Bonferroni's bound of 0.05 / 174."""
    rows = [of_class(f"c{i}", float(i), 1 / 1001 if i % 2 else 0.7) for i in range(174)]
    results["patterns"]["positions"]["classes"] = rows
    assert shown(results, "same positions") == "yes"


def test_claims_are_written(results, tmp_path):
    results = with_comparisons(results)
    files = {name: tmp_path / f"{name}.json" for name in results}
    for name, path in files.items():
        path.write_text(json.dumps(results[name]))
    (tmp_path / "summary.json").write_text(
        json.dumps({"trn": {"supporting_share": 0.97853}, "tsn": {"supporting_share": 0.5}})
    )
    files["summary"] = tmp_path / "summary.json"
    written_to = {"out": tmp_path / "claims.json", "table": tmp_path / "claims.csv"}
    written_to |= {"page": tmp_path / "claims.html", "metrics": tmp_path / "metrics.json"}
    stages.run("frames_claims", **files, **written_to)
    rows = list(csv.DictReader((tmp_path / "claims.csv").open()))
    assert rows == json.loads((tmp_path / "claims.json").read_text())
    assert tuple(rows[0]) == ("source", "model", "claim", "measured", "shows")
    assert len(rows) == len(claims.all_claims(copy.deepcopy(results)))
    page = (tmp_path / "claims.html").read_text()
    assert page.count("<tr>") == len(rows) + 1
    assert all(html.escape(row["measured"]) in page for row in rows)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"trn": 0.979, "tsn": 0.5}


def test_tables(tmp_path):
    rows = [
        {"name": "a,b", "count": 3, "value": 1 / 3, "other": None},
        {"name": "é", "count": 12345678, "value": float("nan"), "other": np.float64(2e-9)},
    ]
    write_table(tmp_path / "t.csv", ("count", "name", "value", "other"), rows)
    assert (tmp_path / "t.csv").read_bytes().decode() == (
        'count,name,value,other\r\n3,"a,b",0.3333333,\r\n12345678,é,,2e-09\r\n'
    )
    with pytest.raises(KeyError):
        write_table(tmp_path / "t.csv", ("count", "missing"), rows)
    assert len(list(csv.reader((tmp_path / "t.csv").open()))) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_plain():
    value = {
        "a": np.array([[1.0, np.nan], [np.inf, 2.0]]),
        3: (np.int64(4), np.float32(0.5), [None, True, "x"]),
        "n": {"x": float("-inf")},
    }
    found = {"a": [[1.0, None], [None, 2.0]], "3": [4, 0.5, [None, True, "x"]], "n": {"x": None}}
    assert plain(value) == found
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == found


def test_claims_of_a_model_that_has_not_learned_say_so(results):
    results["accuracy"]["tsn"]["learning"]["has_learned"] = False
    for one in claims.all_claims(with_comparisons(results)):
        assert one.measured.endswith("the model has learned little") == (one.of == "TSN")
