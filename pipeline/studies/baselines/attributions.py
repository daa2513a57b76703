"""The attributions of a picture by all methods that are compared.

* ``ig_zero``, ``ig_mean``, ``ig_random``: Integrated Gradients from the paper's three usual
  baselines: zero, the mean of the training pictures, some training pictures at random;
* ``sig_baselines``, ``sig_inputs``, ``sig_both``: Shapley Integrated Gradients by proposals 1, 2
  and 1 + 2 (:mod:`pipeline.studies.baselines.integrated`), all from one sample of Algorithm 1;
* ``sig_baselines_larger``, ``sig_baselines_smaller``: proposal 1 with coalitions of larger and of
  smaller areas (:mod:`pipeline.studies.baselines.sizes`), only in the first repeat;
* ``sig_baselines_own`` or ``sig_baselines_all``: proposal 1 with the other rule for which
  coalitions count;
* ``effective``, ``effective_unsampled``: Effective Shapley values of the areas, from the same
  sample; the latter from all effective coalitions drawn, without the second sampling;
* ``permutation``, ``permutation_pairs``: permutation sampling of the areas at as many evaluations,
  by single orders, and by orders together with their reverses;
* ``exact``: Shapley values of the areas from all coalitions.

A method's values are of pixels or of areas. Methods shared with
:mod:`pipeline.studies.baselines.estimates` have the same names there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.shapley import shapley_values
from pipeline.shapley.coalitions import Masks
from pipeline.shapley.games import Game
from pipeline.shapley.permutation import permutation_values as paired_permutation_values
from pipeline.store import CoalitionStore
from pipeline.store.stored_game import StoredGame
from pipeline.studies.baselines.areas import Areas
from pipeline.studies.baselines.attribution_files import (
    EXACT,
    OF_AREAS,
    SIG_ALL,
    SIG_LARGER,
    SIG_OWN,
    SIG_SMALLER,
    Attributions,
    Method,
    Sampled,
)
from pipeline.studies.baselines.effective import EffectiveShapley
from pipeline.studies.baselines.estimates import permutation_values
from pipeline.studies.baselines.explained import Explained, Shown, targets_of, unit_of
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
from pipeline.studies.baselines.sizes import sample_coalitions, with_areas

IG = ("ig_zero", "ig_mean", "ig_random")
SIG: dict[str, Proposal] = {
    "sig_baselines": "baselines",
    "sig_inputs": "inputs",
    "sig_both": "both",
}


@dataclass(frozen=True, eq=False)
class One:
    """One attribution of one picture."""

    values: NDArray[np.floating]
    """(*shape) of pixels, or (player,) of areas"""
    gradient_evaluations: int
    model_evaluations: int
    """distinct coalitions of areas for which the model was evaluated"""
    largest_gap: float
    """of the quadrature, over lines; NaN if the method does not integrate"""


def attribute(
    explained: Explained,
    store: CoalitionStore,
    training: Tensor,
    params: AttributionsParams,
    *,
    source: str,
    others: Mapping[str, Areas] | None = None,
    advance: Callable[[], object],
) -> Attributions:
    """Attribute the scores of pictures by all methods.

    Algorithm 1 reads its coalitions from the store. Only gradients, and coalitions of ``others``,
    are evaluated.

    Args:
        explained: the pictures and the model.
        store: values of all coalitions of their areas.
        training: (picture, *shape) training pictures, the source of baselines.
        params: of the methods.
        source: where the pictures come from, for the record.
        others: areas ``larger`` and ``smaller`` than those with known exact values.
        advance: called after each picture and repeat.
    """
    mean = baseline_pictures("mean", training).to(explained.pictures)
    baselines = {"ig_zero": torch.zeros_like(mean), "ig_mean": mean}
    at_once = explained.batch_size(gradients=True)
    targets = targets_of(store)
    found: list[list[dict[str, One]]] = [[] for _ in range(params.repeats)]
    sampled: list[list[list[Masks]]] = [[] for _ in range(params.repeats)]
    for i in range(len(explained.instances)):
        stored, shown = StoredGame(store, i), explained.shown(i, int(targets[i]))
        for repeat in range(params.repeats):
            seed = np.random.SeedSequence([params.seed, repeat, int(explained.numbers[i])])
            one, kept = attribute_at_random(shown, stored, training, params, seed, at_once)
            if repeat == 0:
                fixed = integrated_once(shown, baselines, params, at_once)
                exact = shapley_values(store.read(i))[:, 0]
                one = {**fixed, **one, EXACT: One(exact, 0, store.record.rows, float("nan"))}
                one |= _with_others(explained, shown, others or {}, params, seed)
            found[repeat].append(one)
            sampled[repeat].append(kept)
            advance()
    seconds = explained.seconds
    return Attributions(
        model=explained.model,
        unit=unit_of(store.record),
        source=source,
        identity=store.record.identity,
        instances=explained.instances,
        classes=explained.classes,
        labels=explained.labels,
        targets=targets if explained.second_labels is None else explained.second_labels,
        pictures=explained.pictures.cpu().numpy(),
        seconds=None if seconds is None else seconds.cpu().numpy(),
        areas=explained.areas,
        methods=gather(found),
        sampled=gather_sampled(sampled),
    )


def integrated_once(
    shown: Shown,
    baselines: Mapping[str, Tensor],
    params: AttributionsParams,
    batch_size: int,
) -> dict[str, One]:
    """Integrated Gradients from given baselines, by their names.

    Args:
        shown: the picture.
        baselines: (baseline, *shape) of each method.
        params: rule and ``plain_steps`` of the quadrature.
        batch_size: points per call of the model.
    """
    return {
        name: _of_pixels(
            integrated_gradients(
                shown.scores,
                shown.picture,
                given,
                steps=params.plain_steps,
                rule=params.quadrature,
                batch_size=batch_size,
            )
        )
        for name, given in baselines.items()
    }


def attribute_at_random(
    shown: Shown,
    game: Game,
    training: Tensor,
    params: AttributionsParams,
    seed: np.random.SeedSequence,
    batch_size: int,
) -> tuple[dict[str, One], list[Masks]]:
    """Attributions that depend on draws: all except IG from zero and mean, and the exact values.

    Args:
        shown: the picture.
        game: of the picture's areas, one output: the score of masked pictures.
        training: (picture, *shape), from which random baselines are drawn.
        params: of the methods.
        seed: the same seed gives the same result.
        batch_size: points per call of the model.

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
    found = {
        **integrated_once(shown, {"ig_random": drawn}, params, batch_size),
        **shapley_integrated(shown, sample, params, batch_size),
        **values_of_areas(game, sample, of_orders),
    }
    return found, [player.coalitions for player in sample.samples]


def shapley_integrated(
    shown: Shown, sample: EffectiveShapley, params: AttributionsParams, batch_size: int
) -> dict[str, One]:
    """Shapley Integrated Gradients by all proposals, from one sample of coalitions.

    Args:
        shown: the picture.
        sample: of Algorithm 1.
        params: rule and ``steps`` of the quadrature, and which coalitions count.
        batch_size: points per call of the model.
    """
    given: dict[str, Any] = {
        "baseline": shown.absent,
        "steps": params.steps,
        "rule": params.quadrature,
        "batch_size": batch_size,
    }
    picture = shown.scores, shown.picture, shown.areas, [one.coalitions for one in sample.samples]
    from_coalitions = counted_both_ways(*picture, **given)
    to_coalitions = shapley_integrated_gradients(
        *picture, proposal="inputs", counted=params.counted, **given
    )
    first = _of_pixels(from_coalitions[params.counted], sample.evaluations)
    second = _of_pixels(to_coalitions, sample.evaluations)
    # By definition the sum of both, so no gradient is evaluated again.
    both = One(
        first.values + second.values,
        first.gradient_evaluations + second.gradient_evaluations,
        sample.evaluations,
        max(first.largest_gap, second.largest_gap),
    )
    other, name = other_counted(params.counted)
    return {
        "sig_baselines": first,
        "sig_inputs": second,
        "sig_both": both,
        name: _of_pixels(from_coalitions[other], sample.evaluations),
    }


def values_of_areas(
    game: Game, sample: EffectiveShapley, seed: np.random.SeedSequence
) -> dict[str, One]:
    """Effective Shapley values of areas, and permutation sampling at as many evaluations."""
    nothing = float("nan")
    found = {
        name: One(values, 0, sample.evaluations, nothing)
        for name, values in (
            ("effective", sample.values),
            ("effective_unsampled", sample.unsampled),
        )
    }
    budget = max(sample.evaluations, 2 * game.n_players)
    for name, estimate in (
        ("permutation", permutation_values(game, budget=budget, seed=seed)),
        ("permutation_pairs", paired_permutation_values(game, budget=budget, seed=seed)),
    ):
        found[name] = One(estimate.values[:, 0], 0, estimate.evaluations, nothing)
    return found


def other_counted(counted: Counted) -> tuple[Counted, str]:
    """The rule that the parameters do not use, and the name of the method that uses it."""
    return ("own", SIG_OWN) if counted == "all" else ("all", SIG_ALL)


def _with_others(
    explained: Explained,
    shown: Shown,
    others: Mapping[str, Areas],
    params: AttributionsParams,
    seed: np.random.SeedSequence,
) -> dict[str, One]:
    """Proposal 1 with coalitions of other areas."""
    names = {"larger": SIG_LARGER, "smaller": SIG_SMALLER}
    return {
        names[size]: _of_pixels(
            *with_areas(
                shown,
                areas,
                params,
                own,
                evaluated_at_once=explained.batch_size(),
                batch_size=explained.batch_size(gradients=True),
            )
        )
        for (size, areas), own in zip(others.items(), seed.spawn(len(others)), strict=True)
    }


def _of_pixels(attribution: Attribution, model_evaluations: int = 0) -> One:
    return One(
        attribution.values.cpu().numpy(),
        attribution.gradient_evaluations,
        model_evaluations,
        attribution.largest_gap,
    )


def gather(found: list[list[dict[str, One]]]) -> dict[str, Method]:
    """Methods from attributions [repeat][picture]; some methods exist only in the first repeat."""
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
