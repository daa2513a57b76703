"""Losses of networks for tables: of targets, plus norms or inconsistency of explanations.

A loss takes a network, features (sample, feature) and targets (sample,), and gives a scalar.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.arguments import check_kind
from pipeline.models.shapnets import ShapNet

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def of_scores(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy for classes, mean squared error for numbers."""
    if targets.is_floating_point():
        return functional.mse_loss(scores[:, 0], targets)
    return functional.cross_entropy(scores, targets)


def plain(network: nn.Module, features: Tensor, targets: Tensor) -> Tensor:
    """The loss of the scores alone."""
    return of_scores(network(features), targets)


def l1(weight: float) -> Loss:
    """The loss of the scores plus ``weight`` times explanations' mean ℓ1 norm (Section 2.4).

    The mean is over samples.
    """
    return _regularised(weight, lambda values: values.abs().sum(dim=(1, 2)))


def l_infinity(weight: float) -> Loss:
    """The loss of the scores plus ``weight`` times the ℓ∞ norm of explanations (Section 2.4).

    The norm is the largest absolute value of a feature, averaged over samples and outputs.
    """
    return _regularised(weight, lambda values: values.abs().amax(dim=1).mean(dim=1))


def _regularised(weight: float, norm: Callable[[Tensor], Tensor]) -> Loss:
    def loss(network: nn.Module, features: Tensor, targets: Tensor) -> Tensor:
        check_kind("network", network, ShapNet)
        assert isinstance(network, ShapNet)
        explained = network.explain(features)
        return of_scores(explained.scores, targets) + weight * norm(explained.layers[-1]).mean()

    return loss


def consistent(weight: float, samples: int, seed: int) -> Loss:
    """The loss of the scores plus ``weight`` times the squared distance from Shapley values.

    The distance is that of explanations from the network's own Shapley values. For each of the
    first samples of a batch, two orders of the features are drawn. Each order with its reverse
    gives an unbiased estimate of the Shapley values, and the two estimates are independent. So the
    product of the explanation's differences from them has the squared distance as its expectation.
    The estimates' variance, which would draw the network to additivity, is not part of it.

    Args:
        weight: weight of the term.
        samples: number of samples in each batch for which the term is computed.
        seed: seed of the orders.
    """
    generator = torch.Generator().manual_seed(seed)

    def loss(network: nn.Module, features: Tensor, targets: Tensor) -> Tensor:
        check_kind("network", network, ShapNet)
        assert isinstance(network, ShapNet)
        explained = network.explain(features)
        some = features[:samples]
        values = explained.layers[-1][:samples]
        first, second = (
            values - marginals(network, some, orders_of(len(some), some.shape[1], generator))
            for _ in range(2)
        )
        distance = (first * second).sum(dim=(1, 2)).mean()
        return of_scores(explained.scores, targets) + weight * distance

    return loss


def orders_of(n_samples: int, n_features: int, generator: torch.Generator) -> Tensor:
    """An order of the features for each sample: (sample, feature), each feature's place."""
    return torch.rand(n_samples, n_features, generator=generator).argsort(dim=1)


def marginals(network: ShapNet, features: Tensor, places: Tensor) -> Tensor:
    """Mean marginal contributions in orders and in their reverses: (sample, feature, output).

    Args:
        network: the game is its score, with its references in place of absent features.
        features: (sample, feature)
        places: (sample, feature) each feature's place in the sample's order.
    """
    n_samples, n = features.shape
    # Row s: the first s features are present. Second half: all others, as in the reverse order.
    begins = places[:, None, :] < torch.arange(n + 1)[:, None]
    there = torch.cat([begins, ~begins], dim=1)
    shown = torch.where(there, features[:, None], network.references)
    scores = network(shown.flatten(0, 1)).unflatten(0, (n_samples, 2 * (n + 1)))
    added = scores[:, 1 : n + 1] - scores[:, :n]
    removed = scores[:, n + 1 : -1] - scores[:, n + 2 :]
    by_place = (added + removed) / 2
    return by_place.gather(1, places[:, :, None].expand(-1, -1, by_place.shape[2]))
