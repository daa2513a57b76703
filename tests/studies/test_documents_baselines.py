"""Tables of the study of baselines in documents."""

from pipeline.core.claims import claims_by_row
from pipeline.studies.baselines.agreement import MEASURES as MEASURED
from pipeline.studies.baselines.attribution_files import (
    EXACT,
    OF_AREAS,
    SIG_ALL,
    SIG_LARGER,
    SIG_OWN,
    SIG_SMALLER,
)
from pipeline.studies.baselines.attributions import IG, SIG
from pipeline.studies.baselines.estimates import EFFECTIVE, GRADIENTS, PLAIN
from pipeline.studies.baselines.report import (
    MEASURES,
    METHODS,
    RATIO_METHODS,
    pictures_table,
    ratios_table,
    runtime_table,
)


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_claims():
    claim = {"source": "Fig. 1", "of": "digits", "claim": "it is", "measured": "1", "shows": "no"}
    assert cells(claims_by_row([claim]))[2] == ["Fig. 1", "it is", "digits", "**no**: 1"]


def ratio_row(game, method, evaluations, distance, spread):
    return {
        "game": game,
        "of": "utility",
        "method": method,
        "evaluations": evaluations,
        "ratio_distance": distance,
        "ratio_distance_sd": spread,
    }


def test_every_method_and_measure_has_a_name():
    assert set(RATIO_METHODS) == {*EFFECTIVE, *PLAIN, *GRADIENTS}
    of_others = {SIG_OWN, SIG_ALL, SIG_LARGER, SIG_SMALLER}
    assert set(METHODS) == {*IG, *SIG, *of_others, *OF_AREAS} - {EXACT}
    assert set(MEASURES) <= set(MEASURED)


def test_ratios_are_those_at_the_most_evaluations():
    verdicts = {"better": 1, "equal": 2, "worse": 3}
    ratios = {
        "rows": [
            ratio_row("x_1", "msr", 10, 0.5, 0.1),
            ratio_row("x_1", "msr", 20.4, 0.25, 0.05),
            ratio_row("y_2", "msr", 30, None, None),
            ratio_row("x_1", "gradients_zero", 50, 0.125, 3e-17),
            ratio_row("y_2", "gradients_zero", 50, 0.125, 0.0),
            ratio_row("x_1", "stratified", 20, 0.125, 0.0003),
        ],
        "verdicts_against_permutation": {"utility": {"msr": verdicts}},
        "verdicts_against_effective": {"utility": {"stratified": verdicts}},
    }
    heading, _, *rows = cells(ratios_table(ratios))
    assert heading[2:] == ["evaluations", "x 1", "y 2", "against single orders", "against ES"]
    said = "1 better, 2 as good, 3 worse"
    assert rows == [
        ["utility", "stratified sampling", "20", "0.12500 ± 0.00030", "–", "–", said],
        ["utility", "maximum sample reuse", "20 to 30", "0.250 ± 0.050", "–", said, "–"],
        ["utility", "IG, empty coalition", "50 gradients", "0.1250", "0.1250", "–", "–"],
    ]


def test_pictures():
    measures = ("pearson", "kendall", "ratio_distance", "spread", "insertion", "deletion")
    row = {"model": "distance", "method": "sig_baselines_own", "ink": None, "ink_se": None}
    row |= dict.fromkeys(measures, 0.5) | {f"{name}_se": 0.25 for name in measures}
    row |= {"kendall_se": None, "gradient_evaluations": 49.6, "model_evaluations": 0.0}
    heading, _, found = cells(pictures_table({"rows": [row]}))
    name = "… proposal 1, coalitions of the own area"
    assert found[:4] == ["distance", name, "0.50 ± 0.25", "0.5000"]
    assert found[heading.index("spread over repeats (L1)")] == "0.50 ± 0.25"
    assert found[-3:] == ["–", "50", "0"]


def test_small_numbers_are_not_written_as_none():
    ratios = {
        "rows": [
            ratio_row("x_1", "msr", 10, 0.5e-4, 0.1e-4),
            ratio_row("x_1", "stratified", 10, 0.25e-4, 0.1e-4),
        ],
        "verdicts_against_permutation": {},
        "verdicts_against_effective": {},
    }
    found = [row[3] for row in cells(ratios_table(ratios))[2:]]
    assert found == ["(2.5 ± 1.0)e-05", "(5.0 ± 1.0)e-05"]
    row = {"model": "m", "description": "d", "seconds": 3e-6, "ratio_to_plain": 4e-4}
    row |= {"gradient_evaluations": 2.0, "model_evaluations": 3.0}
    assert cells(runtime_table({"rows": [row]}))[2][4:] == ["0.003 ms", "0.0004"]


def test_runtime():
    row = {"model": "classifier", "description": "d", "seconds": 0.0123}
    row |= {"gradient_evaluations": 2.0, "model_evaluations": 3.0, "ratio_to_plain": 4.321}
    found = cells(runtime_table({"rows": [row]}))[2]
    assert found == ["classifier", "d", "2", "3", "12.3 ms", "4.32"]
