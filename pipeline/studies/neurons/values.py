"""Neuron Shapley values of a subject's filters for every metric, from a store of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.core.arguments import array
from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.shapley.pooled import regress
from pipeline.store import CoalitionStore
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.metrics import Metric
from pipeline.studies.neurons.params import CoalitionsParams, PairsParams
from pipeline.studies.neurons.rounds import coalitions_in, rounds_of, rows_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Values:
    """Values of all filters for all metrics."""

    players: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Floats
    """(metric, player)"""
    standard_errors: Floats
    """(metric, player), from drawing coalitions; the images count as fixed"""
    everybody: Floats
    """(metric,) the metric with all filters"""
    nobody: Floats
    """(metric,) the metric without any filter"""
    evaluations: int
    """number of (image, coalition) pairs that the values are computed from"""

    def of(self, metric: str) -> tuple[Floats, Floats]:
        """Values and standard errors for a metric: (player,) each."""
        if metric not in self.metrics:
            raise InputError(f"no values for {metric}; there are those for {self.metrics}")
        place = self.metrics.index(metric)
        return self.values[place], self.standard_errors[place]


def images_of(store: CoalitionStore) -> tuple[Images, NDArray[np.int64] | None]:
    """A store's images without pixels, and the attacker's target classes (image,) if any."""
    known = store.coordinates
    places, first = np.unique(known["image"], return_index=True)
    first = first[places >= 0]
    labels, conflicting = (known[name].ravel()[first] for name in ("true_class", "conflicting"))
    classes = tuple(store.record.specification["classes"])
    nothing = np.empty((len(labels), 0, 0, 0), dtype=np.float32)
    images = Images(nothing, labels, classes, conflicting.astype(bool))
    return images, known["target"].ravel()[first] if "target" in known else None


def read_pairs(
    store: CoalitionStore, n_images: int, params: CoalitionsParams, drawn: PairsParams
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Read a store of pairs.

    Returns:
        Coalitions (image, round, coalition, player), and the network's outputs for them (image,
        round, coalition, output). The first two coalitions are the empty and the grand coalition.
    """
    rows, n = rows_of(store.record.n_players, drawn), store.record.n_players
    coalitions = np.zeros((n_images, drawn.rounds, rows, n), dtype=bool)
    said = np.zeros((n_images, drawn.rounds, rows, len(store.record.outputs)), dtype=np.float32)
    for i, each in enumerate(rounds_of(n_images, params, drawn)):
        coalitions[each.images, each.number] = coalitions_in(each, n, params, drawn)
        read = store.read(i).reshape(-1, rows, said.shape[-1])
        said[each.images, each.number] = read[: len(each.images)]
    return coalitions, said


def values_of(
    coalitions: NDArray[np.bool_],
    said: NDArray[np.float32],
    players: Sequence[str],
    metrics: Sequence[Metric],
    targets: NDArray[np.integer] | None,
) -> Values:
    """Values of the filters by regression over all images' pairs, for every metric.

    Raises:
        InputError: no metric, shapes that do not fit together, and as :func:`regress`.
    """
    coalitions, said, found = array("coalitions", coalitions), array("said", said), []
    if not metrics or said.ndim != 4 or coalitions.shape != (*said.shape[:3], len(players)):
        raise InputError(
            f"said of shape {said.shape}, coalitions of {coalitions.shape}, {len(players)} players "
            f"and {len(metrics)} metrics: (image, round, coalition, output), (image, round, "
            "coalition, player) and at least one metric are needed"
        )
    for metric in metrics:
        per_image = metric.per_image(said, targets)
        nobody, everybody = per_image[:, 0, 0], per_image[:, 0, 1]
        pairs = coalitions[:, :, 2:], per_image[:, :, 2:]
        estimate = regress(*pairs, nobody, everybody, metric.weights)
        ends = metric.weights @ everybody, metric.weights @ nobody
        found.append((estimate.values, estimate.standard_errors, *ends))
    values, errors, everybody, nobody = (np.array(part) for part in zip(*found, strict=True))
    names = tuple(metric.name for metric in metrics)
    evaluations = int(np.prod(said.shape[:3]))
    return Values(tuple(players), names, values, errors, everybody, nobody, evaluations)


def write_values(path: str | Path, values: Values) -> None:
    """Write values as HDF5."""
    with replacing(Path(path)) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        for name in ("players", "metrics"):
            file.create_dataset(name, data=getattr(values, name), dtype=h5py.string_dtype())
        for name in ("values", "standard_errors", "everybody", "nobody"):
            file.create_dataset(name, data=getattr(values, name))
        file.attrs["evaluations"] = values.evaluations


def read_values(path: str | Path) -> Values:
    """Read what :func:`write_values` wrote. Raises InputError for anything else."""
    try:
        with h5py.File(path) as file:
            return Values(
                players=tuple(file["players"].asstr()[:]),
                metrics=tuple(file["metrics"].asstr()[:]),
                values=file["values"][:],
                standard_errors=file["standard_errors"][:],
                everybody=file["everybody"][:],
                nobody=file["nobody"][:],
                evaluations=int(file.attrs["evaluations"]),
            )
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: is no file of filters' values: {error}; make it again") from None
