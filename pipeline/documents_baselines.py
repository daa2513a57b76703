"""Tables of the study of baselines in documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.tables import markdown_table

NONE = "–"
METHODS = {
    "ig_zero": "Integrated Gradients from zero",
    "ig_mean": "… from the mean picture",
    "ig_random": "… from random pictures",
    "sig_baselines": "Shapley Integrated Gradients, proposal 1",
    "sig_inputs": "… proposal 2",
    "sig_both": "… both",
    "effective": "Effective Shapley values (of areas)",
    "permutation": "permutation sampling (of areas)",
}
"""Of pictures, in the order of the table."""


def claims_table(claims: Sequence[Any]) -> str:
    """What the paper says, what it was measured on, and whether it shows.

    Args:
        claims: content of ``baselines/claims.json``.
    """
    rows = [
        [c["source"], c["claim"], c["of"], f"**{c['shows']}**: {c['measured']}"] for c in claims
    ]
    return markdown_table(["", "the paper says", "on", "here"], rows)


def ratios_table(ratios: Any) -> str:
    """L1 distance of estimated to exact ratios, a column a game, at the most evaluations.

    Args:
        ratios: content of ``baselines/ratios.json``.
    """
    games = list(dict.fromkeys(row["game"] for row in ratios["rows"]))
    rows = []
    for of in ("utility", "networks"):
        for method, text in ratios["methods"].items():
            found = [r for r in ratios["rows"] if (r["of"], r["method"]) == (of, method)]
            if found:
                cells = [_mean(_most(found, game), "ratio_distance") for game in games]
                rows.append([of, text, *cells, _verdicts(ratios, of, method)])
    heading = [game.replace("_", " ") for game in games]
    return markdown_table(["of", "method", *heading, "against permutation sampling"], rows)


def _most(rows: Sequence[Mapping[str, Any]], game: str) -> Mapping[str, Any] | None:
    """The row of a game with the most evaluations."""
    of_game = [row for row in rows if row["game"] == game]
    return max(of_game, key=lambda row: row["evaluations"], default=None)


def _mean(row: Mapping[str, Any] | None, measure: str) -> str:
    if row is None or row[measure] is None:
        return NONE
    spread = row[f"{measure}_sd"]
    return f"{row[measure]:.3f}" + (f" ± {spread:.3f}" if spread else "")


def _verdicts(ratios: Any, of: str, method: str) -> str:
    counts = ratios["verdicts_against_permutation"][of].get(method)
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
                measures = ("pearson", "kendall", "ratio_distance", "insertion", "deletion")
                cells = [_with_error(row, measure) for measure in (*measures, "ink")]
                counts = [f"{row[f'{what}_evaluations']:.0f}" for what in ("gradient", "model")]
                rows.append([model, text, *cells, *counts])
    columns = ["r", "Kendall's τ", "L1 of ratios", "insertion", "deletion", "share on ink"]
    return markdown_table(["", "method", *columns, "gradients", "scores"], rows)


def _with_error(row: Mapping[str, Any], measure: str) -> str:
    if row[measure] is None:
        return NONE
    error = row[f"{measure}_se"]
    return f"{row[measure]:.3f}" + ("" if error is None else f" ± {error:.3f}")


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
            f"{1000 * row['seconds']:.1f} ms",
        ]
        for row in runtime["rows"]
    ]
    return markdown_table(["", "", "gradients", "scores", "a picture (median)"], rows)
