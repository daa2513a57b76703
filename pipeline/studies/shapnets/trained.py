"""Train the networks for a table, fold by fold, and measure them on held-out rows."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.arguments import array
from pipeline.core.errors import InputError
from pipeline.core.statistics import known_mean_and_error
from pipeline.data.tables import Table
from pipeline.models import learned_sets
from pipeline.models.learned_sets import Pair
from pipeline.models.shapnets import ShapNet
from pipeline.models.training import fit
from pipeline.studies.shapnets import losses, networks
from pipeline.studies.shapnets.losses import Loss
from pipeline.studies.shapnets.params import (
    ComparedParams,
    ConsistentParams,
    LearnedParams,
    NetworksParams,
    RegularisedParams,
    TrainingParams,
)
from pipeline.studies.shapnets.table_data import Split, features_of, targets_of

Own = ComparedParams | RegularisedParams | ConsistentParams | LearnedParams

Change = Callable[[nn.Module, Tensor], None]
"""Changes a network during training, given the training features (sample, feature)."""

Begun = tuple[nn.Module, Tensor]
"""A network before the first change, and the state of the random numbers then."""

SMALL = 0.01
"""Absolute Shapley values below which a feature counts as unused, for sparsity."""

ALL_PAIRS, LEARNED_PAIRS, RANDOM_PAIRS = "all pairs", "learned pairs", "random pairs"
"""Networks of two layers, by the pairs of features that they keep."""

MEASURES = ("score", "variation", "sparsity")


@dataclass(frozen=True, eq=False)
class Recipe:
    """How one kind of network is made and trained."""

    make: Any
    loss: Loss
    changes: Sequence[Change] = ()
    """applied in turn, each followed by ``epochs`` further epochs"""
    epochs: int = 0


def recipes(
    split: Split, params: NetworksParams, section: Own, seed: int, *, bias: bool
) -> dict[str, Recipe]:
    """Recipes of the networks of a group, by name.

    Args:
        split: the table's rows.
        params: sizes of networks.
        section: the group's section of the parameters.
        seed: seed of the losses' random draws.
        bias: whether networks have a constant that belongs to no player.
    """
    n, n_outputs = split.train.features.shape[1], split.n_outputs
    if isinstance(section, ComparedParams):
        made = networks.builders(n, n_outputs, params, section, bias=bias)
        return {name: Recipe(make, losses.plain) for name, make in made.items()}
    deep = partial(networks.deep, n, n_outputs, params, bias=bias)
    if isinstance(section, RegularisedParams):
        return {
            "deep, l1": Recipe(deep, losses.l1(section.l1)),
            "deep, l infinity": Recipe(deep, losses.l_infinity(section.l_infinity)),
        }
    if isinstance(section, LearnedParams):
        return _learned(n, n_outputs, section, bias=bias)
    return {
        f"deep, consistent {weight:g}": Recipe(
            deep, losses.consistent(weight, section.samples, seed)
        )
        for weight in section.weights
    }


def _learned(n: int, n_outputs: int, section: LearnedParams, *, bias: bool) -> dict[str, Recipe]:
    """Networks that keep the pairs that interact most, as many random pairs, or all pairs."""
    widths, hidden = [section.width, n_outputs], [[section.hidden]] * 2
    make = partial(learned_sets.redundant, n, widths, hidden, bias=bias)

    def by_size(layer: int, network: ShapNet, features: Tensor) -> None:
        sizes = learned_sets.interactions(network, features, layer)
        learned_sets.strip(network, layer, section.kept, sizes)

    def at_random(layer: int, network: ShapNet, _features: Tensor) -> None:
        pairs = learned_sets.pairs_of(network, layer)
        sizes = dict(zip(pairs, torch.rand(len(pairs)).tolist(), strict=True))
        learned_sets.strip(network, layer, section.kept, sizes)

    def not_at_all(_layer: int, _network: ShapNet, _features: Tensor) -> None:
        pass

    return {
        name: Recipe(make, losses.plain, [partial(change, 1), partial(change, 0)], section.epochs)
        for name, change in (
            (ALL_PAIRS, not_at_all),
            (LEARNED_PAIRS, by_size),
            (RANDOM_PAIRS, at_random),
        )
    }


def train_all(
    splits: Sequence[Split],
    made: Mapping[str, Recipe],
    params: TrainingParams,
    description: str,
    most: int | None = None,
) -> tuple[list[dict[str, Any]], dict[str, nn.Module], dict[str, list[list[Pair]]]]:
    """Train each network on all but one fold of the training rows, for each fold and round.

    Args:
        splits: splits of the table, one per round, so that errors include the choice of test rows.
        made: how networks are made and trained.
        params: of the training.
        description: label of the progress bar.
        most: largest number of folds trained on in each round; None: all.

    Returns:
        One row per network, with means over the runs and their standard errors; the networks of the
        first run; and, for networks that change their pairs, the pairs of the first layer in each
        run.
    """
    found: dict[str, nn.Module] = {}
    begun: dict[Any, Begun] = {}
    pairs: dict[str, list[list[Pair]]] = {}
    rows = []
    for name, recipe in made.items():
        runs = []
        for round_number, split in enumerate(splits):
            every = folds(len(split.train), params, round_number)
            for fold, chosen in enumerate(itertools.islice(every, most)):
                network = _trained(
                    split.train[chosen],
                    recipe,
                    params,
                    seed=params.seed + 1000 * round_number + fold,
                    description=f"{description}: {name}, fold {fold + 1}/{params.folds}",
                    begun=begun,
                )
                found.setdefault(name, network)
                if recipe.changes and isinstance(network, ShapNet):
                    pairs.setdefault(name, []).append(learned_sets.pairs_of(network, 0))
                runs.append(measured(network, split))
        mean, error = known_mean_and_error(np.array(runs))
        row: dict[str, Any] = {"network": name, "parameters": networks.count(found[name])}
        row |= dict(zip(MEASURES, mean.tolist(), strict=True))
        row |= {f"{m} error": e for m, e in zip(MEASURES, error.tolist(), strict=True)}
        rows.append(row)
    return rows, found, pairs


def folds(n_rows: int, params: TrainingParams, round_number: int) -> Iterator[NDArray[np.intp]]:
    """Rows to train on, with each fold left out in turn."""
    order = np.random.default_rng([params.seed, round_number]).permutation(n_rows)
    if n_rows < 2 * params.folds:
        raise InputError(
            f"shapnets.training.folds: {params.folds} folds of {n_rows} rows to train on; give "
            "fewer folds, or a larger table"
        )
    for fold in range(params.folds):
        yield np.sort(np.delete(order, np.s_[fold :: params.folds]))


def _trained(
    table: Table,
    recipe: Recipe,
    params: TrainingParams,
    seed: int,
    description: str,
    begun: dict[Any, Begun],
) -> nn.Module:
    """The trained network. Recipes of one group that begin alike share this part by ``begun``."""
    beginning = (recipe.make, recipe.loss, seed)
    is_begun = beginning in begun
    if is_begun:
        network, state = copy.deepcopy(begun[beginning][0]), begun[beginning][1]
        torch.set_rng_state(state)
    else:
        torch.manual_seed(seed)
        network = recipe.make()
    features, targets = features_of(table), targets_of(table)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = np.random.default_rng([seed, epoch]).permutation(len(table))
        for start in range(0, len(table), params.batch):
            some = torch.from_numpy(order[start : start + params.batch])
            yield features[some], targets[some]

    def fitted(epochs: int, before: int) -> None:
        fit(
            network,
            lambda batch: recipe.loss(network, *batch),
            lambda epoch: batches(before + epoch),
            epochs=epochs,
            batches_per_epoch=-(-len(table) // params.batch),
            learning_rate=params.learning_rate,
            description=description,
        )

    if not is_begun:
        fitted(params.epochs, 0)
    if recipe.changes and not is_begun:
        begun[beginning] = copy.deepcopy(network), torch.get_rng_state()
    for number, change in enumerate(recipe.changes):
        change(network, features)
        fitted(recipe.epochs, params.epochs + number * recipe.epochs)
    return network


@torch.inference_mode()
def measured(network: nn.Module, split: Split) -> list[float]:
    """The measures of a network on held-out rows.

    The first is its accuracy, or mean squared error in the target's own unit. The others are the
    coefficient of variation of its explanations' sizes and the share of small ones; they are NaN if
    the network does not explain itself.
    """
    features, targets = features_of(split.test), targets_of(split.test)
    scores, own = network(features), networks.own_values(network, features)
    more = [np.nan, np.nan]
    if own is not None:
        values = own.double().numpy()
        more = [variation(values), float((np.abs(values) < SMALL).mean())]
    if targets.is_floating_point():
        score = float((scores[:, 0] - targets).square().mean()) * split.target[1] ** 2
    else:
        score = float((scores.argmax(dim=1) == targets).double().mean())
    return [score, *more]


def variation(values: NDArray[np.float64]) -> float:
    """Coefficient of variation of |φ| over features, mean over samples and outputs.

    Explanations that are 0 everywhere are left out; NaN if all are.

    Args:
        values: (sample, feature, output)

    Raises:
        InputError: another shape.
    """
    sizes = np.abs(array("values", values))
    if sizes.ndim != 3:
        raise InputError(f"values of shape {sizes.shape}: (sample, feature, output) are needed")
    mean = sizes.mean(axis=1)
    there = mean > 0
    return float((sizes.std(axis=1)[there] / mean[there]).mean()) if there.any() else float("nan")
