"""How close attributions of pictures come to exact Shapley values of areas, and other measures.

Each measure is first a mean over repeats for one picture. Means over pictures have standard errors
over pictures, and methods are compared picture by picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.statistics import MARGIN, known_mean_and_error, verdict
from pipeline.shapley.agreement import pearson
from pipeline.shapley.games import Game
from pipeline.studies.baselines import quality
from pipeline.studies.baselines.attribution_files import (
    EXACT,
    OF_AREAS,
    SIG_ALL,
    SIG_LARGER,
    SIG_OWN,
    SIG_SMALLER,
    Attributions,
)
from pipeline.studies.baselines.attributions import IG, SIG
from pipeline.studies.baselines.likeness import likeness

Floats = NDArray[np.float64]

GREY_DIGITS = ("digits", "mnist")
"""Sources whose pictures are ink on an empty background."""

PAIRS = (
    *product((*SIG, SIG_OWN, SIG_ALL), IG),
    ("sig_baselines", "sig_inputs"),
    ("sig_both", "sig_baselines"),
    ("sig_both", "sig_inputs"),
    (SIG_SMALLER, "sig_baselines"),
    (SIG_SMALLER, SIG_LARGER),
    ("sig_baselines", SIG_LARGER),
)
"""Pairs of methods to compare, the first with the second: each SIG with each IG, and SIG by its
proposals and by the size of areas."""

PROPOSALS = ("sig_baselines", "sig_inputs")
"""Proposals 1 and 2 of the paper (Appendix B.1)"""


@dataclass(frozen=True)
class Measure:
    """Title of a measure, and which end of it is good."""

    title: str
    best: Literal["high", "low"] | None
    of_score: bool = False
    """whether its unit is that of the model's score"""


MEASURES: dict[str, Measure] = {
    "pearson": Measure("Pearson's r with exact values", "high"),
    "kendall": Measure("Kendall's τ with exact values", "high"),
    "ratio_distance": Measure("L1 distance of ratios to exact ones", "low"),
    "insertion": Measure("insertion: mean score", "high", of_score=True),
    "deletion": Measure("deletion: mean score", "low", of_score=True),
    "ink": Measure("share of absolute values on ink", "high"),
    "ink_positive": Measure("share of positive values on ink", "high"),
    "ink_negative": Measure("share of negative values on ink", "high"),
    "pearson_positive": Measure("Pearson's r of positive parts", "high"),
    "pearson_negative": Measure("Pearson's r of negative parts", "high"),
    "ratio_distance_positive": Measure("L1 distance of positive parts' ratios", "low"),
    "ratio_distance_negative": Measure("L1 distance of negative parts' ratios", "low"),
    "spread": Measure("L1 spread of ratios over repeats", "low"),
    "gradient_evaluations": Measure("gradient evaluations", None),
    "model_evaluations": Measure("model evaluations", None),
    "largest_gap": Measure("largest gap of the quadrature on a line", None, of_score=True),
}


@dataclass(frozen=True, eq=False)
class Compared:
    """One method's measures of one model's pictures."""

    method: str
    repeats: int
    measures: dict[str, Floats]
    """(picture,) means over repeats, by the names of MEASURES; NaN if undefined"""
    insertion: Floats
    """(players + 1,) mean curve over pictures and repeats, from no area to all"""
    deletion: Floats
    """(players + 1,) from all areas to none"""


def compare(found: Attributions, games: Sequence[Game], ink: float) -> list[Compared]:
    """Measures of every method.

    Args:
        found: the attributions, including those named ``exact``.
        games: the game of each picture's areas, with one output.
        ink: pixels brighter than this are ink. Shares on ink are measured only for pictures of
            digits.
    """
    exact = found.of_areas(EXACT)[0]
    return [_compared(found, name, exact, games, ink) for name in found.methods]


def _compared(
    found: Attributions, name: str, exact: Floats, games: Sequence[Game], ink: float
) -> Compared:
    method, of_areas = found.methods[name], found.of_areas(name)
    curves = [
        [quality.curves(game, values) for game, values in zip(games, row, strict=True)]
        for row in of_areas
    ]
    each: dict[str, Floats] = {
        **_to_exact(of_areas, exact, parts=found.model == "distance"),
        **_on_ink(found, name, ink),
        "insertion": np.array([[float(one.insertion_area[0]) for one in row] for row in curves]),
        "deletion": np.array([[float(one.deletion_area[0]) for one in row] for row in curves]),
        "gradient_evaluations": method.gradient_evaluations.astype(np.float64),
        "model_evaluations": method.model_evaluations.astype(np.float64),
        "largest_gap": method.largest_gap,
    }
    measures = {measure: known_mean_and_error(values)[0] for measure, values in each.items()}
    if len(of_areas) > 1:
        measures["spread"] = quality.spread(of_areas)
    missing = np.full(len(found.instances), np.nan)
    return Compared(
        method=name,
        repeats=len(of_areas),
        measures={measure: measures.get(measure, missing) for measure in MEASURES},
        insertion=np.mean([[one.insertion[:, 0] for one in row] for row in curves], axis=(0, 1)),
        deletion=np.mean([[one.deletion[:, 0] for one in row] for row in curves], axis=(0, 1)),
    )


def _to_exact(of_areas: Floats, exact: Floats, *, parts: bool) -> dict[str, Floats]:
    """Agreement with exact values, (repeat, picture); with ``parts`` also of both signs' parts."""
    whole = quality.ratio_agreement(of_areas, exact)
    found = {
        "pearson": whole.pearson,
        "kendall": whole.kendall,
        "ratio_distance": whole.ratio_distance,
    }
    if parts:
        for part, own, true in zip(
            ("positive", "negative"), quality.parts(of_areas), quality.parts(exact), strict=True
        ):
            agreement = quality.ratio_agreement(own, true)
            found[f"pearson_{part}"] = agreement.pearson
            found[f"ratio_distance_{part}"] = agreement.ratio_distance
    return found


def _on_ink(found: Attributions, name: str, ink: float) -> dict[str, Floats]:
    """Shares of a method's values on ink, (repeat, picture); empty if inapplicable."""
    if found.source not in GREY_DIGITS or name in OF_AREAS:
        return {}
    values = found.methods[name].values
    shares = [
        quality.shares_on(values[:, i], picture > ink) for i, picture in enumerate(found.pictures)
    ]
    return {
        "ink": np.stack([one.absolute for one in shares], axis=1),
        "ink_positive": np.stack([one.positive for one in shares], axis=1),
        "ink_negative": np.stack([one.negative for one in shares], axis=1),
    }


def all_measures(found: Sequence[tuple[Attributions, Sequence[Compared]]]) -> dict[str, Any]:
    """All results on the methods, for a JSON file.

    Args:
        found: of each model its attributions, and the measures of their methods.
    """
    pairs = [(known.model, one) for known, compared in found for one in compared]
    return {
        "measures": {
            name: {"title": measure.title, "best": measure.best}
            for name, measure in MEASURES.items()
        },
        "margin_standard_errors": MARGIN,
        "units": {known.model: known.unit for known, _ in found},
        "rows": [summary(model, one) for model, one in pairs],
        "differences": [row for known, all_ in found for row in differences(known.model, all_)],
        "between": [between(known) for known, _ in found],
        "likeness": [likeness(known) for known, _ in found],
        "curves": [
            {
                "model": model,
                "method": one.method,
                "insertion": one.insertion,
                "deletion": one.deletion,
            }
            for model, one in pairs
        ],
    }


def summary(model: str, compared: Compared) -> dict[str, Any]:
    """One row of the table: means over pictures, and standard errors (``_se``)."""
    row: dict[str, Any] = {
        "model": model,
        "method": compared.method,
        "values_of": "areas" if compared.method in OF_AREAS else "pixels",
        "pictures": len(next(iter(compared.measures.values()))),
        "repeats": compared.repeats,
    }
    for name, values in compared.measures.items():
        mean, error = known_mean_and_error(values)
        row[name], row[f"{name}_se"] = float(mean), float(error)
    return row


def summary_columns() -> tuple[str, ...]:
    """Keys of :func:`summary`, in order."""
    of_measures = [column for name in MEASURES for column in (name, f"{name}_se")]
    return ("model", "method", "values_of", "pictures", "repeats", *of_measures)


def differences(model: str, compared: Sequence[Compared]) -> list[dict[str, Any]]:
    """The first method of PAIRS minus the second, picture by picture: one row per pair and measure.

    ``verdict`` is better or worse for the first method, or equal if the mean difference is within
    two standard errors of 0. It is None for one picture, which has no standard error. Games of one
    player have no rows: their ratios are 1 by every method.
    """
    if any(len(one.insertion) <= 2 for one in compared):
        return []
    by_name = {one.method: one.measures for one in compared}
    rows = []
    for ours, theirs in PAIRS:
        if ours not in by_name or theirs not in by_name:
            continue
        for name, measure in MEASURES.items():
            if measure.best is None:
                continue
            paired = by_name[ours][name] - by_name[theirs][name]
            if np.isnan(paired).all():
                continue
            mean, error = (float(number) for number in known_mean_and_error(paired))
            rows.append(
                {
                    "model": model,
                    "method": ours,
                    "against": theirs,
                    "measure": name,
                    "best": measure.best,
                    "pictures": int((~np.isnan(paired)).sum()),
                    "difference": mean,
                    "standard_error": error,
                    "verdict": verdict(mean, error, measure.best),
                }
            )
    return rows


def between(found: Attributions) -> dict[str, Any]:
    """How much the attributions by the two PROPOSALS differ from each other.

    The two attributions of a picture in a repeat are compared; they use the same coalitions.

    Returns:
        Means over repeats and pictures, with standard errors over pictures (``_se``):
        ``ratio_distance``, the L1 distance between their ratios of areas; ``pearson``, r between
        their values of areas; ``pearson_pixels``, r between those of pixels; and
        ``ratio_distance_repeats``, the L1 distance between proposal 1's ratios in two different
        repeats, which shows the effect of other draws of coalitions alone. NaN if undefined.
    """
    first, second = (found.of_areas(name) for name in PROPOSALS)
    of_areas = quality.ratio_agreement(second, first)
    lead = first.shape[:2]
    pixels = (found.methods[name].values.reshape(*lead, -1) for name in PROPOSALS)
    repeats: Floats = np.full(lead, np.nan)
    if len(first) > 1:
        one, other = np.triu_indices(len(first), 1)
        repeats = quality.ratio_agreement(first[one], first[other]).ratio_distance
    each = {
        "ratio_distance": of_areas.ratio_distance,
        "pearson": of_areas.pearson,
        "pearson_pixels": pearson(*pixels),
        "ratio_distance_repeats": repeats,
    }
    row: dict[str, Any] = {
        "model": found.model,
        "method": PROPOSALS[0],
        "against": PROPOSALS[1],
        "pictures": lead[1],
        "repeats": lead[0],
    }
    for name, values in each.items():
        mean, error = known_mean_and_error(known_mean_and_error(values)[0])
        row[name], row[f"{name}_se"] = float(mean), float(error)
    return row


def picture_rows(found: Attributions, compared: Sequence[Compared]) -> list[dict[str, Any]]:
    """One row per picture and method, means over repeats."""
    rows = []
    for one in compared:
        for i, instance in enumerate(found.instances):
            known: Mapping[str, Any] = {name: float(v[i]) for name, v in one.measures.items()}
            fixed = {
                "model": found.model,
                "picture": instance,
                "class": found.classes[found.labels[i]],
                "target": _class_name(found.classes, int(found.targets[i])),
                "method": one.method,
            }
            rows.append({**fixed, **known})
    return rows


PICTURE_COLUMNS = ("model", "picture", "class", "target", "method", *MEASURES)


def _class_name(classes: Sequence[str], number: int) -> str:
    """A classifier with given weights may have other classes than the pictures."""
    return classes[number] if number < len(classes) else str(number)
