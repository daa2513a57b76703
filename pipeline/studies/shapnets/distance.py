"""How far explanations are from exact Shapley values (Section 3, Tables 3 and 6; App. G).

Distances are computed for each output and averaged with the softmax of the scores as weights
(App. G.1). There are three:

* ``relative``: the ℓ1 norm of the difference, divided by the ℓ1 norm of the exact values;
* ``eq. 8``: the same divided by the number of features, which is how Equation 8 is read here;
* ``absolute``: the mean absolute difference over features.

The first two are NaN where all exact values are 0.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from captum.attr import DeepLift
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.arguments import finite, seed_of, whole
from pipeline.core.errors import InputError
from pipeline.core.statistics import known_mean_and_error
from pipeline.models import arguments, fastshap
from pipeline.models.fastshap import Explainer
from pipeline.models.harsanyi import HarsanyiNet
from pipeline.models.shapnets import ShapNet
from pipeline.shapley.games import Game, counted
from pipeline.studies.shapnets.explained import Subject
from pipeline.studies.shapnets.networks import own_values

Floats = NDArray[np.float64]

DISTANCES = ("relative", "eq. 8", "absolute")

OURS, DEEP_SHAP, FAST_SHAP = "ours", "Deep SHAP", "FastSHAP"

EXPLAINER_UNITS, EXPLAINER_RATE = 128, 3e-3
"""Hidden units and learning rate of FastSHAP's explainer."""


def distances(exact: Floats, found: Floats, scores: Floats) -> Floats:
    """The three distances of one explanation: (3,).

    Args:
        exact: (feature, output)
        found: (feature, output)
        scores: (output,) of the network; a single output has weight 1.

    Raises:
        InputError: shapes that do not fit together, NaN or Inf.
    """
    exact, found, scores = finite("exact", exact), finite("found", found), finite("scores", scores)
    fit = exact.ndim == 2 and exact.size and exact.shape == found.shape
    if not fit or scores.shape != exact.shape[1:]:
        raise InputError(
            f"exact of shape {exact.shape}, found of {found.shape}, scores of {scores.shape}: "
            "(feature, output) twice and (output,) are needed"
        )
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    difference = np.abs(found - exact).sum(axis=0)
    size = np.abs(exact).sum(axis=0)
    relative = np.divide(difference, size, out=np.full_like(size, np.nan), where=size > 0)
    n = len(exact)
    return np.array([weights @ relative, weights @ relative / n, weights @ difference / n])


def explanations(
    subject: Subject,
    features: Tensor,
    game: Game,
    samples: Mapping[str, int],
    seed: int,
    explainer: Explainer | None = None,
) -> dict[str, Floats]:
    """Explanations (feature, output) of one row by each method that fits the network.

    Args:
        subject: the network.
        features: (feature,) of the row.
        game: values of its coalitions.
        samples: numbers of samples for Kernel SHAP, by the method's name.
        seed: seed of Kernel SHAP's draws.
        explainer: FastSHAP's explainer, if one was trained for the network.
    """
    found = {}
    network, rows = subject.network, features[None]
    with torch.inference_mode():
        own = own_values(network, rows)
        if own is not None:
            found[OURS] = own[0].double().numpy()
        if explainer is not None:
            told = fastshap.explain(explainer, network, rows, subject.references)
            found[FAST_SHAP] = told.values[0].double().numpy()
    # DeepLIFT's rule for activations does not cover units that are 0 because a child is 0.
    if not isinstance(network, HarsanyiNet):
        found[DEEP_SHAP] = deep_shap(network, rows, subject.references)[0].double().numpy()
    for name, count in samples.items():
        found[name] = kernel_shap(game, count, seed)
    return found


def trained_explainer(
    subject: Subject, features: Tensor, n_outputs: int, steps: int, seed: int
) -> Explainer | None:
    """Train FastSHAP's explainer on rows (sample, feature); None if the network explains itself."""
    network = subject.network
    if own_values(network, features[:1]) is not None:
        return None
    return fastshap.train(
        network,
        features,
        subject.references,
        n_outputs,
        steps=steps,
        hidden=EXPLAINER_UNITS,
        seed=seed,
        learning_rate=EXPLAINER_RATE,
    )


def deep_shap(network: nn.Module, features: Tensor, references: Tensor) -> Tensor:
    """Deep SHAP with one reference, which is DeepLIFT's rescale rule: (sample, feature, output).

    Raises InputError for features of another shape than (sample, feature), and for NaN or Inf in
    the features, the references or the scores.
    """
    weight = arguments.weight_of(network)
    references = arguments.tensor("references", references, weight)
    features = arguments.finite("features", arguments.features_for(features, references))
    if not len(features):
        raise InputError("no features: at least one sample is needed")
    with torch.no_grad():
        n_outputs = arguments.finite(
            "the network's scores", arguments.called(network, features[:1], "features")
        ).shape[1]
    arguments.finite("references", references)
    method = DeepLift(_Scores(network))
    starts = references[None].expand_as(features)
    with warnings.catch_warnings():
        # captum warns each time that it hooks into activations.
        warnings.simplefilter("ignore", UserWarning)
        parts = [method.attribute(features, starts, target=output) for output in range(n_outputs)]
    return torch.stack(parts, dim=2).detach()


class _Scores(nn.Module):
    """A network for captum, which needs each activation to run once, in the explained pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        network = self.network
        scores: Tensor = (
            network.explain(features).scores if isinstance(network, ShapNet) else network(features)
        )
        return scores


def kernel_shap(game: Game, samples: int, seed: int) -> Floats:
    """Kernel SHAP of the shap package, from a number of samples: (feature, output).

    Raises InputError for an invalid game, number of samples or seed, and for NaN or Inf values.
    """
    played, samples, seed = counted(game), whole("samples", samples), seed_of(seed)
    import shap  # noqa: PLC0415  takes seconds to load

    n = played.n_players
    bits = np.uint64(1) << np.arange(n, dtype=np.uint64)

    def values(membership: NDArray[Any]) -> NDArray[np.floating[Any]]:
        return played((membership > 0.5).astype(np.uint64) @ bits).astype(np.float64)

    # The package draws from numpy's global generator.
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(seed % 2**32)  # noqa: NPY002
        explainer = shap.KernelExplainer(values, np.zeros((1, n)))
        found = explainer.shap_values(np.ones((1, n)), nsamples=samples, l1_reg=False, silent=True)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return np.asarray(found, dtype=np.float64).reshape(1, n, -1)[0]


def non_additive(table: Floats) -> float:
    """The share of a table's variance over coalitions that no additive game accounts for.

    Args:
        table: (2**player, output); outputs count by their variance.

    Returns:
        0 for additive games; NaN if nothing varies.

    Raises:
        InputError: an incomplete table, NaN or Inf.
    """
    table = finite("the table", table)
    if table.ndim != 2 or len(table) < 2 or len(table) & (len(table) - 1):
        raise InputError(f"a table of shape {table.shape}: (2**n, output) with n ≥ 1 is needed")
    n = len(table).bit_length() - 1
    numbers = np.arange(len(table))
    total = table.var(axis=0).sum()
    additive = 0.0
    for player in range(n):
        there = (numbers >> player & 1) == 1
        step = table[there].mean(axis=0) - table[~there].mean(axis=0)
        additive += float((step**2).sum()) / 4
    return float(1 - additive / total) if total > 0 else float("nan")


def summary(found: Mapping[tuple[str, str], list[Floats]]) -> list[dict[str, Any]]:
    """One row per network and method: mean distances, standard errors and standard deviations."""
    rows = []
    for (network, method), values in found.items():
        each = np.array(values)
        mean, error = known_mean_and_error(each)
        row: dict[str, Any] = {"network": network, "method": method, "rows": len(each)}
        for place, name in enumerate(DISTANCES):
            row[name] = float(mean[place])
            row[f"{name} error"] = float(error[place])
            row[f"{name} deviation"] = float(error[place] * np.sqrt(len(each)))
        rows.append(row)
    return rows
