"""All attributions of one picture that are compared, and the file that holds those of many.

* ``ig_zero``, ``ig_mean``, ``ig_random``: Integrated Gradients from the paper's three usual
  baselines: zero, the mean of the training pictures, some training pictures at random;
* ``sig_baselines``, ``sig_inputs``, ``sig_both``: Shapley Integrated Gradients by proposals 1, 2
  and 1 + 2 (:mod:`pipeline.studies.baselines.integrated`), all from one sample of Algorithm 1;
* ``sig_baselines_own`` or ``sig_baselines_all``: proposal 1 with the other rule of which coalitions
  count;
* ``effective``, ``effective_unsampled``: Effective Shapley values of the areas, from the same
  sample; the latter from all effective coalitions drawn, without the second sampling;
* ``permutation``, ``permutation_pairs``: permutation sampling of the areas at as many evaluations,
  by single orders, and by orders together with their reverses;
* ``exact``: Shapley values of the areas from all coalitions.

A method's values are of pixels, or of areas. Names are those of :mod:`pipeline.studies.baselines.estimates`
where the methods are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.shapley.coalitions import Masks
from pipeline.shapley.games import Game
from pipeline.shapley.permutation import permutation_values as paired_permutation_values
from pipeline.studies.baselines.areas import Areas, Scores, area_sums
from pipeline.studies.baselines.effective import EffectiveShapley, effective_shapley
from pipeline.studies.baselines.estimates import permutation_values
from pipeline.studies.baselines.integrated import (
    Attribution,
    Counted,
    Proposal,
    baseline_pictures,
    counted_both_ways,
    integrated_gradients,
    shapley_integrated_gradients,
)
from pipeline.studies.baselines.params import AttributionsParams

IG = ("ig_zero", "ig_mean", "ig_random")
SIG: dict[str, Proposal] = {
    "sig_baselines": "baselines",
    "sig_inputs": "inputs",
    "sig_both": "both",
}
SIG_OWN, SIG_ALL = "sig_baselines_own", "sig_baselines_all"
EXACT = "exact"
OF_AREAS = ("effective", "effective_unsampled", "permutation", "permutation_pairs", EXACT)
"""Methods whose values are of areas; those of all others are of pixels."""


@dataclass(frozen=True, eq=False)
class One:
    """One attribution of one picture."""

    values: NDArray[np.floating]
    """(*shape) of pixels, or (player,) of areas"""
    gradient_evaluations: int
    model_evaluations: int
    """distinct coalitions of areas that the model was asked for"""
    largest_gap: float
    """of the quadrature, over lines; NaN where nothing is integrated"""


def integrated_once(
    scores: Scores,
    picture: Tensor,
    baselines: Mapping[str, Tensor],
    params: AttributionsParams,
    batch_size: int,
) -> dict[str, One]:
    """Integrated Gradients from given baselines, by their names.

    Args:
        scores: (batch, *shape) → (batch, 1).
        picture: (*shape).
        baselines: (baseline, *shape) of each method.
        params: rule and ``plain_steps`` of the quadrature.
        batch_size: points that the model is given at once.
    """
    return {
        name: _of_pixels(
            integrated_gradients(
                scores,
                picture,
                given,
                steps=params.plain_steps,
                rule=params.quadrature,
                batch_size=batch_size,
            )
        )
        for name, given in baselines.items()
    }


def sample_coalitions(
    game: Game, params: AttributionsParams, seed: np.random.SeedSequence
) -> EffectiveShapley:
    """Algorithm 1, as the parameters ask for it."""
    return effective_shapley(
        game,
        per_size=params.per_size,
        n_kept=params.kept,
        tolerance=params.tolerance,
        bins=params.bins,
        seed=seed,
    )


def attribute_at_random(
    scores: Scores,
    game: Game,
    picture: Tensor,
    areas: Areas,
    absent: Tensor,
    training: Tensor,
    params: AttributionsParams,
    seed: np.random.SeedSequence,
    batch_size: int,
) -> tuple[dict[str, One], list[Masks]]:
    """What depends on draws: every method but IG from zero and mean, and the exact values.

    Args:
        scores: (batch, *shape) → (batch, 1).
        game: of the picture's areas, one output: the score of masked pictures.
        picture: (*shape).
        areas: the player of every feature.
        absent: what absent areas show, (*shape).
        training: (picture, *shape), of which random baselines are drawn.
        params: of the methods.
        seed: the same one gives the same result.
        batch_size: points that the model is given at once.

    Returns:
        The attributions by method, and for each player the coalitions that Algorithm 1 kept.
    """
    of_coalitions, of_baselines, of_orders = seed.spawn(3)
    sample = sample_coalitions(game, params, of_coalitions)
    drawn = baseline_pictures(
        "random",
        training,
        count=params.random_baselines,
        seed=int(of_baselines.generate_state(1)[0]),
    )
    found = integrated_once(scores, picture, {"ig_random": drawn}, params, batch_size)

    given: dict[str, Any] = {
        "baseline": absent,
        "steps": params.steps,
        "rule": params.quadrature,
        "batch_size": batch_size,
    }
    sampled = [player.coalitions for player in sample.samples]
    from_coalitions = counted_both_ways(scores, picture, areas, sampled, **given)
    to_coalitions = shapley_integrated_gradients(
        scores, picture, areas, sampled, proposal="inputs", counted=params.counted, **given
    )
    first = _of_pixels(from_coalitions[params.counted], sample.evaluations)
    second = _of_pixels(to_coalitions, sample.evaluations)
    found["sig_baselines"], found["sig_inputs"] = first, second
    # By definition, and so without evaluating anything again.
    found["sig_both"] = One(
        first.values + second.values,
        first.gradient_evaluations + second.gradient_evaluations,
        sample.evaluations,
        max(first.largest_gap, second.largest_gap),
    )
    other, name = other_counted(params.counted)
    found[name] = _of_pixels(from_coalitions[other], sample.evaluations)
    for name, values in (("effective", sample.values), ("effective_unsampled", sample.unsampled)):
        found[name] = One(values, 0, sample.evaluations, float("nan"))
    budget = max(sample.evaluations, 2 * game.n_players)
    for name, estimate in (
        ("permutation", permutation_values(game, budget=budget, seed=of_orders)),
        ("permutation_pairs", paired_permutation_values(game, budget=budget, seed=of_orders)),
    ):
        found[name] = One(estimate.values[:, 0], 0, estimate.evaluations, float("nan"))
    return found, sampled


def other_counted(counted: Counted) -> tuple[Counted, str]:
    """The rule that is not the parameters', and the name of the method that follows it."""
    return ("own", SIG_OWN) if counted == "all" else ("all", SIG_ALL)


def _of_pixels(attribution: Attribution, model_evaluations: int = 0) -> One:
    return One(
        attribution.values.cpu().numpy(),
        attribution.gradient_evaluations,
        model_evaluations,
        attribution.largest_gap,
    )


@dataclass(frozen=True, eq=False)
class Method:
    """One method's attributions of all pictures; one repeat where nothing is drawn."""

    values: NDArray[np.floating]
    """(repeat, picture, *shape) float32 of pixels, or (repeat, picture, player) float64 of areas"""
    gradient_evaluations: NDArray[np.int64]
    """(repeat, picture)"""
    model_evaluations: NDArray[np.int64]
    """(repeat, picture) distinct coalitions of areas that the model was asked for"""
    largest_gap: NDArray[np.float64]
    """(repeat, picture) of the quadrature; NaN where nothing is integrated"""


@dataclass(frozen=True, eq=False)
class Sampled:
    """The coalitions that Algorithm 1 kept: those of all Shapley Integrated Gradients."""

    coalitions: NDArray[np.uint64]
    """(repeat, picture, player, most) masks, without the player; equal ones stand there as often as
    they count; 0 past their number"""
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
    """of the game whose areas the pictures have"""
    instances: tuple[str, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """(picture,)"""
    targets: NDArray[np.int64]
    """(picture,) the class that is explained; of a distance the second picture's"""
    pictures: NDArray[np.float32]
    """(picture, *shape)"""
    seconds: NDArray[np.float32] | None
    """(picture, *shape) of a distance; None of a classifier"""
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


def gather(found: list[list[dict[str, One]]]) -> dict[str, Method]:
    """Methods from attributions [repeat][picture]; a method may be in the first repeats alone."""
    methods = {}
    for name in found[0][0]:
        rows = [[one[name] for one in repeat] for repeat in found if name in repeat[0]]
        dtype = np.float64 if name in OF_AREAS else np.float32
        methods[name] = Method(
            np.array([[one.values for one in row] for row in rows], dtype=dtype),
            np.array([[one.gradient_evaluations for one in row] for row in rows], dtype=np.int64),
            np.array([[one.model_evaluations for one in row] for row in rows], dtype=np.int64),
            np.array([[one.largest_gap for one in row] for row in rows], dtype=np.float64),
        )
    return methods


def gather_sampled(found: list[list[list[Masks]]]) -> Sampled:
    """Coalitions [repeat][picture][player] as one array."""
    counts = np.array([[[len(masks) for masks in one] for one in row] for row in found], np.int64)
    coalitions = np.zeros((*counts.shape, counts.max(initial=0)), dtype=np.uint64)
    for place in np.ndindex(counts.shape):
        repeat, picture, player = place
        coalitions[place][: counts[place]] = found[repeat][picture][player]
    return Sampled(coalitions, counts)


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

    There is a group ``methods/<name>`` for each method, with the fields of :class:`Method`, and a
    group ``sampled`` with those of :class:`Sampled`.
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
