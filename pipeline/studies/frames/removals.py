"""What the choice of removal changes: values with absent frames deleted, and with replaced ones."""

from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.core.statistics import known_mean_and_error, mean_and_error
from pipeline.store import CoalitionStore
from pipeline.studies.frames.coalition_scores import Model, Score, table
from pipeline.studies.frames.removal import Removal
from pipeline.studies.frames.replaced_scores import replaced_table
from pipeline.studies.frames.tables import Batches
from pipeline.studies.frames.values import stored_shapley_values

Floats = NDArray[np.float64]

REMOVALS: tuple[Removal, ...] = ("delete", "freeze", "mean", "blank")
COLUMNS = (
    "model",
    "first",
    "second",
    "videos",
    "rank_correlation",
    "standard_error",
    "same_best_frame",
    "error",
)


def removal_tables(
    model: Model,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    empty: torch.Tensor,
    score: Score,
    batches: Batches,
) -> NDArray[np.float32]:
    """Scores of the true class of all coalitions, one output for each of :data:`REMOVALS`.

    Args:
        model: in evaluation mode, on the device of ``empty``.
        inputs: (video, n, feature_dim).
        labels: (video,) true classes.
        empty: (class,) v(∅), in the unit of ``score``.
        score: what v is.
        batches: says how many videos are evaluated at once.

    Returns:
        (video, 2**n, 4)
    """

    def tables(chosen: NDArray[np.intp]) -> torch.Tensor:
        batch = torch.from_numpy(inputs[chosen]).to(empty.device)
        classes = torch.from_numpy(labels[chosen][:, None]).to(empty.device)
        found = [table(model, batch, empty, score, classes)]
        for removal in REMOVALS[1:]:
            scores = replaced_table(model, batch, empty, removal, score)
            found.append(scores.gather(2, classes[:, None].expand(-1, scores.shape[1], -1)))
        return torch.cat(found, dim=2)

    return batches.evaluate(len(inputs), tables)


def rank_correlations(first: Floats, second: Floats) -> Floats:
    """Spearman's rank correlation of two rows of values: (video, frame) twice → (video,).

    Equal values share their mean rank. NaN where all values of a row are equal.
    """
    ranks = [rankdata(values, axis=1) for values in (first, second)]
    centred = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    product = (centred[0] * centred[1]).sum(axis=1)
    return np.divide(product, scale, out=np.full(len(scale), np.nan), where=scale > 0)


def compared(model: str, store: CoalitionStore) -> list[dict[str, Any]]:
    """Agreement of the values by every pair of removals, one row each.

    Args:
        model: name, for the rows.
        store: of a game ``<model>_removal``.
    """
    return rows_of(model, stored_shapley_values(store))


def rows_of(model: str, values: Floats) -> list[dict[str, Any]]:
    """:func:`compared` of values (video, frame, removal)."""
    rows = []
    for (i, first), (j, second) in combinations(enumerate(REMOVALS), 2):
        of_first, of_second = values[:, :, i], values[:, :, j]
        correlation = rank_correlations(of_first, of_second)
        mean, error = known_mean_and_error(correlation)
        same, same_error = mean_and_error(of_first.argmax(axis=1) == of_second.argmax(axis=1))
        counted = int((~np.isnan(correlation)).sum())
        numbers = (counted, float(mean), float(error), float(same), float(same_error))
        rows.append(dict(zip(COLUMNS, (model, first, second, *numbers), strict=True)))
    return rows
