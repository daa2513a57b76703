"""How far explanations are from exact Shapley values (Section 3, Tables 3 and 6; App. G).

Distances are told for each output and weighted by the softmax of the scores (App. G.1). There are
three: the ℓ1 norm of the difference in parts of that of the exact values; the same divided by the
number of features, which is how Equation 8 is read here; and the mean absolute difference of a
feature, which needs no division. Where exact values are all 0 the first two are NaN.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from captum.attr import DeepLift
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.statistics import known_mean_and_error
from pipeline.models.shapnets import ShapNet
from pipeline.shapley.games import Game
from pipeline.studies.shapnets.explained import Subject

Floats = NDArray[np.float64]

DISTANCES = ("relative", "eq. 8", "absolute")

OURS, DEEP_SHAP = "ours", "Deep SHAP"


def distances(exact: Floats, found: Floats, scores: Floats) -> Floats:
    """The three distances of one explanation: (3,).

    Args:
        exact: (feature, output)
        found: (feature, output)
        scores: (output,) of the network; with one output it weighs 1.
    """
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    difference = np.abs(found - exact).sum(axis=0)
    size = np.abs(exact).sum(axis=0)
    relative = np.divide(difference, size, out=np.full_like(size, np.nan), where=size > 0)
    n = len(exact)
    return np.array([weights @ relative, weights @ relative / n, weights @ difference / n])


def explanations(
    subject: Subject, features: Tensor, game: Game, samples: Mapping[str, int], seed: int
) -> dict[str, Floats]:
    """Explanations (feature, output) of one row by each method that there is for the network.

    Args:
        subject: the network.
        features: (feature,) of the row.
        game: values of its coalitions.
        samples: of Kernel SHAP, by the method's name.
        seed: of Kernel SHAP's draws.
    """
    found = {}
    network, rows = subject.network, features[None]
    if isinstance(network, ShapNet):
        with torch.inference_mode():
            found[OURS] = network.explain(rows).layers[-1][0].double().numpy()
    found[DEEP_SHAP] = deep_shap(network, rows, subject.references)[0].double().numpy()
    for name, count in samples.items():
        found[name] = kernel_shap(game, count, seed)
    return found


def deep_shap(network: nn.Module, features: Tensor, references: Tensor) -> Tensor:
    """Deep SHAP with one reference, which is DeepLIFT's rescale rule: (sample, feature, output)."""
    method = DeepLift(_Scores(network))
    starts = references[None].expand_as(features)
    with torch.no_grad():
        n_outputs = network(features[:1]).shape[1]
    with warnings.catch_warnings():
        # It tells each time that it hooks into activations.
        warnings.simplefilter("ignore", UserWarning)
        parts = [method.attribute(features, starts, target=output) for output in range(n_outputs)]
    return torch.stack(parts, dim=2).detach()


class _Scores(nn.Module):
    """A network as explainers want it: each activation is called once, in the explained pass."""

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
    """Kernel SHAP of the shap package, with so many samples: (feature, output)."""
    import shap  # noqa: PLC0415  takes seconds to load

    n = game.n_players
    bits = np.uint64(1) << np.arange(n, dtype=np.uint64)

    def values(membership: NDArray[Any]) -> NDArray[np.floating[Any]]:
        return game((membership > 0.5).astype(np.uint64) @ bits).astype(np.float64)

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
    """The share of a table's variance over coalitions that no sum over players accounts for.

    Args:
        table: (2**player, output); outputs count by their variance.

    Returns:
        0 of additive games; NaN if nothing varies.
    """
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
    """A row a network and method: mean distances over rows, standard errors and deviations."""
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
