"""The search for the filters of largest values (Figs. 3a, 5 and 8), and the cost of estimates.

The paper's iterations (one order for a batch of images) are read from a store. So Algorithm 1,
Monte Carlo without the bandit, and truncation at any accuracy are compared on the same evaluations.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.core.progress import progress
from pipeline.shapley.bandit import TopK, compared, tmab
from pipeline.shapley.pooled import contributions, from_walks
from pipeline.store import CoalitionStore
from pipeline.studies.neurons.filters import Filters
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    SearchParams,
    SharedParams,
    WalksParams,
)
from pipeline.studies.neurons.rounds import orders_in, rounds_of

Floats = NDArray[np.float64]

RIGHT = 0
"""Index of the output that says whether the network is right."""


def iterations(
    store: CoalitionStore, n_images: int, params: CoalitionsParams, drawn: SharedParams
) -> tuple[NDArray[np.intp], Floats]:
    """Read the paper's iterations from a store.

    Returns:
        Orders (iteration, player), and the accuracy on the iteration's batch after the first k
        players were removed: (iteration, player + 1).
    """
    n, orders, accuracy = store.record.n_players, [], []
    for i, each in enumerate(rounds_of(n_images, params, drawn)):
        orders.append(orders_in(each, n, params, drawn)[0])
        said = store.read(i).reshape(len(each.images), n + 1, -1)
        accuracy.append(said[..., RIGHT].mean(axis=0, dtype=np.float64))
    return np.stack(orders), np.stack(accuracy)


def walks_of(
    store: CoalitionStore, n_images: int, params: CoalitionsParams, drawn: WalksParams
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Read walks from a store: one order for each image and round.

    Returns:
        Orders (image, round, player), and whether the network is right after the first k players
        were removed: (image, round, player + 1).
    """
    n = store.record.n_players
    orders = np.zeros((n_images, drawn.orders, n), dtype=np.intp)
    right = np.zeros((n_images, drawn.orders, n + 1), dtype=np.float32)
    for i, each in enumerate(rounds_of(n_images, params, drawn)):
        orders[each.images, each.number] = orders_in(each, n, params, drawn)
        said = store.read(i).reshape(-1, n + 1, len(store.record.outputs))
        right[each.images, each.number] = said[: len(each.images), :, RIGHT]
    return orders, right


def costs(
    shared: tuple[NDArray[np.intp], Floats],
    own: tuple[NDArray[np.intp], NDArray[np.float32]],
    pairs: tuple[Floats, int],
    batch: int,
) -> list[dict[str, Any]]:
    """Compare what methods cost to estimate the values for accuracy: one row per method.

    A standard error falls with the square root of the number of evaluations. So the cost of a
    method is its mean squared standard error times its evaluations. The gain is the cost of the
    paper's iterations divided by the cost of the method.

    Args:
        shared: result of :func:`iterations`.
        own: result of :func:`walks_of`.
        pairs: standard errors (player,) of the regression, and its number of evaluations.
        batch: number of images in an iteration.
    """
    orders, accuracy = shared
    n = orders.shape[1]
    marginal = contributions(accuracy, orders)
    errors = marginal.std(axis=0, ddof=1) / np.sqrt(len(marginal))
    found = [("shared orders", errors, orders.shape[0] * batch * (n + 1))]
    places, right = own
    weights = np.full(len(places), 1 / len(places))
    walked = from_walks(right, places, weights)
    found.append(("one order an image", walked.standard_errors, right.size))
    found.append(("regression", *pairs))
    first = float((found[0][1] ** 2).mean() * found[0][2])
    return [
        {
            "method": method,
            "evaluations": int(evaluations),
            "standard_error": float(np.sqrt((error**2).mean())),
            # The cost is 0 if removing filters never changes the output.
            "gain": first / cost if (cost := float((error**2).mean() * evaluations)) else np.nan,
        }
        for method, error, evaluations in found
    ]


def searches(
    filters: Filters,
    images: Images,
    shared: tuple[NDArray[np.intp], Floats],
    reference: Floats,
    batch: int,
    params: SearchParams,
) -> list[dict[str, Any]]:
    """Number of evaluations that each method takes to find the filters of largest values.

    Args:
        filters: the network with its filters as players.
        images: images that filters are valued on.
        shared: result of :func:`iterations`.
        reference: (player,) values by which the found filters are judged.
        batch: number of images in an iteration.
        params: number of filters to find, tolerance and failure probability.
    """
    settings: dict[str, Any] = {"k": params.k, "epsilon": params.epsilon, "delta": params.delta}
    n = len(filters.players)
    found: list[tuple[str, TopK, int]] = []
    for name, adaptive, truncation in (
        ("Monte Carlo", False, -np.inf),
        ("Algorithm 1, not truncated", True, -np.inf),
        ("Algorithm 1", True, params.truncation),
    ):
        result = tmab(_pairs(shared), n, **settings, adaptive=adaptive, truncation=truncation)
        found.append((name, result, batch))

    def right(instances: NDArray[np.intp], present: NDArray[np.bool_]) -> Floats:
        return filters.say(images, None, instances, present)[:, RIGHT].astype(np.float64)

    with progress("search", None, "evaluations") as advance:
        for bound in ("betting", "normal"):
            result = compared(
                right,
                n,
                len(images),
                **settings,
                bound=bound,
                most=params.most,
                seed=params.seed,
                advance=advance,
            )
            found.append((f"comparable contributions, {bound}", result, 1))
    return [_told(name, result, of, reference, params) for name, result, of in found]


def _pairs(shared: tuple[NDArray[np.intp], Floats]) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    yield from zip(*shared, strict=True)


def _told(
    name: str, result: TopK, batch: int, reference: Floats, params: SearchParams
) -> dict[str, Any]:
    least = np.sort(reference)[-params.k] - params.epsilon
    return {
        "method": name,
        "evaluations": result.evaluations * batch,
        "decided": result.decided,
        "recall": float((reference[result.players] >= least).mean()),
        "samples": result.samples.tolist(),
        "values": result.values.tolist(),
    }


def agreement(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """R² and rank correlation of two searches' final values, and the ratio of their samples."""
    values = np.array(one["values"]), np.array(other["values"])
    constant = any(np.ptp(each) == 0 for each in values)
    return {
        "r_squared": np.nan if constant else float(np.corrcoef(*values)[0, 1] ** 2),
        "rank_correlation": np.nan if constant else float(stats.spearmanr(*values).statistic),
        "share_of_samples": float(np.mean(one["samples"]) / np.mean(other["samples"])),
    }


def truncated(
    shared: tuple[NDArray[np.intp], Floats], thresholds: list[float]
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Accuracy while filters are removed in random orders (Fig. 5), and what truncation drops.

    Returns:
        One row per number of removed filters: mean accuracy over iterations, with the 5th and 95th
        percentiles. One row per threshold: share of evaluations that are left, and the sum of the
        values' biases.
    """
    accuracy = shared[1]
    low, high = np.quantile(accuracy, [0.05, 0.95], axis=0)
    curve = [
        {"removed": k, "mean": float(mean), "low": float(low[k]), "high": float(high[k])}
        for k, mean in enumerate(accuracy.mean(axis=0))
    ]
    rows = []
    for threshold in thresholds:
        over = accuracy < threshold
        # The first value below the threshold is still evaluated; later contributions count as 0.
        ends = np.where(over.any(axis=1), over.argmax(axis=1), accuracy.shape[1] - 1)
        dropped = accuracy[np.arange(len(ends)), ends] - accuracy[:, -1]
        rows.append(
            {
                "threshold": threshold,
                "evaluations": float((ends + 1).mean() / accuracy.shape[1]),
                "dropped": float(dropped.mean()),
            }
        )
    return curve, rows
