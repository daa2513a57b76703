"""Claims of the paper on Neuron Shapley, compared with the study's results.

Each claim is decided by a comparison of measured numbers, with a margin of two standard errors of
the difference where these are known. Limits that are set by hand are named constants.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.claims import Claim, all_of, claim, margin
from pipeline.core.digits import apart, significant, with_error

Results = Mapping[str, Any]
Floats = NDArray[np.float64]

TENFOLD = 8.0
"""Least factor that counts as "around one order of magnitude"."""

AGREEING = 0.97
"""R² and rank correlation from which two rankings count as "very close"."""

FEW = 10
"""Filters that count as "a handful" of some ninety."""

FEW_OF_FACES = 5
"""Filters that count as "a handful" of 140."""

INTACT = 0.05
"""Largest loss of accuracy that counts as "remains intact"."""

TWICE = 2.0

BARELY, HALF = 0.3, 0.5
"""Rank correlations up to which values count as barely, and as partly, correlated; 0.3 is the
paper's."""


def all_claims(results: Results) -> list[Claim]:
    """Every claim.

    Args:
        results: content of the stages' JSON files, by stage; ``repair`` and ``faces`` may be
            left out.
    """
    return [
        _fewer_samples(results),
        _alike(results),
        _truncates(results),
        _critical("plain", results["removal"], FEW),
        *_faces(results),
        *_beats(results),
        _early(results),
        _of_classes(results),
        _deep(results),
        _keeps_accuracy(results),
        *([_repairs(results)] if "repair" in results else []),
        _defends(results),
        _unlike_accuracy(results),
        _foreign(results),
        *_dropout(results),
    ]


def headline(results: Results) -> dict[str, float]:
    """Accuracy of the plain network without a handful of filters of largest values."""
    accuracy, _ = _curve(results["removal"]["overall"], "accuracy", "shapley", "accuracy")
    return {"filters": float(accuracy[min(FEW, len(accuracy) - 1)])}


def _fewer_samples(results: Results) -> Claim:
    plain, bandit = (_search(results, name) for name in ("Monte Carlo", "Algorithm 1"))
    ratio = np.mean(plain["samples"]) / np.mean(bandit["samples"])
    state = "" if plain["decided"] and bandit["decided"] else "; not both came to an end"
    return claim(
        "Sec. 4, Fig. 3a",
        "plain",
        "Algorithm 1 takes around one order of magnitude fewer samples than Monte Carlo",
        f"{significant(float(ratio))} times fewer{state}",
        _graded(ratio, TENFOLD),
    )


def _alike(results: Results) -> Claim:
    found = {name: _known(value) for name, value in results["search"]["agreement"].items()}
    both = [found["r_squared"] >= AGREEING, found["rank_correlation"] >= AGREEING]
    r_squared, correlation = apart(found["r_squared"], found["rank_correlation"])
    return claim(
        "Sec. 4, App. G",
        "plain",
        "its values are very close to those of Monte Carlo (R² = 0.975, rank correlation 0.988)",
        f"R² {r_squared}, rank correlation {correlation}",
        all_of(both),
    )


def _truncates(results: Results) -> Claim:
    whole, cut = (
        _search(results, name)["evaluations"]
        for name in ("Algorithm 1, not truncated", "Algorithm 1")
    )
    return claim(
        "Sec. 3, App. D",
        "plain",
        "truncation saves close to another order of magnitude",
        f"{significant(whole / cut)} times fewer evaluations",
        _graded(whole / cut, TENFOLD),
    )


def _critical(of: str, stage: Mapping[str, Any], count: int) -> Claim:
    rows, chance = stage["overall"], 1 / len(stage["classes"])
    few = min(count, len(_curve(rows, "accuracy", "shapley", "accuracy")[0]) - 1)
    (own, error), (others, other) = (
        _curve(rows, "accuracy", method, "accuracy") for method in ("shapley", "random")
    )
    limit = (own[0] + chance) / 2
    destroyed = own[few] + margin(error[few]) < limit
    spared = others[few] - margin(other[few]) > limit
    whole, without, without_random = apart(own[0], own[few], others[few])
    return claim(
        "Sec. 4, Fig. 1",
        of,
        "a handful of filters of largest values is critical; as many random ones are not",
        f"accuracy {whole}; without the first {few} of {stage['filters']} {without}, "
        f"without {few} random ones {without_random}",
        all_of([bool(destroyed), bool(spared)]),
    )


def _faces(results: Results) -> list[Claim]:
    """The claim on faces; none if faces were left out."""
    faces = results.get("faces")
    if faces is None or faces["left_out"] is not None:
        return []
    return [_critical("faces", faces, FEW_OF_FACES)]


def _beats(results: Results) -> list[Claim]:
    """The claim on conductance; none if the players have no conductance."""
    rows = results["removal"]["overall"]
    if "conductance" not in _methods(rows, "accuracy"):
        return []
    needed = {m: _halved(rows, m) for m in ("shapley", "conductance")}
    ratio = needed["conductance"] / max(needed["shapley"], 1)
    return [
        claim(
            "Sec. 4",
            "plain",
            "twice as many filters must be removed by conductance for the same loss of accuracy",
            f"half of the accuracy is lost without {needed['shapley']} filters by value, "
            f"{needed['conductance']} by conductance",
            _graded(ratio, TWICE),
        )
    ]


def _early(results: Results) -> Claim:
    layers = results["removal"]["layers"]
    shares = [layer["top"] / layer["filters"] for layer in layers]
    early, late = _halves(layers)
    return claim(
        "Sec. 4, Fig. 1",
        "plain",
        "more of the filters of largest values are in the early layers",
        "shares of the layers' filters, first to last: " + ", ".join(apart(*shares)),
        early > late,
    )


def _of_classes(results: Results) -> Claim:
    rows = results["removal"]["of_classes"]
    names = list(dict.fromkeys(row["of"] for row in rows))
    won = []
    for name in names:
        areas = {m: _curve(rows, name, m, "recall")[0].mean() for m in _methods(rows, name)}
        won.append(min(areas, key=lambda m: areas[m]) == "shapley")
    return claim(
        "Sec. 4, Fig. 2",
        "plain",
        "a class's own filters by value reduce its recall more than those by any other measure",
        f"mean recall along the curve is least in {sum(won)} of {len(won)} classes",
        all_of(won),
    )


def _deep(results: Results) -> Claim:
    layers = results["removal"]["class_layers"]
    shares = [layer["top"] / layer["filters"] for layer in layers]
    early, late = _halves(layers)
    return claim(
        "Sec. 4, Fig. 2c",
        "plain",
        "the classes' own filters are more common in the deeper layers",
        "shares of the layers' filters, first to last: " + ", ".join(apart(*shares)),
        early < late,
    )


def _halves(layers: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Shares of filters that are among those of largest values, in earlier and in later layers."""
    half = len(layers) // 2
    early, late = (
        sum(layer["top"] for layer in part) / sum(layer["filters"] for layer in part)
        for part in (layers[:half] or layers, layers[half:])
    )
    return early, late


def _keeps_accuracy(results: Results) -> Claim:
    rows = results["removal"]["of_classes"]
    names = list(dict.fromkeys(row["of"] for row in rows))
    lost = []
    for name in names:
        recall, _ = _curve(rows, name, "shapley", "recall")
        accuracy, _ = _curve(rows, name, "shapley", "accuracy")
        below = np.flatnonzero(recall < recall[0] / 2)
        if len(below):
            place = int(below[0])
            # The class itself is a part of all images.
            own = (recall[0] - recall[place]) / len(results["removal"]["classes"])
            lost.append(accuracy[0] - accuracy[place] - own)
    text = f"half of the recall is gone in {len(lost)} of {len(names)} classes"
    if lost:
        text += "; by then others have lost " + ", ".join(apart(*lost))
    spared = [x <= INTACT for x in lost] + [False] * (len(names) - len(lost))
    return claim(
        "Sec. 4, Fig. 2",
        "plain",
        "the accuracy on other classes remains intact",
        text,
        all_of(spared),
    )


def _repairs(results: Results) -> Claim:
    rows = {row["method"]: row for row in results["repair"]["chosen"]}
    best = max(
        (row for name, row in rows.items() if name.startswith("shapley")),
        key=lambda row: row["both after"],
    )
    gained = best["conflicting after"] - best["conflicting before"]
    both = best["both after"] - best["both before"]
    subgroup, everyone = (
        " → ".join(apart(best[f"{of} before"], best[f"{of} after"]))
        for of in ("conflicting", "both")
    )
    return claim(
        "Sec. 4, Fig. 3b",
        "tinted",
        "without the filters of most negative values the network is fairer and more accurate",
        f"{best['removed']} filters removed: the subgroup {subgroup}, all {everyone}",
        all_of([gained > margin(best["conflicting error"]), both > margin(best["both error"])]),
    )


def _defends(results: Results) -> Claim:
    rows = results["vulnerable"]["curves"]
    success, error = _curve(rows, "attacked", "shapley", "success, made with plain")
    clean, _ = _curve(rows, "attacked", "shapley", "clean")
    below = np.flatnonzero(success + margin(*error[:1]) < success[0] / 2)
    shows: bool | None = False
    if not len(below):
        text = f"it falls at most from {' to '.join(apart(success[0], success[-1]))}"
    else:
        place = int(below[0])
        text = (
            f"without {place} filters it falls from "
            f"{' to '.join(apart(success[0], success[place]))}, and accuracy from "
            f"{' to '.join(apart(clean[0], clean[place]))}"
        )
        kept = clean[place] / clean[0] > success[place] / success[0]
        shows = None if kept and clean[0] - clean[place] > INTACT else bool(kept)
    return claim(
        "Sec. 4, Fig. 3c",
        "plain, attacked",
        "without a few filters the attack rarely succeeds, and accuracy drops moderately",
        text,
        shows,
    )


def _unlike_accuracy(results: Results) -> Claim:
    found = _known(results["vulnerable"]["rank_correlation"])
    return claim(
        "Sec. 4",
        "plain, attacked",
        "these values are barely correlated with those for accuracy (0.3)",
        f"rank correlation {significant(found)}",
        True if abs(found) <= BARELY else None if abs(found) <= HALF else False,
    )


def _foreign(results: Results) -> Claim:
    rows = results["vulnerable"]["curves"]
    success, error = _curve(rows, "attacked", "shapley", "success, made with foreign")
    few = min(FEW, len(success) - 1)
    return claim(
        "Sec. 4",
        "plain, attacked",
        "attacks made with another architecture succeed less often, too (by 37 % on average)",
        f"without {few} filters {' → '.join(apart(success[0], success[few]))}",
        bool(success[0] - success[few] > margin(error[0], error[few])),
    )


def _dropout(results: Results) -> list[Claim]:
    plain, dropout = results["spread"]["networks"]
    curves = results["spread"]["curves"]
    (own, error), (others, other) = (
        _curve(curves, name, "largest", "accuracy") for name in ("plain", "dropout")
    )
    few = min(FEW, len(own) - 1)
    n = len(plain["values"])
    # Of normal values; there are too few for their kurtosis.
    unsure = [network["sd"] / np.sqrt(2 * (n - 1)) for network in (plain, dropout)]
    return [
        claim(
            "App. A, Fig. 4a",
            "plain, dropout",
            "with filter dropout values are more concentrated around zero",
            f"their standard deviation is {with_error(plain['sd'], unsure[0])} without and "
            f"{with_error(dropout['sd'], unsure[1])} with",
            bool(plain["sd"] - dropout["sd"] > margin(*unsure)),
        ),
        claim(
            "App. A, Fig. 4b",
            "plain, dropout",
            "with filter dropout the network bears the loss of filters of largest values better",
            f"without the first {few} {' without and '.join(apart(own[few], others[few]))} with",
            bool(others[few] - own[few] > margin(error[few], other[few])),
        ),
        claim(
            "App. A, Fig. 4c",
            "dropout",
            "it bears the loss of almost half of its filters, those of least values",
            f"half of the accuracy is left without {dropout['kept_half_without']} of {n}",
            dropout["kept_half_without"] >= 0.4 * n,
        ),
    ]


def _graded(ratio: float, wanted: float) -> bool | None:
    """True from ``wanted`` on; None (in part) above 1; False otherwise."""
    return True if ratio >= wanted else None if ratio > 1 else False


def _known(number: float | None) -> float:
    """The number, or NaN for None: no claim holds for NaN."""
    return float("nan") if number is None else number


def _search(results: Results, method: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        row for row in results["search"]["searches"] if row["method"] == method
    )
    return found


def _methods(rows: Sequence[Mapping[str, Any]], of: str) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows if row["of"] == of))


def _curve(
    rows: Sequence[Mapping[str, Any]], of: str, method: str, metric: str
) -> tuple[Floats, Floats]:
    """Values by the number of removed filters, and their standard errors."""
    wanted = (of, method, metric)
    chosen = [row for row in rows if (row["of"], row["method"], row["metric"]) == wanted]
    values = np.array([row["value"] for row in chosen], dtype=np.float64)
    errors = np.array([row["standard_error"] or 0.0 for row in chosen], dtype=np.float64)
    return values, errors


def _halved(rows: Sequence[Mapping[str, Any]], method: str) -> int:
    """Number of filters removed until half of the accuracy is lost; one past the last if never."""
    values, _ = _curve(rows, "accuracy", method, "accuracy")
    below = np.flatnonzero(values < values[0] / 2)
    return int(below[0]) if len(below) else len(values)
