"""FastSHAP for tables: a network trained to predict another network's Shapley values.

Jethani, Sudarshan, Covert, Lee and Ranganath, "FastSHAP: Real-Time Shapley Value Estimation",
ICLR 2022. The value v(S) of a coalition is the frozen network's output with references in place of
absent features, so no surrogate is needed. The explainer φ is trained to minimise the mean, over
samples and over coalitions S from the Shapley kernel, of

    (v(S) − v(∅) − Σ φᵢ)²        over the features i in S

As in the paper, coalitions come in pairs, each with its complement, and outputs are normalised:
each feature gets an equal share of the difference to f(x) − f(r) (additive efficient
normalisation). Among all functions, the Shapley values attain the minimum.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.core.arguments import real, seed_of, whole
from pipeline.core.errors import InputError
from pipeline.models.arguments import called, check_kind, check_state, finite, tensor, weight_of

Network = Callable[[Tensor], Tensor]
"""Outputs (sample, output) of features (sample, feature)."""


class Explained(NamedTuple):
    """Scores of a network, and the explainer's values for them."""

    scores: Tensor
    """(sample, output) of the network"""
    values: Tensor
    """(sample, player, output) of the explainer, which sum to f(x) − f(r)"""


class Explainer(nn.Module):
    """A feedforward network that predicts another network's Shapley values.

    Args:
        n_players: number of features.
        n_outputs: number of outputs of the explained network.
        hidden: units of each of the two hidden layers.
        mean, sd: (feature,) used to scale the features; None: 0 and 1.

    Raises:
        InputError: there is no feature, output or unit; the mean or the sd has another shape or
            holds NaN or Inf; the sd is not above 0.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self,
        n_players: int,
        n_outputs: int,
        hidden: int,
        mean: Tensor | None = None,
        sd: Tensor | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("n_players", n_players), ("n_outputs", n_outputs), ("hidden", hidden)):
            whole(name, size, None)
        if min(n_players, n_outputs, hidden) < 1:
            raise InputError(
                f"{n_players} features, {n_outputs} outputs, {hidden} hidden units: at least "
                "one of each is needed"
            )
        mean = torch.zeros(n_players) if mean is None else tensor("mean", mean)
        sd = torch.ones(n_players) if sd is None else tensor("sd", sd)
        if mean.shape != (n_players,) or sd.shape != (n_players,):
            raise InputError(
                f"a mean of shape {tuple(mean.shape)} and an sd of shape {tuple(sd.shape)}: "
                f"{n_players} numbers needed of each"
            )
        finite("mean and sd", torch.stack([mean, sd]))
        if not (sd > 0).all():
            raise InputError(f"an sd of {float(sd.min()):g}: each must be above 0")
        self.register_buffer("mean", mean)
        self.register_buffer("sd", sd)
        self.n_outputs = n_outputs
        self.inner = nn.Sequential(
            nn.Linear(n_players, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, n_players * n_outputs),
        )

    def forward(self, features: Tensor, scores: Tensor, empty: Tensor) -> Tensor:
        """Values (sample, player, output), which sum to the scores minus the references' scores.

        Args:
            features: (sample, feature)
            scores: (sample, output) of the network for these features.
            empty: (output,) of the network for the references.

        Raises:
            InputError: an argument has another shape.
        """
        n, d = len(features), len(self.mean)
        if features.shape != (n, d):
            raise InputError(f"features of shape {tuple(features.shape)}: (sample, {d}) are needed")
        if scores.shape != (n, self.n_outputs) or empty.shape != (self.n_outputs,):
            raise InputError(
                f"scores of shape {tuple(scores.shape)}, and {tuple(empty.shape)} of the "
                f"references: {(n, self.n_outputs)} and {(self.n_outputs,)} are needed"
            )
        raw = self.inner((features - self.mean) / self.sd).unflatten(1, (d, self.n_outputs))
        return normalised(raw, scores - empty)


def normalised(values: Tensor, total: Tensor) -> Tensor:
    """Values (sample, player, output), shifted equally so that they sum to a total."""
    missing = total - values.sum(dim=1)
    return values + (missing / values.shape[1])[:, None]


@torch.no_grad()
def explain(
    explainer: Explainer, network: Network, features: Tensor, references: Tensor
) -> Explained:
    """Scores of a network, and the explainer's values for them.

    Args:
        explainer: as trained for the network.
        network: evaluated for the features, and for the references.
        features: (sample, feature)
        references: (feature,) as given in training.

    Raises:
        InputError: an argument has another shape, the explainer is of another type, or the network
            rejects the features. NaN gives NaN.
    """
    check_kind("explainer", explainer, Explainer, ", which train makes")
    features = tensor("features", features, explainer.mean)
    references = tensor("references", references, explainer.mean)
    if references.ndim != 1:
        raise InputError(f"references of shape {tuple(references.shape)}: (feature,) are needed")
    scores = called(network, features, "features")
    empty = called(network, references[None], "references")[0]
    return Explained(scores, explainer(features, scores, empty))


def train(
    network: Network,
    features: Tensor,
    references: Tensor,
    n_outputs: int,
    *,
    steps: int,
    hidden: int,
    seed: int,
    batch: int = 32,
    coalitions: int = 8,
    learning_rate: float = 1e-3,
) -> Explainer:
    """Train an explainer for a network, which must be in evaluation mode and is left unchanged.

    Args:
        network: a deterministic function of features.
        features: (sample, feature) to train on; the explainer scales them by their mean and sd.
        references: (feature,) values of absent features.
        n_outputs: number of outputs of the network.
        steps: steps of Adam, whose learning rate falls to 0 along a cosine.
        hidden: units of each of the explainer's two hidden layers.
        seed: of initial weights, batches and coalitions. The global random state is not touched.
        batch: samples per step, drawn without repeats until all were used; at most all of them.
        coalitions: coalitions per sample and step; an even number, since they come in pairs.
        learning_rate: initial learning rate.

    Returns:
        The explainer, on the features' device, with their dtype, in evaluation mode.

    Raises:
        InputError: an argument is invalid, or the network's outputs or the loss are NaN or Inf.
    """
    limits = steps, batch, coalitions, learning_rate
    features, references = _checked(network, features, references, *limits)
    device, (n_rows, d) = features.device, features.shape
    rng = torch.Generator().manual_seed(seed_of(seed))
    explainer = _untrained(features, n_outputs, hidden, seed)
    scores, empty = _scores(network, features, references, n_outputs)
    optimizer = torch.optim.Adam(explainer.parameters(), learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    size, order = min(batch, n_rows), torch.empty(0, dtype=torch.int64)
    loss = torch.zeros((), device=device)
    for _ in range(steps):
        if len(order) < size:
            order = torch.randperm(n_rows, generator=rng)
        chosen, order = order[:size].to(device), order[size:]
        given, own = features[chosen], scores[chosen]
        members = kernel_coalitions(size * coalitions // 2, d, rng).to(device)
        members = members.unflatten(0, (size, coalitions))
        with torch.no_grad():
            present = torch.where(members, given[:, None], references).flatten(0, 1)
            gains = network(present).unflatten(0, (size, coalitions)) - empty
        loss = loss_of(explainer(given, own, empty), members, gains)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    _check_loss(loss, learning_rate)
    return explainer.eval()


def _check_loss(loss: Tensor, learning_rate: float) -> None:
    if not torch.isfinite(loss):
        raise InputError(
            f"FastSHAP: the loss became {loss.item()}; lower the learning rate (now "
            f"{learning_rate}), or check the network's outputs"
        )


def _untrained(features: Tensor, n_outputs: int, hidden: int, seed: int) -> Explainer:
    """An untrained explainer, which scales features by their mean and sd."""
    sd = features.std(dim=0, correction=0)
    scales = features.mean(dim=0), torch.where(sd > 0, sd, torch.ones_like(sd))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Explainer(features.shape[1], n_outputs, hidden, *scales).to(features)


@torch.no_grad()
def _scores(
    network: Network, features: Tensor, references: Tensor, n_outputs: int
) -> tuple[Tensor, Tensor]:
    """The network's outputs for the features and the references; raises InputError."""
    scores = called(network, features, "features")
    if scores.shape != (len(features), n_outputs):
        raise InputError(
            f"the network gives outputs of shape {tuple(scores.shape)}: "
            f"{(len(features), n_outputs)} are needed"
        )
    empty = called(network, references[None], "references")
    return finite("the network's outputs", scores), finite("the network's outputs", empty)[0]


def loss_of(values: Tensor, members: Tensor, gains: Tensor) -> Tensor:
    """Mean squared error of coalitions' gains, over samples, coalitions and outputs.

    Args:
        values: (sample, player, output)
        members: (sample, coalition, player) bool.
        gains: (sample, coalition, output), v(S) − v(∅).
    """
    return (gains - torch.matmul(members.to(values.dtype), values)).square().mean()


def kernel_coalitions(pairs: int, n_players: int, generator: torch.Generator) -> Tensor:
    """Coalitions drawn from the Shapley kernel, each followed by its complement.

    A size k from 1 to d − 1 has probability ∝ 1 / (k (d − k)); coalitions of one size are equally
    likely. A single player has no such coalition; its pairs are the empty and the full coalition.

    Returns:
        (2 · pair, player) bool.
    """
    if n_players == 1:
        found = torch.zeros(pairs, 1, dtype=torch.bool)
    else:
        sizes = torch.arange(1, n_players, dtype=torch.float64)
        weights = 1 / (sizes * (n_players - sizes))
        drawn = torch.multinomial(weights, pairs, replacement=True, generator=generator) + 1
        orders = torch.rand(pairs, n_players, generator=generator, dtype=torch.float64)
        found = orders.argsort(dim=1).argsort(dim=1) < drawn[:, None]
    return torch.stack([found, ~found], dim=1).flatten(0, 1)


def from_state(state: dict[str, Tensor]) -> Explainer:
    """The explainer of a ``state_dict``, whose shapes give the structure.

    Raises:
        InputError: the state belongs to something else.
    """
    check_state(state)
    try:
        mean, sd, last = state["mean"], state["sd"], state["inner.4.weight"]
        outputs, hidden = last.shape
        found = Explainer(len(mean), outputs // len(mean), hidden, mean, sd).to(mean.dtype)
        found.load_state_dict(dict(state))
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"this is no state of a FastSHAP explainer: {error}") from None
    return found


def _checked(
    network: Network,
    features: Tensor,
    references: Tensor,
    steps: int,
    batch: int,
    coalitions: int,
    learning_rate: float,
) -> tuple[Tensor, Tensor]:
    features = tensor("features", features, weight_of(network))
    references = tensor("references", references, features)
    finite("features", features)
    if features.ndim != 2 or 0 in features.shape or not features.is_floating_point():
        raise InputError(
            f"features of shape {tuple(features.shape)}, {features.dtype}: (sample, feature) "
            "floats are needed"
        )
    if references.shape != features.shape[1:] or not torch.isfinite(references).all():
        raise InputError(
            f"references of shape {tuple(references.shape)}: {features.shape[1]} numbers needed"
        )
    if references.dtype != features.dtype or references.device != features.device:
        raise InputError(
            f"references are {references.dtype} on {references.device}, features {features.dtype} "
            f"on {features.device}; bring one to the other with .to(…)"
        )
    for name, number in (("steps", steps), ("batch", batch), ("coalitions", coalitions)):
        whole(name, number, None)
    if steps < 0 or batch < 1:
        raise InputError(f"{steps} steps of {batch} samples: must be at least 0 steps of 1 sample")
    if coalitions < 2 or coalitions % 2:
        raise InputError(f"{coalitions} coalitions per sample: an even number from 2 on is needed")
    real("learning rate", learning_rate, above=0, below=float("inf"))
    return features, references
