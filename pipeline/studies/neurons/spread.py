"""Compare the values of networks trained with and without filter dropout (Fig. 4)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.studies.neurons.filters import Filters
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.params import RemovalParams
from pipeline.studies.neurons.removal import curve, every, largest_first, rows_of_curve
from pipeline.studies.neurons.values import Values


def spread_of(
    networks: Mapping[str, tuple[Filters, Values]], held_out: Images, params: RemovalParams
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Spread of the values, and accuracy without the filters of largest and of least values.

    Returns:
        One row per network, and rows of the curves: ``largest`` removes at most ``params.most``
        filters, ``least`` removes all filters.
    """
    told: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for name, (filters, values) in networks.items():
        phi, error = values.of("accuracy")
        order = largest_first(phi)
        accuracy = [every("accuracy", held_out)]
        most = min(params.most, len(order))
        first = curve(filters, held_out, None, order[:most], accuracy)
        last = curve(filters, held_out, None, order[::-1], accuracy)
        curves += rows_of_curve(name, "largest", first) + rows_of_curve(name, "least", last)
        told.append(
            {
                "network": name,
                "accuracy": float(first["accuracy"][0][0]),
                "sd": float(phi.std(ddof=1)),
                "largest": float(phi.max()),
                "error": float(np.sqrt((error**2).mean())),
                "values": phi.tolist(),
                "kept_half_without": _lost_half(last["accuracy"][0]),
            }
        )
    return told, curves


def _lost_half(values: NDArray[np.float64]) -> int:
    """How many filters of least values can be removed before half of the accuracy is lost."""
    below = values < values[0] / 2
    return int(below.argmax() - 1) if below.any() else len(values) - 1
