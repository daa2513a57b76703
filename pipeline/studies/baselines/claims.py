"""Stage: what the paper on effective coalitions says, beside what the study's results show.

Every claim is decided by a comparison of measured numbers that is written here, with a margin of
two standard errors of the difference where there are repeats; nobody decides it by looking. Limits
that are set by hand are named.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.core.claims import Claim, all_of, claim, margin

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
"""How many times as long "close" may take, and what is not "much faster" takes less than."""

NEVER = 1e-6
"""Probability up to which a simulation cannot tell it from 0 (or from 1, as near to that), so that
to lie in its interval shows nothing."""

GRADIENT = 3
"""Evaluations of a score that cost about what one gradient does: a pass there and a longer one
back."""

PLAIN = ("ig_zero", "ig_mean", "ig_random")
NAMES = {"ig_zero": "zero", "ig_mean": "mean", "ig_random": "random"}
WORDS = {"better": "better than that", "equal": "as good as that", "worse": "worse than that"}


def all_claims(results: Results) -> list[Claim]:
    """Every claim.

    Args:
        results: content of the stages' JSON files, by stage.
    """
    found: list[Claim | None] = [
        _theorem_2(results),
        *(_approximates(results, of) for of in ("utility", "networks")),
        _beats_gradients(results),
        _sig_beats_gradients(results),
        *(_beats_permutation(results, of) for of in ("utility", "networks")),
        _as_printed(results),
        _replaces(results),
        _equals_marginals(results),
        _is_linear(results),
    ]
    for judge in (_nearer, _on_ink):
        found += [judge(results, model) for model in ("classifier", "distance")]
    # The paper says the one of its classifier and the other of its distance (Appendix B.1).
    found += [_alike(results, "classifier"), _explains_better(results, "distance")]
    for judge in (_takes, _faster):
        found += [judge(results, model) for model in ("classifier", "distance")]
    return [one for one in found if one is not None]


def _smallest(results: Results, method: str, of: str) -> list[Mapping[str, Any]]:
    """Rows of a method at the fewest evaluations, of each game."""
    return [min(rows, key=_evaluations) for rows in _by_game(results, method, of)]


def _largest(results: Results, method: str, of: str) -> list[Mapping[str, Any]]:
    """Rows of a method at the most evaluations, of each game."""
    return [max(rows, key=_evaluations) for rows in _by_game(results, method, of)]


def _evaluations(row: Mapping[str, Any]) -> float:
    return float(row["evaluations"])


def _by_game(results: Results, method: str, of: str) -> list[list[Mapping[str, Any]]]:
    rows = [r for r in results["ratios"]["rows"] if r["method"] == method and r["of"] == of]
    return [[row for row in rows if row["game"] == game] for game in _games(rows)]


def _games(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["game"] for row in rows))


def _plain(game: str) -> str:
    return game.replace("_", " ")


def _range(rows: Iterable[Mapping[str, Any]], column: str, digits: int) -> str:
    """From the least to the largest, or the one value that there is."""
    values = [row[column] for row in rows]
    ends = dict.fromkeys(f"{end:.{digits}f}" for end in (min(values), max(values)))
    return " to ".join(ends)


def _theorem_2(results: Results) -> Claim | None:
    rows = results["proportions"]["rows"]
    telling = [row for row in rows if NEVER < row["probability"] < 1 - NEVER]
    if not telling:
        return None
    inside = [row["low"] <= row["probability"] <= row["high"] for row in telling]
    # The numbers themselves may have hundreds of digits; of 0 there is no logarithm.
    beyond = sum((row["printed_log10"] or 0) > 0 for row in rows)
    return claim(
        "Theorem 2",
        "utility functions",
        "the printed sum is the probability of sampling effective coalitions in proportion",
        f"as printed it is above 1 in {beyond} of {len(rows)} cases; divided by the number of "
        f"samples it lies in the simulation's 95 % interval in {sum(inside)} of the {len(telling)} "
        "cases in which it is neither 0 nor 1",
        # What is divided is not what is claimed: the printed number has to lie there itself.
        False if beyond else all_of(r["low"] <= float(r["printed"]) <= r["high"] for r in telling),
    )


def _approximates(results: Results, of: str) -> Claim | None:
    ends = [judged(results, "effective", of) for judged in (_largest, _smallest)]
    # Values that are all alike have no r.
    each = [row["pearson"] for rows in ends for row in rows]
    if not each or None in each:
        return None
    return claim(
        "Fig. 2",
        "utility functions" if of == "utility" else "networks in their place",
        "Effective Shapley values approximate the ratios between Shapley values well",
        "r with the exact ratios "
        + "; ".join(
            ", ".join(
                f"{row['pearson']:.4f} ({_plain(row['game'])}, {row['evaluations']:.0f})"
                for row in rows
            )
            + f" at the {which} evaluations"
            for rows, which in zip(ends, ("most", "fewest"), strict=True)
        ),
        all_of(r >= ALIKE for r in each),
    )


def _beats_gradients(results: Results) -> Claim | None:
    ends = [judged(results, "effective", "networks") for judged in (_smallest, _largest)]
    shows, measured = [], []
    for kind in ("zero", "mean", "random"):
        theirs = {row["game"]: row for row in _largest(results, f"gradients_{kind}", "networks")}
        if not theirs:
            continue
        nearer = []
        for rows in ends:
            pairs = [(mine, theirs[mine["game"]]) for mine in rows]
            nearer.append(sum(_is_nearer(mine, other) for mine, other in pairs))
            shows += [_is_nearer(mine, other) for mine, other in pairs]
        cost = max(row["evaluations"] for row in theirs.values())
        measured.append(
            f"{kind} {_range(theirs.values(), 'ratio_distance', 3)} ({cost:.0f} gradients, which "
            f"cost about {GRADIENT * cost:.0f} evaluations; farther in {nearer[0]} of "
            f"{len(theirs)} games at the fewest, in {nearer[1]} at the most)"
        )
    if not shows:
        return None
    near = (
        f"{_range(rows, 'ratio_distance', 3)} at {_range(rows, 'evaluations', 0)} evaluations"
        for rows in ends
    )
    return claim(
        "Fig. 2",
        "networks in their place",
        "they are nearer than Integrated Gradients from zero, mean and random baselines",
        f"L1 distance of ratios over the games {' and '.join(near)}; Integrated Gradients from "
        f"{', '.join(measured)}",
        all_of(shows),
    )


def _sig_beats_gradients(results: Results) -> Claim | None:
    """Fig. 2 as Section 5 describes it: sampled coalitions as baselines, all players as input."""
    mine = {r["game"]: r for r in _largest(results, "gradients_effective", "networks")}
    shows, measured = [], []
    for kind in ("zero", "mean", "random"):
        theirs = {r["game"]: r for r in _largest(results, f"gradients_{kind}", "networks")}
        nearer = [_is_nearer(row, theirs[game]) for game, row in mine.items() if game in theirs]
        if nearer:
            shows += nearer
            distances = _range(theirs.values(), "ratio_distance", 3)
            measured.append(f"{kind} {distances} (farther in {sum(nearer)} of {len(nearer)} games)")
    if not shows:
        return None
    return claim(
        "Fig. 2, Section 5",
        "networks in their place",
        "with sampled coalitions as baselines Integrated Gradients are nearer to Shapley values "
        "than from zero, mean and random baselines",
        f"L1 distance of ratios over the games {_range(mine.values(), 'ratio_distance', 3)} with "
        f"{_range(mine.values(), 'evaluations', 0)} gradients; from {', '.join(measured)}",
        all_of(shows),
    )


def _is_nearer(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    least = margin(mine["ratio_distance_se"], other["ratio_distance_se"])
    return bool(other["ratio_distance"] - mine["ratio_distance"] > least)


def _beats_permutation(results: Results, of: str) -> Claim | None:
    counts = results["ratios"]["verdicts_against_permutation"].get(of, {}).get("effective")
    if counts is None:
        return None
    return claim(
        "Section 4.2",
        "utility functions" if of == "utility" else "networks in their place",
        "at the same number of evaluations they are as near as permutation sampling, or nearer",
        f"nearer in {counts['better']}, as near in {counts['equal']}, farther in "
        f"{counts['worse']} of the games and numbers of evaluations",
        True if not counts["worse"] else all_of([counts["better"] > counts["worse"], False]),
    )


def _as_printed(results: Results) -> Claim:
    rows = _largest(results, "effective_averages", "utility")
    corrected = {row["game"]: row for row in _largest(results, "effective", "utility")}
    return claim(
        "Eq. 5",
        "utility functions",
        "averages of coalitions counted as Eq. 5 is printed are in the ratios of Shapley values",
        "L1 distance "
        + ", ".join(
            f"{row['ratio_distance']:.3f} ({_plain(row['game'])}; cells weighted and averages "
            f"times effective shares: {corrected[row['game']]['ratio_distance']:.3f})"
            for row in rows
        ),
        all_of(row["pearson"] >= ALIKE for row in rows),
    )


def _replaces(results: Results) -> Claim | None:
    rows = [row for row in results["replace"]["networks"] if row["trained_share"] <= HALF]
    if not rows:
        return None
    worst = min(rows, key=lambda row: row["pearson"])
    return claim(
        "Fig. 8",
        "networks in their place",
        "trained on half or less of the coalitions, networks have almost the same Shapley values",
        f"least r {worst['pearson']:.5f} ({_plain(worst['game'])}), largest L1 distance of ratios "
        f"{max(row['ratio_distance'] for row in rows):.4f}, least R² of other coalitions "
        f"{min(row['r_squared'] for row in rows):.4f}",
        all_of(row["pearson"] >= ALIKE for row in rows),
    )


def _equals_marginals(results: Results) -> Claim:
    rows = results["replace"]["theorem_3"]
    missed = [row["largest_accumulated_difference"] / row["largest_accumulated"] for row in rows]
    return claim(
        "Fig. 9",
        "networks in their place",
        "Integrated Gradients from S to S ∪ i equal the marginal contributions",
        f"accumulated, they differ by {max(missed):.1e} of the largest at most",
        all_of(part <= EQUAL for part in missed),
    )


def _is_linear(results: Results) -> Claim:
    rows = results["replace"]["theorem_3"]
    spread = [row["relative_spread"] for row in rows]
    return claim(
        "Theorem 3",
        "networks in their place",
        "networks connect S and S ∪ i linearly (which the equality does not need)",
        f"on the way the gradient varies by {100 * min(spread):.0f} to {100 * max(spread):.0f} % "
        "of a mean marginal contribution",
        all_of(part <= CONNECTED for part in spread),
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
    results: Results, model: str, measure: str, said: tuple[str, str, str]
) -> Claim | None:
    found = _differences(results, model, "sig_baselines", measure)
    # One picture has no error, and where nothing was measured there is no verdict.
    if any(a not in found or found[a]["verdict"] is None for a in PLAIN):
        return None
    source, text, unit = said
    own = _row(results, model, "sig_baselines")[measure]
    return claim(
        source,
        model,
        text,
        f"{unit} {own:.3f}; "
        + ", ".join(
            f"{NAMES[a]} {_row(results, model, a)[measure]:.3f} ({WORDS[found[a]['verdict']]}: "
            f"{found[a]['difference']:+.3f} ± {found[a]['standard_error']:.3f})"
            for a in PLAIN
        ),
        all_of(found[a]["verdict"] == "better" for a in PLAIN),
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
    """Judged by what other draws of coalitions make of proposal 1 alone: no limit is set by hand.

    Who looks at one picture of each could not tell a smaller difference from another draw.
    """
    found = [row for row in results["agreement"]["between"] if row["model"] == model]
    if not found or found[0]["ratio_distance"] is None:
        return None
    (row,) = found
    if row["ratio_distance_se"] is None or row["ratio_distance_repeats"] is None:
        return None
    return claim(
        "Figs. 6, 7; B.1",
        model,
        "proposals 1 and 2 differ little (from each other)",
        f"L1 distance of their ratios {row['ratio_distance']:.3f} ± "
        f"{row['ratio_distance_se']:.3f}; of two repeats of proposal 1 "
        f"{row['ratio_distance_repeats']:.3f}{_correlations(row)}",
        all_of([row["ratio_distance"] <= row["ratio_distance_repeats"]]),
    )


def _correlations(row: Mapping[str, Any]) -> str:
    names = {"pearson": "areas", "pearson_pixels": "pixels"}
    known = [f"r of {of} {row[name]:.3f}" for name, of in names.items() if row[name] is not None]
    return "".join(f"; {text}" for text in known)


def _explains_better(results: Results, model: str) -> Claim | None:
    found = _differences(results, model, "sig_baselines", "ratio_distance").get("sig_inputs")
    if found is None or found["verdict"] is None:
        return None
    first, second, both = (
        _row(results, model, f"sig_{use}")["ratio_distance"]
        for use in ("baselines", "inputs", "both")
    )
    return claim(
        "Fig. 7; B.1",
        model,
        "proposal 1 explains better than proposal 2",
        f"L1 distance to exact ratios {first:.3f} and {second:.3f} ({WORDS[found['verdict']]}: "
        f"{found['difference']:+.3f} ± {found['standard_error']:.3f}), of both together {both:.3f}",
        all_of([found["verdict"] == "better"]),
    )


def _takes(results: Results, model: str) -> Claim:
    medians = {name: row["median"] for name, row in results["runtime"]["ratios"][model].items()}
    alone, whole = medians["sig_to_ig"], medians["sig_with_algorithm_1_to_ig"]
    plain, whole_plain = medians["sig_to_plain"], medians["sig_with_algorithm_1_to_plain"]
    return claim(
        "Section 5",
        model,
        "Shapley Integrated Gradients take about as long as Integrated Gradients",
        f"{plain:.2f} times as long as from one baseline, {whole_plain:.2f} times with the "
        f"evaluations that find the coalitions; at equal numbers of gradients {alone:.2f} and "
        f"{whole:.2f} times",
        all_of(times <= CLOSE for times in (alone, whole, plain, whole_plain)),
    )


def _faster(results: Results, model: str) -> Claim:
    row = results["runtime"]["ratios"][model]["sig_inputs_to_sig"]
    return claim(
        "B.1",
        model,
        "proposal 1 is much faster than proposal 2",
        f"proposal 2 takes {row['median']:.2f} times as long ({row['lowest']:.2f} to "
        f"{row['highest']:.2f} over runs)",
        all_of([row["median"] >= CLOSE, row["lowest"] > 1]),
    )
