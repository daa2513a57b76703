"""Attributions of many pictures by several methods, and the file that stores them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.shapley.coalitions import Masks
from pipeline.studies.baselines.areas import Areas, area_sums

SIG_OWN, SIG_ALL = "sig_baselines_own", "sig_baselines_all"
SIG_LARGER, SIG_SMALLER = "sig_baselines_larger", "sig_baselines_smaller"
EXACT = "exact"
OF_AREAS = ("effective", "effective_unsampled", "permutation", "permutation_pairs", EXACT)
"""Methods with values of areas; all others have values of pixels."""


@dataclass(frozen=True, eq=False)
class Method:
    """One method's attributions of all pictures; one repeat if the method draws nothing."""

    values: NDArray[np.floating]
    """(repeat, picture, *shape) float32 of pixels, or (repeat, picture, player) float64 of areas"""
    gradient_evaluations: NDArray[np.int64]
    """(repeat, picture)"""
    model_evaluations: NDArray[np.int64]
    """(repeat, picture) distinct coalitions of areas for which the model was evaluated"""
    largest_gap: NDArray[np.float64]
    """(repeat, picture) of the quadrature; NaN if the method does not integrate"""


@dataclass(frozen=True, eq=False)
class Sampled:
    """The coalitions that Algorithm 1 kept, used by all Shapley Integrated Gradients."""

    coalitions: NDArray[np.uint64]
    """(repeat, picture, player, most) masks, without the player; each mask is repeated as often as
    it counts; 0 beyond the number of coalitions"""
    counts: NDArray[np.int64]
    """(repeat, picture, player) their number"""

    def of(self, repeat: int, picture: int) -> list[Masks]:
        """For each player its coalitions, as ``shapley_integrated_gradients`` takes them."""
        rows = zip(self.coalitions[repeat, picture], self.counts[repeat, picture], strict=True)
        return [row[:count] for row, count in rows]


@dataclass(frozen=True, eq=False)
class Attributions:
    """Attributions of one model's scores of pictures."""

    model: str
    """``classifier`` or ``distance``"""
    unit: str
    """of the scores"""
    source: str
    """where the pictures are from"""
    identity: str
    """of the game whose players are the pictures' areas"""
    instances: tuple[str, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """(picture,)"""
    targets: NDArray[np.int64]
    """(picture,) the class that is explained; for a distance the class of the second picture"""
    pictures: NDArray[np.float32]
    """(picture, *shape)"""
    seconds: NDArray[np.float32] | None
    """(picture, *shape) for a distance; None for a classifier"""
    areas: Areas
    methods: dict[str, Method]
    sampled: Sampled

    @property
    def n_players(self) -> int:
        """Number of areas."""
        return self.methods[EXACT].values.shape[2]

    def of_areas(self, name: str) -> NDArray[np.float64]:
        """A method's values of areas, sums over their pixels: (repeat, picture, player)."""
        values = self.methods[name].values
        if name in OF_AREAS:
            return values.astype(np.float64)
        return area_sums(torch.from_numpy(values), self.areas, leading=2).numpy()


_TEXTS = ("model", "unit", "source", "identity")
_ARRAYS = ("labels", "targets", "pictures", "areas")
_OF_METHOD: dict[str, Callable[[Method], NDArray[np.generic]]] = {
    "values": lambda method: method.values,
    "gradient_evaluations": lambda method: method.gradient_evaluations,
    "model_evaluations": lambda method: method.model_evaluations,
    "largest_gap": lambda method: method.largest_gap,
}


def write_attributions(path: Path, found: Attributions) -> None:
    """Write attributions as HDF5, whole or not at all.

    Each method has a group ``methods/<name>`` with the fields of :class:`Method`. The group
    ``sampled`` holds the fields of :class:`Sampled`.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        text = h5py.string_dtype()
        for name in _TEXTS:
            file.attrs[name] = getattr(found, name)
        file.create_dataset("instances", data=list(found.instances), dtype=text)
        file.create_dataset("classes", data=list(found.classes), dtype=text)
        for name in _ARRAYS:
            file.create_dataset(name, data=getattr(found, name))
        if found.seconds is not None:
            file.create_dataset("seconds", data=found.seconds)
        for name, method in found.methods.items():
            group = file.create_group(f"methods/{name}")
            for field, of in _OF_METHOD.items():
                dataset = group.create_dataset(field, data=of(method))
                dataset.dims[0].label, dataset.dims[1].label = "repeat", "picture"
        group = file.create_group("sampled")
        group.create_dataset("coalitions", data=found.sampled.coalitions, compression="gzip")
        group.create_dataset("counts", data=found.sampled.counts)
        for dataset in group.values():
            for place, label in enumerate(("repeat", "picture", "player")):
                dataset.dims[place].label = label
        file.attrs["methods"] = list(found.methods)


def read_attributions(path: Path) -> Attributions:
    """The inverse of :func:`write_attributions`; raises InputError for any other file."""
    try:
        with h5py.File(path, "r") as file:
            methods = {
                name: Method(*(file[f"methods/{name}/{field}"][:] for field in _OF_METHOD))
                for name in file.attrs["methods"]
            }
            return Attributions(
                model=str(file.attrs["model"]),
                unit=str(file.attrs["unit"]),
                source=str(file.attrs["source"]),
                identity=str(file.attrs["identity"]),
                instances=tuple(name.decode() for name in file["instances"][:]),
                classes=tuple(name.decode() for name in file["classes"][:]),
                labels=file["labels"][:],
                targets=file["targets"][:],
                pictures=file["pictures"][:],
                areas=file["areas"][:],
                seconds=file["seconds"][:] if "seconds" in file else None,
                methods=methods,
                sampled=Sampled(file["sampled/coalitions"][:], file["sampled/counts"][:]),
            )
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path}: holds no attributions of pictures ({error}); run baselines_attributions"
        ) from None
