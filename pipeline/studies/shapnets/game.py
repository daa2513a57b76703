"""The games of the study: scores of networks for table rows while some features are absent.

An instance is a row explained by one of the networks: ``<network>, row <number>``. Absent features
take the network's references. Values are scores before any softmax. In a Shapley explanation
network, each layer is evaluated only on coalitions of the features that have met in it
(:mod:`pipeline.models.shapnet_games`). Any other network is evaluated on all coalitions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.core.files import array_digest
from pipeline.models import checkpoints, devices
from pipeline.models.shapnet_games import coalition_values
from pipeline.models.shapnets import ShapNet
from pipeline.store import GameRecord
from pipeline.store.opening import Classes, OpenGame
from pipeline.studies.shapnets.explained import Subject, read_explained
from pipeline.studies.shapnets.params import (
    ComparedParams,
    ExplainedParams,
    NetworksParams,
    OwnTableParams,
    TablesParams,
)
from pipeline.studies.shapnets.table_data import read_split

VERSION = 1
"""Part of the games' identity: values stored under another number are evaluated again."""

AT_ONCE = 1 << 12
"""Coalitions that a network other than a ShapNet evaluates at once."""


def open_game(
    name: str,
    *,
    device: str,
    networks: list[Path],
    tables: TablesParams,
    sizes: NetworksParams,
    compared: ComparedParams,
    explained: ExplainedParams,
    yeast: str | None = None,
    own: OwnTableParams | None = None,
) -> OpenGame:
    """Open the game of a table.

    Args:
        name: name of the table.
        device: where networks other than ShapNets are evaluated.
        networks: checkpoints of the table's networks.
        tables: how tables are made and split.
        sizes, compared: sizes of the networks that are not trained.
        explained: which rows are explained.
        yeast: folder of the table Yeast, or ``fetch``.
        own: the user's table.

    Raises:
        InputError: files or parameters that do not fit together.
    """
    split = read_split(name, tables, yeast, own)
    rows, features, subjects = read_explained(split, networks, sizes, compared, explained)
    return opened(name, subjects, features, rows, split.outputs, devices.resolve(device))


def opened(
    name: str,
    subjects: Sequence[Subject],
    features: Tensor,
    rows: NDArray[np.intp],
    outputs: Sequence[str],
    device: torch.device,
) -> OpenGame:
    """The game of some rows and networks."""
    n = features.shape[1]
    pairs = [(subject, row) for subject in subjects for row in range(len(features))]
    digests = {subject.name: checkpoints.state_digest(subject.network) for subject in subjects}

    def digest(i: int, _classes: Classes) -> str:
        subject, row = pairs[i]
        state = np.frombuffer(digests[subject.name].encode(), dtype=np.uint8)
        return array_digest([state, features[row].numpy(), subject.references.numpy()])

    def tables(indices: Sequence[int], _classes: Classes) -> NDArray[np.floating[Any]]:
        found = []
        for i in indices:
            subject, row = pairs[i]
            found.append(values_of(subject, features[row], device))
        return np.stack(found)

    return OpenGame(
        record=GameRecord(
            study="shapnets",
            game=name,
            n_players=n,
            player="a feature of a row of the table",
            outputs=tuple(outputs),
            value="the network's score, before any softmax, of the row with absent features at "
            "the network's references",
            specification={"table": name, "networks": "each instance is of one"},
            weights_sha256=array_digest([]),
            evaluator_version=VERSION,
            versions={
                "torch": torch.__version__,
                "numpy": np.__version__,
                "zarr": zarr.__version__,
            },
        ),
        instances=tuple(f"{subject.name}, row {rows[row]}" for subject, row in pairs),
        digest=digest,
        tables=tables,
        device=devices.describe(device),
        coordinates={
            "row": np.array([rows[row] for _, row in pairs]),
            "network": np.repeat(np.arange(len(subjects)), len(features)),
        },
    )


def values_of(subject: Subject, features: Tensor, device: torch.device) -> NDArray[np.float32]:
    """Values of all coalitions of a row's features: (2**feature, output)."""
    network = subject.network
    if isinstance(network, ShapNet):
        return coalition_values(network, features).numpy()
    n = len(features)
    if n > 20:
        raise InputError(f"{n} features: all coalitions can be evaluated for at most 20 features")
    found = [
        scores_of(network, features, subject.references, masks, device)
        for masks in np.array_split(np.arange(2**n, dtype=np.uint64), max(1, 2**n // AT_ONCE))
    ]
    return np.concatenate(found)


class RowGame:
    """The game of one row, evaluated on demand, for tables of many features.

    Attributes:
        n_players: number of features.
        outputs: names of the outputs.
    """

    def __init__(self, subject: Subject, features: Tensor, outputs: Sequence[str]) -> None:
        self.n_players, self.outputs = len(features), tuple(outputs)
        self._subject, self._features = subject, features

    def __call__(self, coalitions: NDArray[Any], /) -> NDArray[np.floating[Any]]:
        """Values of coalitions: (m, output)."""
        subject, parts = self._subject, max(1, len(coalitions) // AT_ONCE)
        cpu = torch.device("cpu")
        found = [
            scores_of(subject.network, self._features, subject.references, masks, cpu)
            for masks in np.array_split(coalitions, parts)
        ]
        return np.concatenate(found)


@torch.inference_mode()
def scores_of(
    network: nn.Module,
    features: Tensor,
    references: Tensor,
    masks: NDArray[np.uint64],
    device: torch.device,
) -> NDArray[np.float32]:
    """A network's scores (coalition, output) of a row with some features at their references."""
    there = torch.from_numpy((masks[:, None] >> np.arange(len(features), dtype=np.uint64) & 1) > 0)
    shown = torch.where(there, features, references)
    scores: NDArray[np.float32] = network.to(device)(shown.to(device)).cpu().numpy()
    return scores
