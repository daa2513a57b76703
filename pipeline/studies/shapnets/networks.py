"""Networks for tables: Shapley explanation networks, and networks to compare them with.

Sizes follow one rule (App. I.2). After layer l of a Deep ShapNet a player has l · ``width``
channels. The inner networks have one hidden layer of ``hidden`` units if l is 1, and otherwise two
of l · ``hidden`` units. A width of 25 and 50 units give the paper's sizes for Yeast and Breast
Cancer, with one exception: the paper counts 100 inputs in layer 2, where two players bring 50.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.models import checkpoints, harsanyi, shapnets
from pipeline.models.harsanyi import HarsanyiNet
from pipeline.models.shapnets import ShapNet
from pipeline.studies.shapnets.params import ComparedParams, NetworksParams

log = logging.getLogger(__name__)

BLOCKS = 4
"""Residual blocks of a plain network."""

HARSANYI_UNITS = 64
"""Units of each of the two layers of a HarsanyiNet."""


class PlainNetwork(nn.Module):
    """A feedforward network with residual connections (Section 3).

    Args:
        n_features: inputs.
        n_outputs: outputs.
        width: units of every hidden layer.
        blocks: residual blocks after the first layer.
    """

    def __init__(self, n_features: int, n_outputs: int, width: int, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.first = nn.Linear(n_features, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.last = nn.Linear(width, n_outputs)
        self.activations = nn.ModuleList(nn.ReLU() for _ in range(blocks + 1))

    def forward(self, features: Tensor) -> Tensor:
        """Scores (sample, output)."""
        first, *others = self.activations
        hidden = first(self.first(features))
        for block, activation in zip(self.blocks, others, strict=True):
            hidden = hidden + activation(block(hidden))
        scores: Tensor = self.last(hidden)
        return scores


def deep(n: int, n_outputs: int, params: NetworksParams, radix: int = 2, **more: Any) -> ShapNet:
    """A Deep ShapNet of n features with the study's sizes."""
    n_layers = len(shapnets.butterfly(n, radix))
    widths = [params.width * (layer + 1) for layer in range(n_layers - 1)]
    hidden = [[params.hidden * (layer + 1)] * min(layer + 1, 2) for layer in range(n_layers)]
    return shapnets.deep(n, [*widths, n_outputs], hidden, radix=radix, **more)


def builders(
    n: int, n_outputs: int, params: NetworksParams, compared: ComparedParams, *, bias: bool
) -> dict[str, Callable[[], nn.Module]]:
    """Functions that make the networks of Table 1 and Deep ShapNets of other depths, by name.

    Args:
        n: number of features.
        n_outputs: number of outputs.
        params: sizes of Deep ShapNets.
        compared: sizes of the networks that they are compared with.
        bias: whether Shapley explanation networks have a constant that belongs to no player.
    """
    plain = deep(n, n_outputs, params, bias=bias)
    size, cost = count(plain), products(plain)
    pairs = n_outputs, [compared.shallow]
    singles = [(i,) for i in range(n)]
    found: dict[str, Callable[[], nn.Module]] = {
        "deep": lambda: deep(n, n_outputs, params, bias=bias),
        "shallow": lambda: shapnets.shallow(n, *pairs, bias=bias),
        "gam": lambda: shapnets.shallow(n, *pairs, sets=singles, bias=bias),
        "harsanyi": lambda: HarsanyiNet(n, n_outputs, HARSANYI_UNITS),
        "dnn, equal computation": lambda: plain_network(n, n_outputs, cost),
        "dnn, equal parameters": lambda: plain_network(n, n_outputs, size),
    }
    for radix in compared.radix:
        if radix > n:
            log.warning(
                "shapnets.compared.radix: %d is left out, since the table has %d features", radix, n
            )
        else:
            found[f"deep, radix {radix}"] = partial(deep, n, n_outputs, params, radix, bias=bias)
    return found


def plain_network(n: int, n_outputs: int, size: int) -> PlainNetwork:
    """The smallest plain network with at least ``size`` parameters, or products."""
    width = 1
    while BLOCKS * width**2 + (n + n_outputs + BLOCKS + 1) * width < size:
        width += 1
    return PlainNetwork(n, n_outputs, width)


def count(network: nn.Module) -> int:
    """Number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def own_values(network: nn.Module, features: Tensor) -> Tensor | None:
    """A network's own explanation (sample, feature, output); None if it gives none."""
    if isinstance(network, ShapNet):
        return network.explain(features).layers[-1]
    return network.explain(features).values if isinstance(network, HarsanyiNet) else None


def products(network: ShapNet) -> int:
    """Number of multiplications to explain one sample."""
    found = 0
    for layer in network.layers:
        assert isinstance(layer, shapnets.ShapleyLayer)
        for group in layer.groups:
            assert isinstance(group, shapnets.ShapleyModules)
            n_subsets, k = 2 ** group.sets.shape[1], group.sets.shape[1]
            inner = sum(weight.numel() for weight in group.weights[:-1])
            found += group.first.numel() + n_subsets * inner + k * group.weights[-1].numel()
    return found


def save(path: Path, networks: Mapping[str, nn.Module]) -> None:
    """Write networks with their names to one checkpoint."""
    each = nn.ModuleDict({str(i): network for i, network in enumerate(networks.values())})
    kinds = [type(network).__name__ for network in networks.values()]
    checkpoints.save(path, each, {"names": list(networks), "kinds": kinds})


def load(path: Path) -> dict[str, nn.Module]:
    """The inverse of :func:`save`.

    Raises:
        InputError: any other checkpoint.
    """
    description, state = checkpoints.load(path)
    try:
        names, kinds = description["names"], description["kinds"]
    except KeyError:
        raise InputError(f"{path}: holds no networks of this study") from None
    found = {}
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        own = {k.removeprefix(f"{i}."): v for k, v in state.items() if k.startswith(f"{i}.")}
        found[name] = _FROM_STATE[kind](own).eval()
    return found


def _plain_from_state(state: Mapping[str, Tensor]) -> PlainNetwork:
    width, n = state["first.weight"].shape
    blocks = sum(name.startswith("blocks.") and name.endswith("weight") for name in state)
    found = PlainNetwork(n, len(state["last.weight"]), width, blocks)
    found.load_state_dict(dict(state))
    return found


_FROM_STATE: dict[str, Callable[[Mapping[str, Tensor]], nn.Module]] = {
    "ShapNet": shapnets.from_state,
    "PlainNetwork": _plain_from_state,
    "HarsanyiNet": harsanyi.from_state,
}
