"""Stage: what the paper on effective coalitions says, beside what the study's results show.

Every claim is decided by a comparison of measured numbers that is written here, with a margin of
two standard errors of the difference where there are repeats; nobody decides it by looking. Limits
that are set by hand are named.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.files import write_json
from pipeline.stage import run
from pipeline.tables import write_table

COLUMNS = ("source", "of", "claim", "measured", "shows")
Results = Mapping[str, Any]

ALIKE = 0.99
"""Pearson's r from which values are taken for "well" approximated, and "almost the same"."""

CONNECTED = 0.1
"""Part of a marginal contribution by which gradients may vary along a "linear" connection."""

HALF = 0.5
"""Part of the coalitions that networks may be trained on, at most."""

EQUAL = 1e-3
"""Part of marginal contributions by which Integrated Gradients may miss them."""

CLOSE = 1.5
"""How many times as long "close" may take."""

PLAIN = ("ig_zero", "ig_mean", "ig_random")
NAMES = {"ig_zero": "zero", "ig_mean": "mean", "ig_random": "random"}
WORDS = {"better": "better than that", "equal": "as good as that", "worse": "worse than that"}


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    source: str
    """Section or figure of the paper"""
    of: str
    """What it is measured on"""
    claim: str
    measured: str
    """The figures that decide it"""
    shows: str
    """``yes``, ``no`` or ``in part``"""


def main(
    *,
    ratios: Path,
    replaced: Path,
    proportions: Path,
    agreement: Path,
    runtime: Path,
    out: Path,
    table: Path,
    threads: int = 1,  # noqa: ARG001
) -> None:
    """Read the other stages' results (JSON); write the claims as JSON and CSV."""
    files = {
        "ratios": ratios,
        "replaced": replaced,
        "proportions": proportions,
        "agreement": agreement,
        "runtime": runtime,
    }
    found = all_claims({name: json.loads(path.read_bytes()) for name, path in files.items()})
    write_table(table, COLUMNS, map(asdict, found))
    write_json(out, [asdict(claim) for claim in found])


def all_claims(results: Results) -> list[Claim]:
    """Every claim.

    Args:
        results: content of the stages' JSON files, by stage.
    """
    found: list[Claim | None] = [
        _theorem_2(results),
        *(_approximates(results, of) for of in ("utility", "networks")),
        _beats_gradients(results),
        *(_beats_permutation(results, of) for of in ("utility", "networks")),
        _as_printed(results),
        _replaces(results),
        _equals_marginals(results),
        _is_linear(results),
    ]
    for judge in (_nearer, _on_ink, _alike, _takes):
        found += [judge(results, model) for model in ("classifier", "distance")]
    return [claim for claim in found if claim is not None]


def _word(shows: Iterable[bool]) -> str:
    each = list(shows)
    if all(each):
        return "yes"
    return "in part" if any(each) else "no"


def _largest(results: Results, method: str, of: str) -> list[Mapping[str, Any]]:
    """Rows of a method at the most evaluations, of each game."""
    rows = [r for r in results["ratios"]["rows"] if r["method"] == method and r["of"] == of]
    most = {g: max(r["evaluations"] for r in rows if r["game"] == g) for g in _games(rows)}
    return [row for row in rows if row["evaluations"] == most[row["game"]]]


def _games(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["game"] for row in rows))


def _plain(game: str) -> str:
    return game.replace("_", " ")


def _theorem_2(results: Results) -> Claim | None:
    rows = results["proportions"]["rows"]
    if not rows:
        return None
    inside = [row["low"] <= row["probability"] <= row["high"] for row in rows]
    # The numbers themselves may have hundreds of digits; of 0 there is no logarithm.
    beyond = sum((row["printed_log10"] or 0) > 0 for row in rows)
    return Claim(
        "Theorem 2",
        "utility functions",
        "the printed sum is the probability of sampling effective coalitions in proportion",
        f"as printed it is above 1 in {beyond} of {len(rows)} cases; divided by the number of "
        f"samples it lies in the simulation's 95 % interval in {sum(inside)}",
        # What is divided is not what is claimed: the printed number has to lie there itself.
        "no" if beyond else _word(r["low"] <= float(r["printed"]) <= r["high"] for r in rows),
    )


def _approximates(results: Results, of: str) -> Claim | None:
    rows = _largest(results, "effective", of)
    if not rows:
        return None
    each = [row["pearson"] for row in rows]
    return Claim(
        "Fig. 2",
        "utility functions" if of == "utility" else "networks in their place",
        "Effective Shapley values approximate the ratios between Shapley values well",
        "r with the exact ratios "
        + ", ".join(f"{row['pearson']:.4f} ({_plain(row['game'])})" for row in rows),
        _word(r >= ALIKE for r in each),
    )


def _beats_gradients(results: Results) -> Claim | None:
    ours = {row["game"]: row for row in _largest(results, "effective", "networks")}
    shows, measured = [], []
    for kind in ("zero", "mean", "random"):
        rows = _largest(results, f"gradients_{kind}", "networks")
        for row in rows:
            mine = ours[row["game"]]
            error = sum((r["ratio_distance_sd"] or 0) ** 2 / r["repeats"] for r in (row, mine))
            shows.append(row["ratio_distance"] - mine["ratio_distance"] > 2 * error**0.5)
        far = [row["ratio_distance"] for row in rows]
        measured.append(f"{kind} {min(far):.3f} to {max(far):.3f}" if far else "")
    if not shows:
        return None
    near = [row["ratio_distance"] for row in ours.values()]
    return Claim(
        "Fig. 2",
        "networks in their place",
        "they are nearer than Integrated Gradients from zero, mean and random baselines",
        f"L1 distance of ratios {min(near):.3f} to {max(near):.3f} over the games; "
        f"Integrated Gradients {', '.join(measured)}",
        _word(shows),
    )


def _beats_permutation(results: Results, of: str) -> Claim | None:
    counts = results["ratios"]["verdicts_against_permutation"].get(of, {}).get("effective")
    if counts is None:
        return None
    return Claim(
        "Section 4.2",
        "utility functions" if of == "utility" else "networks in their place",
        "at the same number of evaluations they are as near as permutation sampling, or nearer",
        f"nearer in {counts['better']}, as near in {counts['equal']}, farther in "
        f"{counts['worse']} of the games and numbers of evaluations",
        "yes" if not counts["worse"] else _word([counts["better"] > counts["worse"], False]),
    )


def _as_printed(results: Results) -> Claim:
    rows = _largest(results, "effective_averages", "utility")
    corrected = {row["game"]: row for row in _largest(results, "effective", "utility")}
    return Claim(
        "Eq. 5",
        "utility functions",
        "averages of coalitions counted as Eq. 5 is printed are in the ratios of Shapley values",
        "L1 distance "
        + ", ".join(
            f"{row['ratio_distance']:.3f} ({_plain(row['game'])}; cells weighted and averages "
            f"times effective shares: {corrected[row['game']]['ratio_distance']:.3f})"
            for row in rows
        ),
        _word(row["pearson"] >= ALIKE for row in rows),
    )


def _replaces(results: Results) -> Claim | None:
    rows = [row for row in results["replaced"]["networks"] if row["trained_share"] <= HALF]
    if not rows:
        return None
    worst = min(rows, key=lambda row: row["pearson"])
    return Claim(
        "Fig. 8",
        "networks in their place",
        "trained on half or less of the coalitions, networks have almost the same Shapley values",
        f"least r {worst['pearson']:.5f} ({_plain(worst['game'])}), largest L1 distance of ratios "
        f"{max(row['ratio_distance'] for row in rows):.4f}, least R² of other coalitions "
        f"{min(row['r_squared'] for row in rows):.4f}",
        _word(row["pearson"] >= ALIKE for row in rows),
    )


def _equals_marginals(results: Results) -> Claim:
    rows = results["replaced"]["theorem_3"]
    missed = [row["largest_accumulated_difference"] / row["largest_accumulated"] for row in rows]
    return Claim(
        "Fig. 9",
        "networks in their place",
        "Integrated Gradients from S to S ∪ i equal the marginal contributions",
        f"accumulated, they differ by {max(missed):.1e} of the largest at most",
        _word(part <= EQUAL for part in missed),
    )


def _is_linear(results: Results) -> Claim:
    rows = results["replaced"]["theorem_3"]
    spread = [row["relative_spread"] for row in rows]
    return Claim(
        "Theorem 3",
        "networks in their place",
        "networks connect S and S ∪ i linearly (which the equality does not need)",
        f"on the way the gradient varies by {100 * min(spread):.0f} to {100 * max(spread):.0f} % "
        "of a mean marginal contribution",
        _word(part <= CONNECTED for part in spread),
    )


def _differences(results: Results, model: str, method: str, measure: str) -> dict[str, Any]:
    return {
        row["against"]: row
        for row in results["agreement"]["differences"]
        if (row["model"], row["method"], row["measure"]) == (model, method, measure)
    }


def _row(results: Results, model: str, method: str) -> Mapping[str, Any]:
    rows = results["agreement"]["rows"]
    return next(row for row in rows if (row["model"], row["method"]) == (model, method))


def _against(
    results: Results, model: str, measure: str, claim: tuple[str, str, str]
) -> Claim | None:
    found = _differences(results, model, "sig_baselines", measure)
    # One picture has no error.
    if any(a not in found or found[a]["standard_error"] is None for a in PLAIN):
        return None
    source, text, unit = claim
    own = _row(results, model, "sig_baselines")[measure]
    return Claim(
        source,
        model,
        text,
        f"{unit} {own:.3f}; "
        + ", ".join(
            f"{NAMES[a]} {_row(results, model, a)[measure]:.3f} ({WORDS[found[a]['verdict']]}: "
            f"{found[a]['difference']:+.3f} ± {found[a]['standard_error']:.3f})"
            for a in PLAIN
        ),
        _word(found[a]["verdict"] == "better" for a in PLAIN),
    )


def _nearer(results: Results, model: str) -> Claim | None:
    text = (
        "Shapley Integrated Gradients are nearer to Shapley values than Integrated Gradients from "
        "zero, mean and random baselines"
    )
    return _against(results, model, "ratio_distance", ("Figs. 3 to 5", text, "L1 distance"))


def _on_ink(results: Results, model: str) -> Claim | None:
    text = "they are more concentrated on what is shown than those from the other baselines"
    return _against(results, model, "ink", ("Figs. 3 to 5", text, "share on the ink"))


def _alike(results: Results, model: str) -> Claim | None:
    first, second = (_row(results, model, f"sig_{use}") for use in ("baselines", "inputs"))
    if first["ratio_distance_se"] is None or second["ratio_distance_se"] is None:
        return None
    error = (first["ratio_distance_se"] ** 2 + second["ratio_distance_se"] ** 2) ** 0.5
    both = _row(results, model, "sig_both")
    return Claim(
        "Figs. 6, 7",
        model,
        "proposals 1 and 2 differ little",
        f"L1 distance to exact ratios {first['ratio_distance']:.3f} and "
        f"{second['ratio_distance']:.3f} (± {error:.3f} on the difference), of both together "
        f"{both['ratio_distance']:.3f}",
        _word([abs(first["ratio_distance"] - second["ratio_distance"]) <= 2 * error]),
    )


def _takes(results: Results, model: str) -> Claim:
    ratios = results["runtime"]["ratios"][model]
    alone, whole = (ratios[name]["median"] for name in ("sig_to_ig", "sig_with_algorithm_1_to_ig"))
    return Claim(
        "Section 5",
        model,
        "Shapley Integrated Gradients take about as long as Integrated Gradients",
        f"{alone:.2f} times as long at equal numbers of gradients, {whole:.2f} times with the "
        f"evaluations that find the coalitions",
        _word([alone <= CLOSE, whole <= CLOSE]),
    )


if __name__ == "__main__":
    run(main)
