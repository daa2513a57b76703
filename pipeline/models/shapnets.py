"""Shapley explanation networks for tables: layers pass on explanations.

Wang, Wang and Inouye, "Shapley Explanation Networks", ICLR 2021. A *Shapley module* is an inner
network of a few players, its active set. It gives each of them its Shapley value (Definitions 1
and 7), with references in place of the absent ones. A *Shallow ShapNet* sums modules, so its
explanations are its own Shapley values (Theorem 2). A *Deep ShapNet* passes the values on to
further modules, with references of 0; its explanations sum to its output (Theorem 3).

All modules of a layer are evaluated at once, with fewer than 2ᵏ evaluations:

* their first linear layer is applied once to each player, and 2ᵏ sums of the products are taken;
* their last layer commutes with Definition 1 (Lemma 1), so it is applied to k combinations;
* the sum over players alone needs only two evaluations, and the evaluation at the references is
  shared by the whole batch.

Internally, players come first: (player, sample, channel).
"""

import copy
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from math import comb
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from pipeline.core.arguments import real, whole, wholes
from pipeline.core.errors import InputError
from pipeline.models.arguments import check_state, features_for, finite, tensor

MOST = 8
"""Most players of an active set; all 2ᵏ combinations of them are evaluated."""


class Explained(NamedTuple):
    """Scores of a network, and their explanation."""

    scores: Tensor
    """(sample, output)"""
    layers: tuple[Tensor, ...]
    """the Shapley representation (sample, player, channel) of each layer; the last one is the
    explanation (sample, player, output)"""


class ShapleyModules(nn.Module):
    """Shapley modules whose active sets have the same size.

    Args:
        sets: (module, k) players of each module.
        channels: channels of each player.
        hidden: widths of the hidden layers of the inner networks, at least one.
        n_outputs: outputs of the inner networks.
    """

    sets: Tensor

    def __init__(
        self, sets: Sequence[Sequence[int]], channels: int, hidden: Sequence[int], n_outputs: int
    ) -> None:
        super().__init__()
        self.register_buffer("sets", torch.tensor(sets, dtype=torch.int64))
        n_modules, k = self.sets.shape
        self.first = _weights(n_modules, k, channels, hidden[0], fan_in=k * channels)
        pairs = itertools.pairwise([*hidden, n_outputs])
        self.weights = nn.ParameterList(_weights(n_modules, a, b, fan_in=a) for a, b in pairs)
        fans = [k * channels, *hidden[:-1]]
        self.biases = nn.ParameterList(
            _weights(n_modules, 1, width, fan_in=fan)
            for fan, width in zip(fans, hidden, strict=True)
        )
        self.activations = nn.ModuleList(nn.ReLU() for _ in hidden)

    def forward(self, x: Tensor, references: Tensor | None) -> Tensor:
        """Shapley values of the active players: (module · k, sample, output).

        Args:
            x: (player, sample, channel)
            references: (player, 1, channel); None: all 0.
        """
        return self.values(self.products(x), self._other(references)).flatten(0, 1)

    def pruned(self, x: Tensor, references: Tensor | None, active: Tensor) -> tuple[Tensor, float]:
        """As :meth:`forward`, skipping modules for samples in which no player of theirs is active.

        All modules are given as many rows as the module with the most active samples.

        Args:
            x, references: as for :meth:`forward`; inactive players must be at their references.
            active: (player, sample) bool.

        Returns:
            (module · k, sample, output), and the share of rows computed.
        """
        wanted = active[self.sets].any(dim=1)  # (module, sample)
        rows = int(wanted.sum(dim=1).max())
        chosen = wanted.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :rows]
        modules = torch.arange(len(self.sets), device=x.device)[:, None, None]
        given = x[self.sets[:, :, None], chosen[:, None]]  # (module, k, row, channel)
        own = torch.bmm(given.flatten(0, 1), self.first.flatten(0, 1))
        values = self.values(own.unflatten(0, self.sets.shape), self._other(references))
        found = values.new_zeros(*self.sets.shape, x.shape[1], values.shape[3])
        places = torch.arange(self.sets.shape[1], device=x.device)[:, None]
        found[modules, places, chosen[:, None]] = (
            values * wanted.gather(1, chosen)[:, None, :, None]
        )
        return found.flatten(0, 1), rows / max(1, x.shape[1])

    def some(self, modules: Sequence[int]) -> "ShapleyModules":
        """A subset of the modules, with the same weights."""
        found = copy.copy(self)
        found._buffers = {**self._buffers, "sets": self.sets[list(modules)]}
        found._parameters = {"first": nn.Parameter(self.first[list(modules)])}
        found._modules = dict(self._modules)
        for name in ("weights", "biases"):
            chosen = nn.ParameterList(each[list(modules)] for each in getattr(self, name))
            found._modules[name] = chosen
        return found

    def values(self, own: Tensor, other: Tensor | None) -> Tensor:
        """Shapley values (module, k, row, output) from the result of :meth:`products`.

        Args:
            own: (module, k, row, hidden) for the players.
            other: (module, k, 1, hidden) for their references; None: all 0.
        """
        # Sums over the players present, and over the references of the absent ones.
        start = self.biases[0] if other is None else other.sum(dim=1) + self.biases[0]
        n_modules, k = self.sets.shape
        sums = [start.expand(n_modules, own.shape[2], own.shape[3])]
        steps = (own if other is None else own - other).unbind(1)
        for number in range(1, 2**k):
            # A subset is the subset without its last member, plus that member.
            last = number.bit_length() - 1
            sums.append(sums[number - (1 << last)] + steps[last])
        hidden = self._after_first(torch.stack(sums, dim=1))
        shares = shares_of(k, hidden).expand(n_modules, -1, -1)
        parts = torch.bmm(shares, hidden.flatten(2)).view(n_modules, -1, hidden.shape[-1])
        return torch.bmm(parts, self.weights[-1]).unflatten(1, (k, -1))

    def total(self, x: Tensor, references: Tensor | None) -> Tensor:
        """The sum of each module's Shapley values, f(x) − f(r): (module, sample, output)."""
        return self.total_of(self.products(x).sum(dim=1), self._other(references))

    def total_of(self, sums: Tensor, other: Tensor | None) -> Tensor:
        """As :meth:`total`, from sums of products over each module's players."""
        nobody = self.biases[0] if other is None else other.sum(dim=1) + self.biases[0]
        there = self._after_first(sums + self.biases[0])
        return torch.bmm(there - self._after_first(nobody), self.weights[-1])

    def products(self, x: Tensor) -> Tensor:
        """The first layer, applied to each player alone: (module, k, sample, hidden)."""
        products = torch.bmm(x.index_select(0, self.sets.flatten()), self.first.flatten(0, 1))
        return products.unflatten(0, self.sets.shape)

    def _other(self, references: Tensor | None) -> Tensor | None:
        return None if references is None else self.products(references)

    def _after_first(self, sums: Tensor) -> Tensor:
        """Inputs of the last layer, from outputs of the first: (module, …, row, hidden)."""
        hidden = self._activated(0, sums)
        # Slicing a list of parameters would create a module, which takes longer than all the rest.
        for number in range(1, len(self.biases)):
            weight, bias = self.weights[number - 1], self.biases[number]
            deeper = torch.baddbmm(bias, hidden.flatten(1, -2), weight)
            hidden = self._activated(number, deeper.unflatten(1, hidden.shape[1:-1]))
        return hidden

    def _activated(self, number: int, hidden: Tensor) -> Tensor:
        """Units of one layer. The module gets samples first, as explainers with hooks expect."""
        found: Tensor = self.activations[number](hidden.movedim(-2, 0)).movedim(0, -2)
        return found


class ShapleyLayer(nn.Module):
    """A Shapley transform (Definition 3): modules of any active sets, summed for each player.

    Args:
        sets: players of each module.
        n_players: total number of players; players in no set have the value 0.
        channels, hidden, n_outputs: as for :class:`ShapleyModules`.

    Raises:
        InputError: a set is empty, too large, or names a player twice or one that does not exist.
    """

    order: Tensor | None

    def __init__(
        self,
        sets: Sequence[Sequence[int]],
        n_players: int,
        channels: int,
        hidden: Sequence[int],
        n_outputs: int,
    ) -> None:
        super().__init__()
        check_sets(sets, n_players)
        if not hidden or min(hidden) < 1:
            raise InputError(f"hidden layers {list(hidden)}: at least one is needed, with units")
        by_size = itertools.groupby(sorted(sets, key=len), key=len)
        made = [ShapleyModules(list(some), channels, hidden, n_outputs) for _, some in by_size]
        # A player gets a sum over modules. Initially it is scaled to the size of a single summand.
        shared = max(Counter(itertools.chain(*sets)).values()) ** 0.5
        with torch.no_grad():
            for group in made:
                group.weights[-1] /= shared
        self.groups = nn.ModuleList(made)
        self.n_players, self.n_outputs = n_players, n_outputs
        # Where every player is in one set, values only need to be reordered.
        flat = torch.tensor(list(itertools.chain(*sets)))
        is_one_each = len(made) == 1 and torch.equal(flat.sort().values, torch.arange(n_players))
        self.register_buffer("order", flat.argsort() if is_one_each else None, persistent=False)

    def forward(self, x: Tensor, references: Tensor | None) -> Tensor:
        """Shapley values of all players: (player, sample, output)."""
        groups = _each(self.groups, ShapleyModules)
        if self.order is not None:
            found: Tensor = groups[0](x, references).index_select(0, self.order)
            return found
        found = x.new_zeros(self.n_players, x.shape[1], self.n_outputs)
        for group in groups:
            values = group(x, references)
            found = found.to(values.dtype).index_add(0, group.sets.flatten(), values)
        return found

    def pruned(
        self, x: Tensor, references: Tensor | None, threshold: float
    ) -> tuple[Tensor, float]:
        """As :meth:`forward`, with players within the threshold of their references set to them.

        Modules are skipped for samples in which no player is further away. Also returns the share
        of rows computed.
        """
        nobody = x.new_zeros(()) if references is None else references
        active = (x - nobody).abs().amax(dim=2) > threshold
        x = torch.where(active[:, :, None], x, nobody)
        found, computed, every = x.new_zeros(self.n_players, x.shape[1], self.n_outputs), 0.0, 0
        for group in _each(self.groups, ShapleyModules):
            values, share = group.pruned(x, references, active)
            found.index_add_(0, group.sets.flatten(), values)
            computed, every = computed + share * len(group.sets), every + len(group.sets)
        return found, computed / every

    def total(self, x: Tensor, references: Tensor | None) -> Tensor:
        """The Shapley values summed over players: (sample, output)."""
        groups = _each(self.groups, ShapleyModules)
        return torch.stack([group.total(x, references).sum(dim=0) for group in groups]).sum(0)


class ShapNet(nn.Module):
    """A Deep ShapNet (Definition 8), or with one layer a Shallow ShapNet (Definition 5).

    Args:
        layers: active sets of each layer's modules.
        n_players: number of features.
        widths: channels that each layer gives a player; the last number is the number of outputs.
        hidden: widths of the hidden layers of each layer's inner networks.
        references: (feature,) values of absent features.
        bias: whether a learned constant is added to the scores. It belongs to no player, so the
            explanation sums to the scores minus the bias.

    Raises:
        InputError: as :class:`ShapleyLayer`, the numbers of layers do not match, or the references
            have a wrong length or are not finite.
    """

    references: Tensor

    def __init__(
        self,
        layers: Sequence[Sequence[Sequence[int]]],
        n_players: int,
        widths: Sequence[int],
        hidden: Sequence[Sequence[int]],
        references: Tensor | None = None,
        *,
        bias: bool = False,
    ) -> None:
        super().__init__()
        n_players, widths, hidden = (
            whole("n_players", n_players),
            wholes("widths", widths),
            _hidden(hidden),
        )
        if not len(layers) == len(widths) == len(hidden) >= 1:
            raise InputError(
                f"{len(layers)} layers of active sets, {len(widths)} widths and {len(hidden)} "
                "lists of hidden layers: give one of each per layer"
            )
        given = torch.zeros(n_players) if references is None else tensor("references", references)
        if given.shape != (n_players,) or not torch.isfinite(given).all():
            raise InputError(
                f"references of shape {tuple(given.shape)}: {n_players} numbers needed"
            )
        self.register_buffer("references", given.to(torch.get_default_dtype()))
        self.layers = nn.ModuleList(
            ShapleyLayer(sets, n_players, channels, inner, width)
            for sets, channels, inner, width in zip(
                layers, [1, *widths[:-1]], hidden, widths, strict=True
            )
        )
        self.bias = nn.Parameter(torch.zeros(widths[-1])) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """Scores (sample, output) of features (sample, feature).

        The last layer is evaluated only with all players and with none.

        Raises:
            InputError: features have another shape, dtype or device. NaN gives NaN.
        """
        *before, last = _each(self.layers, ShapleyLayer)
        x, references = self._given(features)
        for layer in before:
            x = layer(x, references)
            references = None
        return self.with_bias(last.total(x, references))

    def explain(self, features: Tensor) -> Explained:
        """Scores and the Shapley representations of all layers, in one forward pass.

        Raises:
            InputError: as :meth:`forward`.
        """
        x, references = self._given(features)
        found = []
        for layer in self.layers:
            x = layer(x, references)
            references = None
            found.append(x.transpose(0, 1))
        return Explained(self.with_bias(x.sum(dim=0)), tuple(found))

    @torch.inference_mode()
    def pruned(self, features: Tensor, threshold: float) -> tuple[Explained, list[float]]:
        """As :meth:`explain`, skipping features near their references (Section 2.5), by sample.

        Returns:
            The explanation, which is exact for a threshold of 0, and for each layer the share of
            its modules' rows computed.

        Raises:
            InputError: features have another shape or hold NaN or Inf, or the threshold is below 0.
        """
        real("threshold", threshold, least=0)
        x, references = self._given(features)
        finite("features", x)
        found, shares = [], []
        for layer in _each(self.layers, ShapleyLayer):
            x, share = layer.pruned(x, references, threshold)
            references = None
            found.append(x.transpose(0, 1))
            shares.append(share)
        return Explained(self.with_bias(x.sum(dim=0)), tuple(found)), shares

    def _given(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        features = features_for(features, self.references)
        return features.T[:, :, None], self.references[:, None, None]

    def with_bias(self, scores: Tensor) -> Tensor:
        """Scores plus the constant that belongs to no player, if there is one."""
        return scores if self.bias is None else scores + self.bias


def shallow(
    n_players: int,
    n_outputs: int,
    hidden: Sequence[int],
    *,
    sets: Sequence[Sequence[int]] | None = None,
    references: Tensor | None = None,
    bias: bool = False,
) -> ShapNet:
    """A Shallow ShapNet of all pairs of features, or of given sets; with singletons it is a GAM."""
    n_players = whole("n_players", n_players)
    if sets is None:
        sets = list(itertools.combinations(range(n_players), min(2, n_players)))
    return ShapNet([sets], n_players, [n_outputs], [hidden], references, bias=bias)


def butterfly(n_players: int, radix: int) -> list[list[tuple[int, ...]]]:
    """Active sets of a Deep ShapNet: those of a Fast Fourier Transform, for any number of features.

    In layer l, the players of a set differ only in digit l of their number, written in base
    ``radix``. If the number of players is not a power of the radix, some sets are smaller. The
    result is the same as with additional players that are always at a reference of 0.

    Raises:
        InputError: the radix is below 2 or above the most players of a module, or there is no
            player.
    """
    n_players, radix = whole("n_players", n_players, None), whole("radix", radix, None)
    if not 2 <= radix <= MOST or n_players < 1:
        raise InputError(
            f"radix {radix} of {n_players} players: must be 2 to {MOST}, of at least one player"
        )
    found, stride = list[list[tuple[int, ...]]](), 1
    while stride < n_players or not found:
        sets = [
            tuple(p for p in range(start, start + stride * radix, stride) if p < n_players)
            for block in range(0, n_players, stride * radix)
            for start in range(block, min(block + stride, n_players))
        ]
        found.append(sets)
        stride *= radix
    return found


def deep(
    n_players: int,
    widths: Sequence[int],
    hidden: Sequence[Sequence[int]],
    *,
    radix: int = 2,
    references: Tensor | None = None,
    bias: bool = False,
) -> ShapNet:
    """A Deep ShapNet of disjoint sets with butterfly permutations.

    Raises:
        InputError: the numbers of widths and hidden layers differ from the butterfly's layers.
    """
    layers, widths, hidden = butterfly(n_players, radix), wholes("widths", widths), _hidden(hidden)
    if not len(layers) == len(widths) == len(hidden):
        raise InputError(
            f"{n_players} features and radix {radix} make {len(layers)} layers; {len(widths)} "
            f"widths and {len(hidden)} lists of hidden layers were given"
        )
    return ShapNet(layers, n_players, widths, hidden, references, bias=bias)


def from_state(state: Mapping[str, Tensor]) -> ShapNet:
    """The network of a ``state_dict``, which holds the structure.

    Raises:
        InputError: the state belongs to something else.
    """
    check_state(state)
    try:
        sets: list[list[Sequence[int]]] = []
        widths, hidden = [], []
        for layer in itertools.count():
            groups: list[Sequence[int]] = []
            for group in itertools.count():
                name = f"layers.{layer}.groups.{group}"
                if f"{name}.sets" not in state:
                    break
                groups += state[f"{name}.sets"].tolist()
            if not groups:
                break
            sets.append(groups)
            name = f"layers.{layer}.groups.0"
            inner = [n for n in state if n.startswith(f"{name}.biases.")]
            hidden.append([state[f"{name}.biases.{i}"].shape[2] for i in range(len(inner))])
            widths.append(state[f"{name}.weights.{len(inner) - 1}"].shape[2])
        references = state["references"]
        found = ShapNet(sets, len(references), widths, hidden, references, bias="bias" in state).to(
            references.dtype
        )
        found.load_state_dict(dict(state))
    except (KeyError, RuntimeError, AttributeError, IndexError, TypeError) as error:
        raise InputError(f"this is no state of a ShapNet: {error}") from None
    return found


def combinations(k: int) -> tuple[Tensor, Tensor]:
    """All combinations of k players, and Definition 1 as a matrix.

    Returns:
        (2ᵏ, k) membership, and a matrix (k, 2ᵏ) that maps the values of all combinations to the
        players' Shapley values; both float64.
    """
    k = whole("k", k, 0, MOST)
    members = torch.arange(2**k)[:, None] >> torch.arange(k) & 1
    sizes = members.sum(dim=1)
    shares = torch.empty(k, 2**k, dtype=torch.float64)
    for row, (member, size) in enumerate(zip(members.tolist(), sizes.tolist(), strict=True)):
        for player in range(k):
            others = size - member[player]
            weight = 1 / (k * comb(k - 1, others))
            shares[player, row] = weight if member[player] else -weight
    return members.double(), shares


def shares_of(k: int, like: Tensor) -> Tensor:
    """Definition 1 as a matrix (k, 2ᵏ), of a tensor's dtype and on its device; cached.

    It is not a buffer: a buffer would follow a network to float32, and keep that precision when the
    network is converted back to float64.
    """
    key = (k, like.dtype, like.device)
    if key not in _SHARES:
        # A tensor created in inference mode could not be used in training.
        with torch.inference_mode(False):
            _SHARES[key] = combinations(k)[1].to(like.device, like.dtype)
    return _SHARES[key]


_SHARES: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}


def check_sets(sets: Sequence[Sequence[int]], n_players: int) -> None:
    """Raise InputError unless each active set has 1 to MOST different players that exist."""
    if isinstance(sets, str) or not isinstance(sets, Sequence) or not len(sets):
        raise InputError("no active sets: a layer needs a list of at least one")
    for given in sets:
        some = wholes("active set", given, None)
        if not 1 <= len(some) <= min(MOST, n_players):
            raise InputError(
                f"active set {tuple(some)}: {len(some)} of {n_players} features; a set has 1 to "
                f"{min(MOST, n_players)}"
            )
        if len(set(some)) != len(some) or not all(0 <= player < n_players for player in some):
            raise InputError(
                f"active set {tuple(some)}: give different features, 0 to {n_players - 1}"
            )


def _hidden(hidden: Sequence[Sequence[int]]) -> list[list[int]]:
    if not isinstance(hidden, Sequence):
        raise InputError(f"hidden {hidden!r}: give a list of widths for each layer")
    return [wholes("hidden layers", each, None) for each in hidden]


Kind = TypeVar("Kind", bound=nn.Module)


def _each(modules: nn.ModuleList, kind: type[Kind]) -> list[Kind]:
    """The modules of a list that are of the given kind."""
    return [module for module in modules if isinstance(module, kind)]


def _weights(*shape: int, fan_in: int) -> nn.Parameter:
    """Uniform random weights, like those of a linear layer."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
