"""A network that replaces a utility function, trained on part of its coalitions.

"The Effective Coalitions of Shapley Value for Integrated Gradients" (Section 5, Appendix B.2.1)
replaces its utility functions by networks trained on 50 % of the coalitions of 12 players and 40 %
of those of 20. The networks cost as much as a model and have gradients. The paper does not describe
the network. Here it is a multi-layer perceptron of membership vectors, with GELU units, so that it
is differentiable everywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.models.training import fit
from pipeline.shapley import coalitions
from pipeline.shapley.coalitions import Masks
from pipeline.shapley.games import Game

_AT_ONCE = 1 << 13
_EPOCHS = 10


class SurrogateNetwork(nn.Module):
    """An MLP of membership, with its output in the utility's own unit.

    Args:
        n_players: number of players.
        hidden: units of each hidden layer.
        layers: hidden layers.
        n_outputs: number of outputs.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_players: int, hidden: int, layers: int = 2, n_outputs: int = 1) -> None:
        super().__init__()
        widths = [n_players, *[hidden] * layers]
        hidden_layers = [
            module
            for inner, outer in pairwise(widths)
            for module in (nn.Linear(inner, outer), nn.GELU(approximate="tanh"))
        ]
        self.body = nn.Sequential(*hidden_layers, nn.Linear(widths[-1], n_outputs))
        self.register_buffer("mean", torch.zeros(n_outputs))
        self.register_buffer("scale", torch.ones(n_outputs))

    def standardised(self, membership: Tensor) -> Tensor:
        """Utilities standardised by mean and standard deviation of the coalitions trained on."""
        return self.body(2 * membership - 1)

    def forward(self, membership: Tensor) -> Tensor:
        """Utilities (batch, output) of membership (batch, player), any number from 0 to 1."""
        return self.standardised(membership) * self.scale + self.mean


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A trained network as a game."""

    network: SurrogateNetwork
    """in evaluation mode, on the CPU"""
    n_players: int
    outputs: tuple[str, ...]
    trained_on: Masks
    """(coalition,) ascending"""

    @torch.no_grad()
    def __call__(self, masks: NDArray[Any], /) -> NDArray[np.float32]:
        """Values of coalitions: (m, output), from masks (m,)."""
        parts = [np.zeros((0, len(self.outputs)), dtype=np.float32)]
        for start in range(0, len(masks), _AT_ONCE):
            block = masks[start : start + _AT_ONCE]
            parts.append(self.network(membership_of(block, self.n_players)).numpy())
        return np.concatenate(parts)


def membership_of(masks: NDArray[Any], n_players: int) -> Tensor:
    """Coalitions as input of the network: (coalition, player) float32, 0 or 1."""
    return torch.from_numpy(coalitions.to_bool(masks, n_players)).float()


def train_surrogate(
    game: Game,
    *,
    share: float,
    seed: int = 0,
    hidden: int = 64,
    layers: int = 2,
    steps: int = 3000,
    batch_size: int = 512,
    learning_rate: float = 1e-2,
) -> Surrogate:
    """Train a network on a random part of a game's coalitions.

    Args:
        game: with few enough players to enumerate its coalitions.
        share: part of the 2**n coalitions that are trained on; 0.5 or 0.4 in the paper.
        seed: of the part, the initial weights and the batches. The same seed gives the same network
            as long as torch runs on the same number of threads.
        hidden: units of a hidden layer.
        layers: hidden layers.
        steps: of the optimiser.
        batch_size: coalitions of a step, drawn with replacement from those trained on.
        learning_rate: peak of a one-cycle schedule.

    Raises:
        InputError: an argument out of range, or a game that returns NaN or Inf.
    """
    n = game.n_players
    coalitions.check_enumerable(n)
    if not 0 < share <= 1:
        raise InputError(f"share {share}: must be more than 0 and at most 1")
    if min(hidden, layers, steps, batch_size) < 1 or not learning_rate > 0:
        raise InputError(
            f"hidden {hidden}, layers {layers}, steps {steps}, batch_size {batch_size}, "
            f"learning_rate {learning_rate}: each must be at least 1, learning_rate more than 0"
        )
    count = max(1, round(share * 2**n))
    chosen = np.random.default_rng(seed).permutation(2**n)[:count]
    masks = np.sort(chosen).astype(np.uint64)
    values = torch.from_numpy(np.asarray(game(masks), dtype=np.float32))
    if not torch.isfinite(values).all():
        raise InputError("the game gives NaN or Inf: nothing can be trained on it")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SurrogateNetwork(n, hidden, layers, len(game.outputs))
    membership = torch.from_numpy(coalitions.to_bool(masks, n))
    _fit(network, membership, values, seed, steps, batch_size, learning_rate)
    return Surrogate(network, n, tuple(game.outputs), masks)


def _fit(
    network: SurrogateNetwork,
    membership: Tensor,
    values: Tensor,
    seed: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    """Train on coalitions (coalition, player) bool and their values (coalition, output)."""
    network.mean.copy_(values.mean(dim=0))
    spread = values.std(dim=0, correction=0)
    network.scale.copy_(torch.where(spread > 0, spread, 1.0))
    targets = (values - network.mean) / network.scale
    generator = torch.Generator().manual_seed(seed)
    per_epoch = -(-steps // _EPOCHS)

    def batches(epoch: int) -> Iterator[Tensor]:
        for _ in range(min(per_epoch, steps - epoch * per_epoch)):
            yield torch.randint(len(values), (batch_size,), generator=generator)

    def loss(rows: Tensor) -> Tensor:
        predicted = network.standardised(membership[rows].float())
        return nn.functional.mse_loss(predicted, targets[rows])

    fit(
        network,
        loss,
        batches,
        epochs=-(-steps // per_epoch),
        batches_per_epoch=per_epoch,
        learning_rate=learning_rate,
        description="train surrogate",
        schedule="one_cycle",
    )
    network.requires_grad_(False)
