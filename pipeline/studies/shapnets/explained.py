"""The explained networks of a table with their references, including two untrained networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.models import shapnets
from pipeline.models.arguments import check_kind, weight_of
from pipeline.models.harsanyi import HarsanyiNet
from pipeline.models.shapnets import ShapNet
from pipeline.studies.shapnets import networks
from pipeline.studies.shapnets.params import ComparedParams, ExplainedParams, NetworksParams
from pipeline.studies.shapnets.table_data import Split, features_of, rows_to_explain

EXPLAINED = ("deep", "shallow", "harsanyi", "dnn, equal parameters")
"""Networks whose explanations are compared with exact values, as are all variants of ``deep``."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, and the values that replace absent features."""

    name: str
    network: nn.Module
    references: Tensor
    """(feature,)"""


def read_explained(
    split: Split,
    paths: Sequence[Path],
    sizes: NetworksParams,
    compared: ComparedParams,
    params: ExplainedParams,
) -> tuple[NDArray[np.intp], Tensor, list[Subject]]:
    """Numbers of the rows to explain, their features (row, feature), and the networks.

    Args:
        split: the table's rows.
        paths: checkpoints of its networks.
        sizes, compared: sizes of the networks that are not trained.
        params: which rows are explained.
    """
    rows = rows_to_explain(split, params.rows)
    features = features_of(split.test)[torch.from_numpy(rows)]
    n, n_outputs = features.shape[1], split.n_outputs
    subjects = read_subjects(paths, n, n_outputs, sizes, compared.shallow, params.seed)
    return rows, features, subjects


def read_subjects(
    paths: Sequence[Path], n: int, n_outputs: int, sizes: NetworksParams, shallow: int, seed: int
) -> list[Subject]:
    """The networks to explain from some checkpoints, and two untrained ones."""
    found = [
        subject_of(name, network)
        for path in paths
        for name, network in networks.load(path).items()
        if name in EXPLAINED or name.startswith("deep, ")
    ]
    torch.manual_seed(seed)
    untrained = {
        "deep, untrained": networks.deep(n, n_outputs, sizes),
        "shallow, untrained": shapnets.shallow(n, n_outputs, [shallow]),
    }
    return found + [subject_of(name, network.eval()) for name, network in untrained.items()]


def subject_of(name: str, network: nn.Module) -> Subject:
    """A network with its own references, or with zeros, which are the features' means.

    Raises InputError unless it is a network whose first weights are those of a linear layer.
    """
    check_kind("network", network, nn.Module)
    if isinstance(network, ShapNet | HarsanyiNet):
        return Subject(name, network, network.references)
    first = weight_of(network)
    if first is None or first.ndim != 2:
        raise InputError(
            f"network: the first weights of {type(network).__name__} are not those of a linear "
            "layer, so its number of features is unknown"
        )
    return Subject(name, network, torch.zeros(first.shape[1]))
