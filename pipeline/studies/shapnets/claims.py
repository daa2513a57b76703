"""Claims of the paper on Shapley explanation networks on tables, compared with the results.

Differences of means count if they exceed two standard errors. Limits that are set by hand are named
constants.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from pipeline.core.claims import Claim, all_of, claim, margin
from pipeline.core.digits import apart, significant
from pipeline.data.tables import INTERACTING
from pipeline.studies.shapnets.trained import ALL_PAIRS, LEARNED_PAIRS, RANDOM_PAIRS

Contents = Sequence[Mapping[str, Any]]

EXACT = 1e-5
"""Relative distance up to which explanations in float32 count as exact."""

CLOSE = 0.1
"""Relative distance up to which explanations count as similar to Shapley values."""


def table_claims(trained: Contents, distances: Contents, timing: Mapping[str, Any]) -> list[Claim]:
    """Every claim on tables, from the stages' JSON files."""
    return [
        *(_comparable(c) for c in trained if c["group"] == "compared"),
        _exact(distances),
        _similar(distances),
        *(_beside(distances, method) for method in _others(distances)),
        *_norms(trained),
        _fast(timing),
        *_consistent(trained, distances),
        *_peers(trained, distances),
        *(_learned(c) for c in trained if c["group"] == "learned"),
    ]


def headline(distances: Contents) -> dict[str, float]:
    """Mean relative distance of Deep ShapNets' explanations to exact values, over the tables."""
    return {"deep": fmean(row["relative"] for row in _own(distances, "deep", trained=True))}


def _comparable(content: Mapping[str, Any]) -> Claim:
    rows = {row["network"]: row for row in content["rows"]}
    sign = -1 if content["measure"] == "loss" else 1
    others = [name for name in rows if name.startswith("dnn")]
    parts = []
    for name in ("deep", "shallow"):
        for other in others:
            gap = sign * (rows[name]["score"] - rows[other]["score"])
            errors = [rows[n]["score error"] for n in (name, other)]
            parts.append(gap > -margin(*errors))
    told = _scores(rows, ("deep", "shallow", "gam", *others))
    return claim(
        "Sec. 3, Table 1",
        content["source"],
        "Deep and Shallow ShapNets do as well as networks of equal computation or parameters",
        f"{content['measure']}: {told}",
        all_of(parts),
    )


def _exact(distances: Contents) -> Claim:
    found = [row["relative"] for row in _own(distances, "shallow")]
    return claim(
        "Theorem 2, Table 3",
        "all tables",
        "Shallow ShapNets give their exact Shapley values",
        f"relative distance at most {max(found):.1e} where exact values are known",
        max(found) <= EXACT,
    )


def _similar(distances: Contents) -> Claim:
    found = [row["relative"] for row in _own(distances, "deep", trained=True)]
    return claim(
        "App. G, Table 3",
        "all tables",
        "explanations of Deep ShapNets are similar to exact Shapley values",
        "relative distance " + ", ".join(apart(*found)),
        all_of(x <= CLOSE for x in found),
    )


def _others(distances: Contents) -> list[str]:
    """Other methods that explain Deep ShapNets, over all tables."""
    rows = [row for content in distances for row in content["rows"] if row["network"] == "deep"]
    return [m for m in dict.fromkeys(row["method"] for row in rows) if m != "ours"]


def _beside(distances: Contents, method: str) -> Claim:
    nearer, told = [], []
    for content in distances:
        rows = {(r["network"], r["method"]): r for r in content["rows"]}
        own, other = rows["deep", "ours"], rows["deep", method]
        # Both explain the same rows. If errors count as independent, the margin is no smaller.
        errors = margin(own["relative error"], other["relative error"])
        nearer.append(own["relative"] < other["relative"] + errors)
        told.append(
            f"{content['source']} {' and '.join(apart(own['relative'], other['relative']))}"
        )
    return claim(
        "Sec. 3, Table 3",
        "trained Deep ShapNets",
        f"their explanations are comparable to {method}",
        "relative distance of theirs and of the other: " + "; ".join(told),
        all_of(nearer),
    )


def _norms(trained: Contents) -> list[Claim]:
    found = []
    texts = {
        "deep, l infinity": ("variation", -1, "ℓ∞ spreads importance over features"),
        "deep, l1": ("sparsity", 1, "ℓ1 makes explanations sparser"),
    }
    for name, (measure, sign, text) in texts.items():
        parts, told = [], []
        for source in (c["source"] for c in trained if c["group"] == "regularised"):
            rows = {r["network"]: r for c in trained if c["source"] == source for r in c["rows"]}
            own, plain = rows[name], rows["deep"]
            errors = margin(own[f"{measure} error"], plain[f"{measure} error"])
            parts.append(sign * (own[measure] - plain[measure]) > errors)
            told.append(f"{source} {' → '.join(apart(plain[measure], own[measure]))}")
        found.append(claim("Sec. 3, Table 4", "all tables", text, "; ".join(told), all_of(parts)))
    return found


def _fast(timing: Mapping[str, Any]) -> Claim:
    seconds = {
        row["method"]: row["seconds"] for row in timing["rows"] if row["network"] == "Deep ShapNet"
    }
    others = {name: value / seconds["ours"] for name, value in seconds.items() if name != "ours"}
    return claim(
        "App. F, Table 5",
        "Deep ShapNet of 16 features",
        "its own explanation takes less time than other methods",
        f"{significant(1000 * seconds['ours'])} ms; "
        + ", ".join(f"{name} {significant(ratio)} × as long" for name, ratio in others.items()),
        min(others.values()) > 1,
    )


def _consistent(trained: Contents, distances: Contents) -> list[Claim]:
    """Claims on networks trained with the term for consistency; skips tables without any."""
    found = []
    for content in distances:
        own = {r["network"]: r for r in content["rows"] if r["method"] == "ours"}
        drawn = [name for name in own if name.startswith("deep, consistent")]
        if not drawn:
            continue
        rows = {r["network"]: r for c in trained if c["source"] == content["source"]
                for r in c["rows"]}  # fmt: skip
        best = min(drawn, key=lambda name: own[name]["relative"])
        errors = margin(own[best]["relative error"], own["deep"]["relative error"])
        shares = content["non-additive"]
        numbers = [(own[n]["relative"], rows[n]["score"], shares[n]) for n in ("deep", best)]
        distance, score, share = (" → ".join(apart(*pair)) for pair in zip(*numbers, strict=True))
        found.append(
            claim(
                "beyond the paper",
                content["source"],
                "a term in the loss makes explanations Shapley values",
                f"relative distance {distance}, score {score}, non-additive share {share}",
                own["deep"]["relative"] - own[best]["relative"] > errors,
            )
        )
    return found


def _peers(trained: Contents, distances: Contents) -> list[Claim]:
    """Claims beyond the paper: comparisons with a HarsanyiNet, and with FastSHAP."""
    found = []
    for content in distances:
        told = {(r["network"], r["method"]): r for r in content["rows"]}
        compared = next(
            c for c in trained if (c["source"], c["group"]) == (content["source"], "compared")
        )
        scores = {row["network"]: row for row in compared["rows"]}
        sign = -1 if compared["measure"] == "loss" else 1
        shallow, harsanyi = scores["shallow"], scores["harsanyi"]
        gap = sign * (shallow["score"] - harsanyi["score"])
        exact = [told[n, "ours"]["relative"] for n in ("shallow", "harsanyi") if content["exact"]]
        distances_told = f", relative distances {' and '.join(apart(*exact))}" if exact else ""
        found.append(
            claim(
                "beyond the paper",
                content["source"],
                "a Shallow ShapNet does as well as a HarsanyiNet, whose values are exact, too",
                f"score {' and '.join(apart(shallow['score'], harsanyi['score']))}"
                + distances_told,
                gap > -margin(shallow["score error"], harsanyi["score error"]),
            )
        )
        own = told["deep", "ours"]
        other = told["dnn, equal parameters", "FastSHAP"]
        errors = margin(own["relative error"], other["relative error"])
        found.append(
            claim(
                "beyond the paper",
                content["source"],
                "explanations of a Deep ShapNet are nearer to its Shapley values than FastSHAP's "
                "of a plain network to that network's",
                f"relative distance {' and '.join(apart(own['relative'], other['relative']))}",
                other["relative"] - own["relative"] > errors,
            )
        )
    return found


def _learned(content: Mapping[str, Any]) -> Claim:
    rows = {row["network"]: row for row in content["rows"]}
    sign = -1 if content["measure"] == "loss" else 1
    own = rows[LEARNED_PAIRS]

    def gap(name: str) -> tuple[float, float]:
        error = margin(own["score error"], rows[name]["score error"])
        return sign * (own["score"] - rows[name]["score"]), error

    (beyond, error), (lost, other) = gap(RANDOM_PAIRS), gap(ALL_PAIRS)
    told = f"{content['measure']}: {_scores(rows, (LEARNED_PAIRS, ALL_PAIRS, RANDOM_PAIRS))}"
    if content["source"] == "interactions":
        runs = content["pairs"][LEARNED_PAIRS]
        right = sum(tuple(pair) in INTERACTING for run in runs for pair in run)
        told += (
            f"; of {sum(map(len, runs))} kept pairs in {len(runs)} runs {right} interact in the "
            f"table ({len(INTERACTING)} pairs do)"
        )
    return claim(
        "App. E",
        content["source"],
        "which features meet can be learned: no worse than with all pairs, better than with as "
        "many at random",
        told,
        all_of([beyond > error, lost > -other]),
    )


def _scores(rows: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Networks with their scores."""
    scores = apart(*(rows[name]["score"] for name in names))
    return ", ".join(f"{name} {score}" for name, score in zip(names, scores, strict=True))


def _own(distances: Contents, kind: str, *, trained: bool = False) -> list[Mapping[str, Any]]:
    """Rows of the own explanations of networks of a kind, for tables with exact values."""
    names = {kind} if trained else {kind, f"{kind}, untrained"}
    return [
        row
        for content in distances
        if content["exact"]
        for row in content["rows"]
        if row["network"] in names and row["method"] == "ours"
    ]
