"""Metrics of a network while the filters that a measure ranks first are removed (Figs. 1, 2, 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arguments import finite
from pipeline.core.errors import InputError
from pipeline.core.statistics import mean_and_error
from pipeline.studies.neurons.competitors import (
    conductance,
    has_weights,
    leave_one_out,
    response_norms,
    weight_norms,
)
from pipeline.studies.neurons.filters import Filters
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.metrics import Metric, recall_of
from pipeline.studies.neurons.params import RemovalParams
from pipeline.studies.neurons.values import Values

Floats = NDArray[np.float64]

SHAPLEY, RANDOM, PROBABILITIES = "shapley", "random", "shapley of probabilities"

COLUMNS = ("of", "method", "removed", "metric", "value", "standard_error")


def largest_first(scores: Floats) -> NDArray[np.intp]:
    """Players by descending score; ties keep the players' order.

    Raises InputError unless the scores are (player,) finite numbers.
    """
    given = finite("scores", scores)
    if given.ndim != 1:
        raise InputError(f"scores of shape {given.shape}: (player,) are needed")
    return np.argsort(-given, kind="stable")


def random_orders(n: int, params: RemovalParams) -> list[NDArray[np.intp]]:
    """Random orders of all players."""
    rng = np.random.default_rng(params.seed)
    return [rng.permutation(n) for _ in range(params.random_orders)]


def curve(
    filters: Filters,
    images: Images,
    targets: NDArray[np.integer] | None,
    order: NDArray[np.integer],
    metrics: Sequence[Metric],
) -> dict[str, tuple[Floats, Floats]]:
    """Metrics while filters are removed, with standard errors over images: (removal + 1,) each."""
    said = filters.after(images, targets, order)
    found = {}
    for metric in metrics:
        chosen = metric.weights > 0
        per_image = metric.per_image(said, targets)[chosen]
        found[metric.name] = mean_and_error(per_image)
    return found


def rows_of_curve(
    of: str, method: str, found: Mapping[str, tuple[Floats, Floats]]
) -> list[dict[str, Any]]:
    """A curve as rows of a table."""
    return [
        {
            "of": of,
            "method": method,
            "removed": removed,
            "metric": metric,
            "value": float(value),
            "standard_error": float(error),
        }
        for metric, (values, errors) in found.items()
        for removed, (value, error) in enumerate(zip(values, errors, strict=True))
    ]


def mean_curve(
    curves: Sequence[Mapping[str, tuple[Floats, Floats]]],
) -> dict[str, tuple[Floats, Floats]]:
    """The mean of the curves of several random orders, with its standard error over them.

    Raises InputError without curves.
    """
    if not curves:
        raise InputError("no curves: at least one is needed for a mean")
    return {
        metric: mean_and_error(np.array([each[metric][0] for each in curves]))
        for metric in curves[0]
    }


def orders_for(
    filters: Filters,
    ranked: Images,
    metric: Metric,
    shapley: Floats,
    params: RemovalParams,
    left_out: NDArray[np.intp],
) -> dict[str, NDArray[np.intp]]:
    """Filters ranked by each measure, most important first, without those in ``left_out``."""
    scores = {SHAPLEY: shapley}
    if has_weights(filters):
        scores["conductance"] = conductance(
            filters, ranked, ranked.labels, metric.weights, steps=params.steps
        )
    scores["leave one out"] = leave_one_out(filters, ranked, None, metric)
    scores["response"] = response_norms(filters, ranked, metric.weights)
    if has_weights(filters):
        scores["weights"] = weight_norms(filters)
    orders = {name: largest_first(score) for name, score in scores.items()}
    return {name: order[~np.isin(order, left_out)] for name, order in orders.items()}


def overall(
    filters: Filters, parts: Mapping[str, Images], values: Values, params: RemovalParams
) -> list[dict[str, Any]]:
    """Accuracy on held-out images without the filters that matter most for accuracy (Fig. 1)."""
    ranked, held_out = parts["ranked"], parts["held_out"]
    accuracy = every("accuracy", held_out)
    measure = every("accuracy", ranked)
    nobody = np.empty(0, dtype=np.intp)
    orders = orders_for(filters, ranked, measure, values.of("accuracy")[0], params, nobody)
    orders[PROBABILITIES] = largest_first(values.of("probability")[0])
    most = min(params.most, len(filters.players))
    rows = []
    for method, order in orders.items():
        found = curve(filters, held_out, None, order[:most], [accuracy])
        rows += rows_of_curve("accuracy", method, found)
    curves = [
        curve(filters, held_out, None, order[:most], [accuracy])
        for order in random_orders(len(filters.players), params)
    ]
    return rows + rows_of_curve("accuracy", RANDOM, mean_curve(curves))


def of_classes(
    filters: Filters, parts: Mapping[str, Images], values: Values, params: RemovalParams
) -> list[dict[str, Any]]:
    """Recall of a class, and accuracy, without the filters that matter for the class (Fig. 2).

    As in the paper, the filters that matter most for accuracy are never removed.
    """
    ranked, held_out = parts["ranked"], parts["held_out"]
    n, rows = len(filters.players), []
    left_out = left_out_of_classes(values, params)
    most = min(params.most, n - len(left_out))
    for number in range(min(params.classes, len(ranked.classes))):
        measure, told = recall_of(ranked, number), recall_of(held_out, number)
        metrics = [told, every("accuracy", held_out)]
        name = ranked.classes[number]
        orders = orders_for(filters, ranked, measure, values.of(measure.name)[0], params, left_out)
        for method, order in orders.items():
            found = curve(filters, held_out, None, order[:most], metrics)
            found["recall"] = found.pop(told.name)
            rows += rows_of_curve(name, method, found)
        curves = []
        for order in random_orders(n, params):
            kept = order[~np.isin(order, left_out)]
            found = curve(filters, held_out, None, kept[:most], metrics)
            curves.append({"recall": found[told.name], "accuracy": found["accuracy"]})
        rows += rows_of_curve(name, RANDOM, mean_curve(curves))
    return rows


def left_out_of_classes(values: Values, params: RemovalParams) -> NDArray[np.intp]:
    """The filters that matter most for accuracy, which no class counts as its own."""
    return largest_first(values.of("accuracy")[0])[: round(params.excluded * len(values.players))]


def every(of: str, images: Images) -> Metric:
    """Accuracy, or the mean of another output, over all images."""
    kind = "right" if of == "accuracy" else of
    return Metric(of, kind, np.full(len(images), 1 / len(images)))


def layers_of_top(
    filters: Filters, values: Floats, top: int, left_out: NDArray[np.intp] | None = None
) -> list[dict[str, Any]]:
    """Number of the ``top`` filters by value in each layer, without ``left_out`` (Figs. 1, 2c)."""
    order = largest_first(values)
    first = (order if left_out is None else order[~np.isin(order, left_out)])[:top]
    counts = np.bincount(filters.layers()[first], minlength=len(filters.masked.sites))
    return [
        {"layer": site.name, "filters": site.n_units, "top": int(count)}
        for site, count in zip(filters.masked.sites, counts, strict=True)
    ]


def layers_of_classes(
    filters: Filters, images: Images, values: Values, params: RemovalParams
) -> list[dict[str, Any]]:
    """Like :func:`layers_of_top` for the classes' own filters: a mean over classes with images."""
    left_out = left_out_of_classes(values, params)
    names = [recall_of(images, int(number)).name for number in np.unique(images.labels)]
    found = [layers_of_top(filters, values.of(n)[0], params.top, left_out) for n in names]
    return [
        {**layers[0], "top": float(np.mean([layer["top"] for layer in layers]))}
        for layers in zip(*found, strict=True)
    ]
