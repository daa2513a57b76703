"""Filters that an adversary uses, and the network without them (Fig. 3c)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.studies.neurons.attacks import Attack
from pipeline.studies.neurons.competitors import conductance, has_weights
from pipeline.studies.neurons.filters import Filters
from pipeline.studies.neurons.images import Images, Part
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

Floats = NDArray[np.float64]

MEASURES = {
    "shapley": ("success", "accuracy"),
    "shapley of probabilities": ("target probability", "probability"),
}
"""By method, a metric on attacked images, and one on clean images whose values are subtracted."""


def vulnerability(attacked: Values, clean: Values, method: str) -> tuple[Floats, Floats]:
    """Values for success − accuracy, and their standard errors: (player,) each.

    The Shapley value is linear, so these are differences of values that are already known.
    """
    success, accuracy = MEASURES[method]
    (gained, error), (lost, other) = attacked.of(success), clean.of(accuracy)
    return gained - lost, np.hypot(error, other)


def rank_correlation(attacked: Values, clean: Values) -> float:
    """Spearman's correlation of values for success − accuracy with values for accuracy.

    NaN if either are all equal.
    """
    both = vulnerability(attacked, clean, "shapley")[0], clean.of("accuracy")[0]
    if any(np.ptp(each) == 0 for each in both):
        return float("nan")
    return float(stats.spearmanr(*both).statistic)


def curves(
    filters: Filters,
    parts: Mapping[str, Images],
    attacks: Mapping[str, Mapping[Part, Attack]],
    attacked: Values,
    clean: Values,
    params: RemovalParams,
) -> list[dict[str, Any]]:
    """Success of attacks and accuracy on held-out images, while filters are removed.

    Args:
        filters: the network under attack, ``plain``, with its filters as players.
        parts: the clean images.
        attacks: by the network that they were made with, then by part. Attacks made with a network
            other than ``plain`` are black-box attacks.
        attacked: values on attacked images.
        clean: values on clean images.
        params: how many filters are removed.
    """
    most = min(params.most, len(filters.players))
    orders = {
        method: largest_first(vulnerability(attacked, clean, method)[0]) for method in MEASURES
    }
    if has_weights(filters):
        orders["conductance"] = _most_conducting(filters, parts["ranked"], attacks["plain"], params)
    rows = []
    for method, order in orders.items():
        found = _of_order(filters, parts["held_out"], attacks, order[:most])
        rows += rows_of_curve("attacked", method, found)
    at_random = [
        _of_order(filters, parts["held_out"], attacks, order[:most])
        for order in random_orders(len(filters.players), params)
    ]
    return [*rows, *rows_of_curve("attacked", RANDOM, mean_curve(at_random))]


def _of_order(
    filters: Filters,
    held_out: Images,
    attacks: Mapping[str, Mapping[Part, Attack]],
    order: NDArray[np.integer],
) -> dict[str, Any]:
    every = np.ones(len(held_out), dtype=bool)
    found = dict(curve(filters, held_out, None, order, [mean_over("clean", "right", every)]))
    for network, by_part in attacks.items():
        attack = by_part["held_out"]
        shown = held_out.showing(attack.pixels)
        metrics: list[Metric] = [
            mean_over(f"success, made with {network}", "success", every),
            mean_over(f"right, made with {network}", "right", every),
        ]
        found |= curve(filters, shown, attack.targets, order, metrics)
    return found


def _most_conducting(
    filters: Filters, ranked: Images, attacks: Mapping[Part, Attack], params: RemovalParams
) -> NDArray[np.intp]:
    """Players by conductance for the target class when attacked, less that for the true class."""
    attack, weights = attacks["ranked"], np.full(len(ranked), 1 / len(ranked))
    wanted = conductance(
        filters, ranked.showing(attack.pixels), attack.targets, weights, steps=params.steps
    )
    return largest_first(
        wanted - conductance(filters, ranked, ranked.labels, weights, steps=params.steps)
    )
