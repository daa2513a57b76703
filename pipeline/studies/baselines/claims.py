"""Stage: claims of the paper on effective coalitions, beside the study's own results.

A comparison of measured numbers, written here, decides every claim. The margin is two standard
errors of the difference where there are repeats. Limits set by hand have names.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.core.claims import Claim, all_of, claim, margin
from pipeline.core.digits import apart, significant
from pipeline.studies.baselines.picture_claims import of_pictures

Results = Mapping[str, Any]

ALIKE = 0.99
"""Pearson's r from which values count as "well" approximated, and as "almost the same"."""

CONNECTED = 0.1
"""Fraction of a marginal contribution by which gradients may vary along a "linear" connection."""

HALF = 0.5
"""The largest part of the coalitions that networks may be trained on."""

EQUAL = 1e-3
"""Fraction of marginal contributions by which Integrated Gradients may miss them."""

NEVER = 1e-6
"""A simulation cannot distinguish smaller probabilities from 0 (or equally close ones from 1): that
they lie in its interval proves nothing."""

GRADIENT = 3
"""Evaluations of a score that cost about as much as one gradient: a forward pass and a longer
backward pass."""


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
        *(_is_more_stable(results, which) for which in ("most", "fewest")),
        _as_printed(results),
        _replaces(results),
        _equals_marginals(results),
        _is_linear(results),
    ]
    return [one for one in found if one is not None] + of_pictures(results)


def headline(results: Results) -> dict[str, float]:
    """How far gradients of the classifier are from exact Shapley values.

    ``zero`` starts from zero, ``sig`` from effective coalitions. 0 is perfect, 2 is the worst.
    """
    found = {
        row["method"]: row["ratio_distance"]
        for row in results["agreement"]["rows"]
        if row["model"] == "classifier"
    }
    return {"sig": found["sig_baselines"], "zero": found["ig_zero"]}


def _smallest(results: Results, method: str, of: str) -> list[Mapping[str, Any]]:
    """Rows of a method at the fewest evaluations, one per game."""
    return [min(rows, key=_evaluations) for rows in _by_game(results, method, of)]


def _largest(results: Results, method: str, of: str) -> list[Mapping[str, Any]]:
    """Rows of a method at the most evaluations, one per game."""
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


def _range(rows: Iterable[Mapping[str, Any]], column: str) -> str:
    """From the least to the largest, or a single value if both look alike."""
    values = [row[column] for row in rows]
    return " to ".join(dict.fromkeys(apart(min(values), max(values))))


def _evaluations_range(rows: Iterable[Mapping[str, Any]]) -> str:
    values = [row["evaluations"] for row in rows]
    return " to ".join(dict.fromkeys(f"{end:.0f}" for end in (min(values), max(values))))


def _theorem_2(results: Results) -> Claim | None:
    rows = results["proportions"]["rows"]
    telling = [row for row in rows if NEVER < row["probability"] < 1 - NEVER]
    if not telling:
        return None
    inside = [row["low"] <= row["probability"] <= row["high"] for row in telling]
    # The numbers themselves may have hundreds of digits; 0 has no logarithm.
    beyond = sum((row["printed_log10"] or 0) > 0 for row in rows)
    return claim(
        "Theorem 2",
        "utility functions",
        "the printed sum is the probability of sampling effective coalitions in proportion",
        f"as printed it is above 1 in {beyond} of {len(rows)} cases; divided by the number of "
        f"samples it lies in the simulation's 95 % interval in {sum(inside)} of the {len(telling)} "
        "cases in which it is neither 0 nor 1",
        # The claim is about the printed number, so this number itself has to lie in the interval.
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
            f"{kind} {_range(theirs.values(), 'ratio_distance')} ({cost:.0f} gradients, which "
            f"cost about {GRADIENT * cost:.0f} evaluations; farther in {nearer[0]} of "
            f"{len(theirs)} games at the fewest, in {nearer[1]} at the most)"
        )
    if not shows:
        return None
    near = (
        f"{_range(rows, 'ratio_distance')} at {_evaluations_range(rows)} evaluations"
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
            distances = _range(theirs.values(), "ratio_distance")
            measured.append(f"{kind} {distances} (farther in {sum(nearer)} of {len(nearer)} games)")
    if not shows:
        return None
    return claim(
        "Fig. 2, Section 5",
        "networks in their place",
        "with sampled coalitions as baselines Integrated Gradients are nearer to Shapley values "
        "than from zero, mean and random baselines",
        f"L1 distance of ratios over the games {_range(mine.values(), 'ratio_distance')} with "
        f"{_evaluations_range(mine.values())} gradients; from {', '.join(measured)}",
        all_of(shows),
    )


def _is_nearer(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    least = margin(mine["ratio_distance_se"], other["ratio_distance_se"])
    return bool(other["ratio_distance"] - mine["ratio_distance"] > least)


def _is_more_stable(results: Results, which: str) -> Claim | None:
    """How much a method's distance depends on the game: the paper's word "stable" allows no other
    measure."""
    own = {"most": _largest, "fewest": _smallest}[which](results, "effective", "networks")
    if len(own) < 2:
        return None
    spreads = {"Effective Shapley values": _game_spread(own)}
    for kind in ("zero", "mean", "random"):
        rows = _largest(results, f"gradients_{kind}", "networks")
        if rows:
            spreads[f"Integrated Gradients from {kind}"] = _game_spread(rows)
    (mine, error), *others = spreads.values()
    if not others:
        return None
    shown = apart(*(spread for spread, _ in spreads.values()))
    return claim(
        "Fig. 2, Section 5",
        "networks in their place",
        f"with the {which} evaluations their results are more stable than those of the other "
        "baselines",
        "between the games with the least and the largest L1 distance it differs by "
        + ", ".join(f"{spread} ({name})" for spread, name in zip(shown, spreads, strict=True)),
        all_of(spread - mine > margin(error, other) for spread, other in others),
    )


def _game_spread(rows: list[Mapping[str, Any]]) -> tuple[float, float]:
    """Largest minus smallest distance over games, and its standard error."""
    low, high = (end(rows, key=lambda row: float(row["ratio_distance"])) for end in (min, max))
    error = math.hypot(*(row["ratio_distance_se"] or 0.0 for row in (low, high)))
    return high["ratio_distance"] - low["ratio_distance"], error


def _as_printed(results: Results) -> Claim:
    rows = _largest(results, "effective_averages", "utility")
    corrected = {row["game"]: row for row in _largest(results, "effective", "utility")}
    shown = [apart(row["ratio_distance"], corrected[row["game"]]["ratio_distance"]) for row in rows]
    return claim(
        "Eq. 5",
        "utility functions",
        "counted as Eq. 5 is printed, averages of coalitions have the ratios of Shapley values",
        "L1 distance "
        + ", ".join(
            f"{printed} ({_plain(row['game'])}; cells weighted and averages times effective "
            f"shares: {weighted})"
            for row, (printed, weighted) in zip(rows, shown, strict=True)
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
        f"{significant(max(row['ratio_distance'] for row in rows))}, least R² of other coalitions "
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
        f"accumulated, they differ by at most {max(missed):.1e} of the largest",
        all_of(part <= EQUAL for part in missed),
    )


def _is_linear(results: Results) -> Claim:
    rows = results["replace"]["theorem_3"]
    spread = [row["relative_spread"] for row in rows]
    ends = apart(100 * min(spread), 100 * max(spread), digits=2)
    return claim(
        "Theorem 3",
        "networks in their place",
        "networks connect S and S ∪ i linearly (which the equality does not need)",
        f"on the way the gradient varies by {' to '.join(ends)} % of a mean marginal contribution",
        all_of(part <= CONNECTED for part in spread),
    )
