"""Repair a network that is unfair to a subgroup by removing filters (Fig. 3b).

Filters are ranked on one part of the images. The number to remove is chosen on a second part, and
results are reported on a third.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.studies.neurons.competitors import conductance
from pipeline.studies.neurons.filters import Filters
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.metrics import Metric, mean_over
from pipeline.studies.neurons.params import RemovalParams
from pipeline.studies.neurons.removal import (
    RANDOM,
    curve,
    largest_first,
    mean_curve,
    random_orders,
    rows_of_curve,
)
from pipeline.studies.neurons.values import Values

GROUPS = ("conflicting", "aligned")

MEASURES = {
    "shapley": "probability",
    "shapley of the subgroup": "probability of conflicting",
    "shapley of accuracy": "accuracy",
}
"""Metrics by method; filters with the most negative values for the metric are removed first."""


def group_metrics(images: Images) -> list[Metric]:
    """Accuracy of each subgroup, and of both together."""
    found = [mean_over("both", "right", np.ones(len(images), dtype=bool))]
    for name, chosen in zip(GROUPS, (images.conflicting, ~images.conflicting), strict=True):
        found.append(mean_over(name, "right", chosen))
    return found


def repaired(
    filters: Filters, parts: Mapping[str, Images], values: Values, params: RemovalParams
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Accuracy by subgroup while filters are removed, and before and after the best number.

    Returns:
        Rows of the curves on the third part, and one row per method with the number of filters that
        was chosen on the second part and the accuracies before and after.
    """
    held_out = parts["held_out"]
    half = len(held_out) // 2
    tuned, reported = held_out[:half], held_out[half:]
    most = min(params.most, len(filters.players))
    orders = {name: largest_first(-values.of(m)[0])[:most] for name, m in MEASURES.items()}
    orders["conductance"] = _least_conducting(filters, parts["ranked"], params)[:most]
    curves, chosen = [], []
    for method, order in orders.items():
        on_tuned = curve(filters, tuned, None, order, group_metrics(tuned))
        found = curve(filters, reported, None, order, group_metrics(reported))
        number = int(on_tuned["both"][0].argmax())
        curves += rows_of_curve("tinted", method, found)
        chosen.append(
            {
                "method": method,
                "removed": number,
                **{
                    f"{name} {when}": float(values_[place])
                    for name, (values_, _) in found.items()
                    for when, place in (("before", 0), ("after", number))
                },
                **{f"{name} error": float(errors[number]) for name, (_, errors) in found.items()},
            }
        )
    at_random = [
        curve(filters, reported, None, order[:most], group_metrics(reported))
        for order in random_orders(len(filters.players), params)
    ]
    return [*curves, *rows_of_curve("tinted", RANDOM, mean_curve(at_random))], chosen


def _least_conducting(filters: Filters, ranked: Images, params: RemovalParams) -> NDArray[np.intp]:
    weights = np.full(len(ranked), 1 / len(ranked))
    return largest_first(-conductance(filters, ranked, ranked.labels, weights, steps=params.steps))
