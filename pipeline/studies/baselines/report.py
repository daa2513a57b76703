"""Tables of the study of baselines for documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.claims import claims_by_row
from pipeline.core.digits import apart, significant, with_error
from pipeline.core.tables import NONE, markdown_table

RATIO_METHODS = {
    "effective": "Effective Shapley (ES)",
    "effective_printed": "ES, Eq. 5 as printed",
    "effective_averages": "ES, averages alone",
    "effective_unsampled": "ES without the second sampling",
    "permutation": "permutations, single orders",
    "permutation_pairs": "permutations, antithetic pairs",
    "stratified": "stratified sampling",
    "regression": "regression (Leverage SHAP)",
    "msr": "maximum sample reuse",
    "gradients_zero": "IG, empty coalition",
    "gradients_mean": "IG, mean membership",
    "gradients_random": "IG, random coalitions",
    "gradients_effective": "SIG, effective coalitions",
}
"""Methods for utility functions and their networks, in the order of the table."""

METHODS = {
    "ig_zero": "Integrated Gradients from zero",
    "ig_mean": "… from the mean picture",
    "ig_random": "… from random pictures",
    "sig_baselines": "Shapley Integrated Gradients, proposal 1",
    "sig_baselines_own": "… proposal 1, coalitions of the own area",
    "sig_baselines_all": "… proposal 1, coalitions of all areas",
    "sig_baselines_larger": "… proposal 1, larger areas",
    "sig_baselines_smaller": "… proposal 1, smaller areas",
    "sig_inputs": "… proposal 2",
    "sig_both": "… both",
    "effective": "Effective Shapley values (of areas)",
    "effective_unsampled": "… without the second sampling",
    "permutation": "permutation sampling, single orders (of areas)",
    "permutation_pairs": "… antithetic pairs",
}
"""Methods for pictures, in the order of the table."""

MEASURES = {
    "pearson": "r",
    "kendall": "Kendall's τ",
    "ratio_distance": "L1 of ratios",
    "spread": "spread over repeats (L1)",
    "insertion": "insertion",
    "deletion": "deletion",
    "ink": "share on ink",
}
"""Columns of the table on pictures."""


def ratios_table(ratios: Any) -> str:
    """L1 distance of estimated to exact ratios, one column per game, at the most evaluations.

    The number after ± is the standard deviation over repeats, for networks their mean.

    Args:
        ratios: content of ``baselines/ratios.json``.
    """
    games = list(dict.fromkeys(row["game"] for row in ratios["rows"]))
    rows = []
    for of in ("utility", "networks"):
        for method, text in RATIO_METHODS.items():
            found = [r for r in ratios["rows"] if (r["of"], r["method"]) == (of, method)]
            if found:
                shown = [_most(found, game) for game in games]
                cells = [_mean(row, "ratio_distance") for row in shown]
                verdicts = [
                    _verdicts(ratios[f"verdicts_against_{other}"], of, method)
                    for other in ("permutation", "effective")
                ]
                rows.append([of, text, _evaluations(shown, method), *cells, *verdicts])
    heading = ["of", "method", "evaluations", *(game.replace("_", " ") for game in games)]
    return markdown_table([*heading, "against single orders", "against ES"], rows)


def _evaluations(rows: Sequence[Mapping[str, Any] | None], method: str) -> str:
    """The range of evaluations over games."""
    counts = [row["evaluations"] for row in rows if row is not None]
    ends = dict.fromkeys(f"{end:.0f}" for end in (min(counts), max(counts)))
    return " to ".join(ends) + (" gradients" if method.startswith("gradients") else "")


def _most(rows: Sequence[Mapping[str, Any]], game: str) -> Mapping[str, Any] | None:
    """The row of a game with the most evaluations."""
    of_game = [row for row in rows if row["game"] == game]
    return max(of_game, key=lambda row: row["evaluations"], default=None)


def _mean(row: Mapping[str, Any] | None, measure: str) -> str:
    return NONE if row is None else with_error(row[measure], row[f"{measure}_sd"])


def _verdicts(verdicts: Any, of: str, method: str) -> str:
    counts = verdicts.get(of, {}).get(method)
    if counts is None:
        return NONE
    return f"{counts['better']} better, {counts['equal']} as good, {counts['worse']} worse"


def pictures_table(agreement: Any) -> str:
    """Agreement of attributions of pictures with exact values of their areas.

    Args:
        agreement: content of ``baselines/agreement.json``.
    """
    rows = []
    for model in ("classifier", "distance"):
        found = {row["method"]: row for row in agreement["rows"] if row["model"] == model}
        for method, text in METHODS.items():
            if method in found:
                row = found[method]
                cells = [with_error(row[name], row[f"{name}_se"]) for name in MEASURES]
                counts = [f"{row[f'{what}_evaluations']:.0f}" for what in ("gradient", "model")]
                rows.append([model, text, *cells, *counts])
    return markdown_table(["", "method", *MEASURES.values(), "gradients", "scores"], rows)


def runtime_table(runtime: Any) -> str:
    """Time of one picture by each method, and the evaluations it takes.

    Args:
        runtime: content of ``baselines/runtime.json``.
    """
    rows = [
        [
            row["model"],
            row["description"],
            f"{row['gradient_evaluations']:.0f}",
            f"{row['model_evaluations']:.0f}",
            f"{significant(1000 * row['seconds'])} ms",
            significant(row["ratio_to_plain"]),
        ]
        for row in runtime["rows"]
    ]
    columns = ["", "", "gradients", "scores", "a picture (median)", "times IG from one baseline"]
    return markdown_table(columns, rows)


def short_table(agreement: Any) -> str:
    """L1 distance of ratios to exact ones, by the baseline that gradients are integrated from.

    Args:
        agreement: content of ``baselines/agreement.json``.
    """
    methods = {
        "ig_zero": "zero",
        "ig_mean": "mean picture",
        "ig_random": "random pictures",
        "sig_baselines": "SIG",
        "sig_both": "SIG, both proposals",
    }
    found = {(row["model"], row["method"]): row["ratio_distance"] for row in agreement["rows"]}
    rows = [
        [model, *apart(*(found.get((model, method)) for method in methods))]
        for model in dict.fromkeys(model for model, _ in found)
    ]
    return markdown_table(["distance to exact Shapley values", *methods.values()], rows)


TABLES = {
    "BASELINES_SHORT": ("baselines/agreement.json", short_table),
    "BASELINES_CLAIMS": ("baselines/claims.json", claims_by_row),
    "BASELINES_RATIOS": ("baselines/ratios.json", ratios_table),
    "BASELINES_PICTURES": ("baselines/agreement.json", pictures_table),
    "BASELINES_RUNTIME": ("baselines/runtime.json", runtime_table),
}
"""Tables that documents may hold, by name: the JSON file below the results folder, and the function
that formats its content as Markdown."""
