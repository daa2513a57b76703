"""Tables of the study of baselines in documents."""

from pipeline.documents_baselines import (
    claims_table,
    pictures_table,
    ratios_table,
    runtime_table,
)


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_claims():
    claim = {"source": "Fig. 1", "of": "digits", "claim": "it is", "measured": "1", "shows": "no"}
    assert cells(claims_table([claim]))[2] == ["Fig. 1", "it is", "digits", "**no**: 1"]


def ratio_row(game, method, evaluations, distance, spread):
    return {
        "game": game,
        "of": "utility",
        "method": method,
        "evaluations": evaluations,
        "ratio_distance": distance,
        "ratio_distance_sd": spread,
    }


def test_ratios_are_those_at_the_most_evaluations():
    ratios = {
        "methods": {"a": "first", "b": "second", "c": "of networks only"},
        "rows": [
            ratio_row("x_1", "a", 10, 0.5, 0.1),
            ratio_row("x_1", "a", 20, 0.25, 0.05),
            ratio_row("y_2", "a", 20, None, None),
            ratio_row("x_1", "b", 20, 0.125, 0.0),
        ],
        "verdicts_against_permutation": {"utility": {"a": {"better": 1, "equal": 2, "worse": 3}}},
    }
    _, _, *rows = cells(ratios_table(ratios))
    assert rows == [
        ["utility", "first", "0.250 ± 0.050", "–", "1 better, 2 as good, 3 worse"],
        ["utility", "second", "0.125", "–", "–"],
    ]


def test_pictures():
    measures = ("pearson", "kendall", "ratio_distance", "insertion", "deletion")
    row = {"model": "distance", "method": "ig_zero", "ink": None, "ink_se": None}
    row |= {name: 0.5 for name in measures} | {f"{name}_se": 0.25 for name in measures}
    row |= {"kendall_se": None, "gradient_evaluations": 49.6, "model_evaluations": 0.0}
    (found,) = cells(pictures_table({"rows": [row]}))[2:]
    assert found[:4] == ["distance", "Integrated Gradients from zero", "0.500 ± 0.250", "0.500"]
    assert found[-3:] == ["–", "50", "0"]


def test_runtime():
    row = {"model": "classifier", "description": "d", "seconds": 0.0123}
    row |= {"gradient_evaluations": 2.0, "model_evaluations": 3.0}
    assert cells(runtime_table({"rows": [row]}))[2] == ["classifier", "d", "2", "3", "12.3 ms"]
