"""Harsanyi networks for tables, whose Shapley values are exact in one forward pass.

Chen, Lou, Zhang, Huang and Zhang, "HarsanyiNet: Computing Accurate Shapley Values in a Single
Forward Propagation", ICML 2023. Units have *children*: learned gates choose them among the units of
the layer below and the features. A unit is active only if all its children are non-zero (the
paper's AND operation). A feature counts as 0 where it equals its reference:

    z = ReLU(Σ wᶜ zᶜ) · Π 1[zᶜ ≠ 0]        over the children c

The *field* of a unit is the set of features below it: the union of its children's fields. If one of
them is absent the unit is 0, and features outside the field do not change the unit. So the unit's
contribution to the scores is part of the Harsanyi interaction of its field, and each feature of the
field gets an equal share of it. A feature's Shapley value is the sum of its shares.

As in the paper, scores are linear in the units of all layers, and units have no bias. Three things
differ from the authors' code:

* The units of every layer can choose features.
* The scores have a bias: their value where all features are absent.
* The AND operation is exact in training too; only its gradient is that of a soft version. The
  authors' code has tanh(100 |z|) in place of 1[z ≠ 0].
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.core.arguments import whole
from pipeline.core.errors import InputError
from pipeline.models.arguments import check_state, features_for, tensor

FIRST = (2, 3, 4)
"""Numbers of children that units of the first layer start with, in turn."""

UNITS, FEATURES = 1, 1
"""Units of the layer below and features that units of further layers start with as children. With
more units, few samples would make all children of a unit in a deep layer non-zero."""

GATE = 0.05
"""Initial distance of gates from 0, on either side. Adam's first steps are as large as its learning
rate, so with 1e-3 a gate needs 50 of them to switch."""

SLOPE = 10.0
"""Slope of the sigmoid whose gradient the gates get. It has little effect with Adam."""


class Explained(NamedTuple):
    """Scores of a network, and their Shapley values."""

    scores: Tensor
    """(sample, output)"""
    values: Tensor
    """Shapley values (sample, player, output); their sum plus the bias is the scores"""


class HarsanyiLayer(nn.Module):
    """Units of one layer.

    Args:
        children: (unit, candidate) bool: initial children of each unit.
    """

    def __init__(self, children: Tensor) -> None:
        super().__init__()
        start = children.to(torch.get_default_dtype())
        bound = (3 / start.sum(dim=1, keepdim=True).clamp(min=1)) ** 0.5
        self.gates = nn.Parameter(GATE * (2 * start - 1))
        self.weight = nn.Parameter(bound * torch.empty_like(start).uniform_(-1, 1))

    def forward(self, candidates: Tensor) -> Tensor:
        """Units (sample, unit), from their candidate children (sample, candidate)."""
        soft = torch.sigmoid(SLOPE * self.gates)
        gates = _hard(self.chosen, soft)
        absent = nn.functional.linear((candidates == 0).to(gates.dtype), gates)
        there = _hard(absent == 0, torch.exp(-absent))
        return torch.relu(nn.functional.linear(candidates, self.weight * gates)) * there

    @property
    def chosen(self) -> Tensor:
        """(unit, candidate) bool: a candidate is a child where its gate is above 0."""
        return self.gates > 0


class HarsanyiNet(nn.Module):
    """A Harsanyi network.

    Args:
        n_players: number of features.
        n_outputs: number of scores.
        units: units per layer.
        layers: number of layers.
        references: (feature,) values of absent features; None: all 0.

    Raises:
        InputError: there is no feature, output, unit or layer, or the references have another shape
            or hold NaN or Inf.
    """

    references: Tensor

    def __init__(
        self,
        n_players: int,
        n_outputs: int,
        units: int = 64,
        layers: int = 2,
        references: Tensor | None = None,
    ) -> None:
        super().__init__()
        given_sizes = {"n_players": n_players, "n_outputs": n_outputs, "units": units}
        for name, size in (given_sizes | {"layers": layers}).items():
            whole(name, size, None)
        if min(n_players, n_outputs, units, layers) < 1:
            raise InputError(
                f"{n_players} features, {n_outputs} outputs, {layers} layers of {units} units: "
                "at least one of each is needed"
            )
        given = torch.zeros(n_players) if references is None else tensor("references", references)
        if given.shape != (n_players,) or not torch.isfinite(given).all():
            raise InputError(
                f"references of shape {tuple(given.shape)}: {n_players} numbers needed"
            )
        self.register_buffer("references", given.to(torch.get_default_dtype()))
        starts = [_drawn(units, n_players, itertools.cycle(FIRST))]
        for _ in range(layers - 1):
            below = _drawn(units, units, itertools.repeat(UNITS))
            own = _drawn(units, n_players, itertools.repeat(FEATURES))
            starts.append(torch.cat([below, own], dim=1))
        self.layers = nn.ModuleList(HarsanyiLayer(start) for start in starts)
        self.last = nn.Linear(units * layers, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Scores (sample, output) of features (sample, feature).

        Raises:
            InputError: features have another shape, dtype or device. NaN gives NaN.
        """
        scores: Tensor = self.last(self.units(features))
        return scores

    def explain(self, features: Tensor) -> Explained:
        """Scores and their exact Shapley values, in one forward pass.

        A feature that equals its reference counts as absent, and its values are 0.

        Raises:
            InputError: features have another shape, dtype or device. NaN gives NaN.
        """
        units = self.units(features)
        fields = self.fields().to(units.dtype)
        shares = fields / fields.sum(dim=1, keepdim=True).clamp(min=1)
        # For each output, the units' contributions times the players' shares.
        added = units[:, None, :] * self.last.weight
        return Explained(self.last(units), torch.matmul(added, shares).transpose(1, 2))

    def units(self, features: Tensor) -> Tensor:
        """Units of all layers, lowest first: (sample, layer · unit)."""
        own = features_for(features, self.references) - self.references
        found: list[Tensor] = []
        for layer in self.layers:
            found.append(layer(torch.cat([found[-1], own], dim=1) if found else own))
        return torch.cat(found, dim=1)

    def fields(self) -> Tensor:
        """Features that each unit depends on: (layer · unit, feature) bool."""
        own = torch.eye(len(self.references), dtype=torch.bool, device=self.references.device)
        found: list[Tensor] = []
        for layer in self.layers:
            assert isinstance(layer, HarsanyiLayer)
            below = torch.cat([found[-1], own]) if found else own
            found.append(layer.chosen.float() @ below.float() > 0)
        return torch.cat(found)


def from_state(state: Mapping[str, Tensor]) -> HarsanyiNet:
    """The network of a ``state_dict``, whose shapes give the structure.

    Raises:
        InputError: the state belongs to something else.
    """
    check_state(state)
    try:
        references = state["references"]
        n_outputs = len(state["last.bias"])
        n_layers = sum(name.endswith(".gates") for name in state)
        n_units = len(state["layers.0.gates"])
        found = HarsanyiNet(len(references), n_outputs, n_units, n_layers, references)
        found = found.to(references.dtype)
        found.load_state_dict(dict(state))
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise InputError(f"this is no state of a HarsanyiNet: {error}") from None
    return found


def _hard(chosen: Tensor, soft: Tensor) -> Tensor:
    """Exactly 1 where chosen and 0 elsewhere, with the gradients of ``soft``."""
    return chosen.to(soft.dtype) + (soft - soft.detach())


def _drawn(n_units: int, n_candidates: int, counts: Iterable[int]) -> Tensor:
    """Random candidates for each unit, as many as its count: (unit, candidate) bool."""
    found = torch.zeros(n_units, n_candidates, dtype=torch.bool)
    for row, count in zip(found, counts, strict=False):
        row[torch.randperm(n_candidates)[:count]] = True
    return found
