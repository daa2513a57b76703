"""Tables of the study, split and scaled for the networks (App. I.2)."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.data import tables
from pipeline.data.tables import Scaling, Table
from pipeline.studies.shapnets.params import OwnTableParams, TablesParams


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to train on and rows to test on, scaled."""

    train: Table
    test: Table
    scaling: Scaling
    """of the features"""
    target: tuple[float, float]
    """mean and standard deviation that the targets were scaled by; 0 and 1 for classes"""

    @property
    def n_outputs(self) -> int:
        """Number of classes, or 1 for numbers."""
        return 1 if self.train.classes is None else len(self.train.classes)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.train.classes or ("target",)


def read_table(
    name: str, params: TablesParams, yeast: str | None = None, own: OwnTableParams | None = None
) -> Table:
    """A table by name.

    Raises:
        InputError: an unknown name, and as the table's own reader.
    """
    if name in ("synthetic", "interactions"):
        return tables.synthetic(params.seed, params.rows, interactions=name == "interactions")
    if name == "breast_cancer":
        return tables.breast_cancer()
    if name == "yeast" and yeast is not None:
        return tables.fetched_yeast() if yeast == "fetch" else tables.yeast(Path(yeast))
    if name == "own" and own is not None:
        return tables.own(Path(own.path), own.target, kind=own.kind, missing=own.missing)
    raise InputError(f"there is no table {name}")


def read_split(
    name: str,
    params: TablesParams,
    yeast: str | None = None,
    own: OwnTableParams | None = None,
    round_number: int = 0,
) -> Split:
    """A table's rows to train on and its held-out rows.

    Each round holds out different rows. Explained networks are those of round 0.
    """
    # Targets of synthetic tables need no scaling: like networks without a bias, they are 0 where
    # features are at their means.
    table = read_table(name, params, yeast, own)
    return split_of(table, params, scale_targets=name == "own", round_number=round_number)


def split_of(
    table: Table, params: TablesParams, *, scale_targets: bool = True, round_number: int = 0
) -> Split:
    """Split a table and scale its features to mean 0 and standard deviation 1 over training rows.

    Targets that are numbers are scaled too if ``scale_targets``; losses are reported in their
    original unit.
    """
    chosen, others = tables.split(len(table), params.held_out, params.seed + round_number)
    train, test = table[chosen], table[others]
    scaling = tables.scaling_of(train.features, train.names)
    target = (0.0, 1.0)
    if table.classes is None and scale_targets:
        sd = float(train.targets.std())
        if sd == 0:
            raise InputError(
                "the target is the same in all training rows; give a table in which it varies"
            )
        target = (float(train.targets.mean()), sd)
    train, test = (
        replace(
            part,
            features=scaling(part.features),
            targets=(part.targets - target[0]) / target[1],
        )
        for part in (train, test)
    )
    return Split(train, test, scaling, target)


def features_of(table: Table) -> Tensor:
    """Features (row, feature) float32."""
    return torch.from_numpy(table.features).float()


def targets_of(table: Table) -> Tensor:
    """Targets: (row,) int64 classes, or float32."""
    targets = torch.from_numpy(table.targets)
    return targets.float() if table.classes is None else targets.long()


def rows_to_explain(split: Split, count: int) -> NDArray[np.intp]:
    """Indices of up to ``count`` test rows, spread evenly."""
    n = len(split.test)
    return np.unique(np.linspace(0, n - 1, min(count, n)).round().astype(np.intp))
