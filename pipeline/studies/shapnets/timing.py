"""Time of one explanation (App. F, Table 5), with the networks of App. I.1."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.models import fastshap, shapnets
from pipeline.models.fastshap import Explainer
from pipeline.models.harsanyi import HarsanyiNet
from pipeline.models.shapnets import ShapNet
from pipeline.studies.shapnets.distance import EXPLAINER_UNITS, deep_shap, kernel_shap
from pipeline.studies.shapnets.explained import subject_of
from pipeline.studies.shapnets.game import RowGame
from pipeline.studies.shapnets.networks import HARSANYI_UNITS, PlainNetwork, own_values

FEATURES = 16
KERNEL = {"Kernel SHAP (40)": 40, "Kernel SHAP (77)": 77, "Kernel SHAP (default)": 2080}
WIDTH = 8
"""Channels between layers of the Deep ShapNet; the paper does not give their number."""

SECONDS = 3.0
"""Total seconds of one network and method after which no further run starts."""


def timed_networks(seed: int) -> dict[str, nn.Module]:
    """The three networks, and two with exact explanations; all untrained."""
    torch.manual_seed(seed)
    found: dict[str, nn.Module] = {
        "Deep ShapNet": shapnets.deep(FEATURES, [WIDTH] * 3 + [1], [[100]] * 4),
        "Shallow ShapNet": shapnets.shallow(FEATURES, 1, [100]),
        "HarsanyiNet": HarsanyiNet(FEATURES, 1, HARSANYI_UNITS),
        "DNN (eq. comp.)": PlainNetwork(FEATURES, 1, 1800, blocks=7),
        "DNN (eq. param.)": PlainNetwork(FEATURES, 1, 123, blocks=10),
    }
    return {name: network.eval() for name, network in found.items()}


def times(runs: int, seed: int) -> list[dict[str, Any]]:
    """One row per network and method: median seconds of one explanation, and the quartiles."""
    rows = []
    for name, network in timed_networks(seed).items():
        for method, explain in _methods(network, seed).items():
            explain()  # warm-up: loads or prepares what is needed once
            seconds = _seconds(explain, runs)
            first, median, third = np.quantile(seconds, [0.25, 0.5, 0.75]).tolist()
            row = {"network": name, "method": method, "runs": len(seconds), "seconds": median}
            rows.append({**row, "first quartile": first, "third quartile": third})
    return rows


def _methods(network: nn.Module, seed: int) -> dict[str, Callable[[], object]]:
    features = torch.randn(1, FEATURES, generator=torch.Generator().manual_seed(seed))
    subject = subject_of("", network)
    game = RowGame(subject, features[0], ("0",))
    found: dict[str, Callable[[], object]] = {}
    if isinstance(network, ShapNet | HarsanyiNet):
        found["ours"] = torch.inference_mode()(lambda: own_values(network, features))
    else:
        explainer = Explainer(FEATURES, 1, EXPLAINER_UNITS).eval()
        found["FastSHAP"] = lambda: fastshap.explain(
            explainer, network, features, subject.references
        )
    if not isinstance(network, HarsanyiNet):
        found["Deep SHAP"] = lambda: deep_shap(network, features, subject.references)
    for name, samples in KERNEL.items():
        found[name] = lambda samples=samples: kernel_shap(game, samples, seed)  # type: ignore[misc]
    return found


def _seconds(explain: Callable[[], object], runs: int) -> NDArray[np.float64]:
    found: list[float] = []
    while len(found) < runs and (len(found) < 2 or sum(found) < SECONDS):
        start = time.perf_counter()
        explain()
        found.append(time.perf_counter() - start)
    return np.array(found)
