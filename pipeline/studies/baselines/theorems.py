"""The theorems of the Effective Shapley paper, as numbers that can be checked.

*Theorem 1* (Integrated Gradients are the values of Aumann and Shapley, Eq. 2, along the straight
path of Fig. 1) needs no code: the tests cut features into ever smaller players, whose Shapley
values go from Eq. 4 to Integrated Gradients.

"The Effective Coalitions of Shapley Value for Integrated Gradients", Theorems 2 and 3 with their
proofs in Appendix A.

*Theorem 2.* Player j has n_j coalitions, e_j of them effective; b_j are drawn, of which a_j turn
out effective. The sample is correct if a_1 : a_2 : … = e_1 : e_2 : … . Its probability is printed
as the sum over the smallest a, 1 to A, of the product over players of C(e_j, a_j) C(n_j − e_j, b_j
− a_j). These are numbers of samples. They become probabilities when each is divided by the number
of possible samples, C(n_j, b_j) (the hypergeometric distribution). Both are computed here. The
product assumes independent draws of different players, as the simulation does.

*Theorem 3.* Integrated Gradients of player i from S to S ∪ i are said to equal v(S ∪ i) − v(S) if S
is directly (linearly) connected with S ∪ i. The path from S to S ∪ i moves only player i, so the
integral of the partial derivative along it is v(S ∪ i) − v(S) for every differentiable v, by the
fundamental theorem of calculus. The hypothesis is unnecessary, and any difference comes from the
quadrature. How far the hypothesis holds is measured as well: by how much the gradient varies along
the path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, gcd, prod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln
from torch import Tensor, nn

from pipeline.core.arguments import seed_of, whole, wholes
from pipeline.core.errors import InputError
from pipeline.models.arguments import called, finite, tensor, weight_of
from pipeline.models.lines import gradients_along, quadrature

Floats = NDArray[np.float64]

MOST_DRAWN_FROM = 10**9
"""Population from which numpy refuses to draw hypergeometric numbers."""


@dataclass(frozen=True)
class Frequency:
    """How often a simulation gave a correct sample."""

    frequency: float
    standard_error: float
    """of a binomial proportion"""


def printed_count(
    effective: Sequence[int],
    population: Sequence[int],
    drawn: Sequence[int],
    *,
    most: int | None = None,
) -> int:
    """Theorem 2 as printed, with binomials that are not normalised: a number of samples.

    Arguments and errors as :func:`proportional_probability`. The number is exact, and can be long.
    """
    e, n, b = _checked(effective, population, drawn)
    return sum(
        prod(
            comb(e_j, a_j) * comb(n_j - e_j, b_j - a_j)
            for e_j, n_j, b_j, a_j in zip(e, n, b, a, strict=True)
        )
        for a in _proportional(e, b, n, most)
    )


def proportional_probability(
    effective: Sequence[int],
    population: Sequence[int],
    drawn: Sequence[int],
    *,
    most: int | None = None,
) -> float:
    """Theorem 2, normalised: the probability that the effective coalitions drawn are proportional.

    Args:
        effective: e_j, the number of effective coalitions of each player. A player with e_j = 0 has
            none in every sample, and is ignored for the smallest a.
        population: n_j, all coalitions without the player.
        drawn: b_j, coalitions drawn of those, without replacement.
        most: A, the largest value of the smallest a; None: no limit.

    Raises:
        InputError: different numbers of players, no player with an effective coalition, numbers
            that are negative or above the population, most less than 1.
    """
    e, n, b = _checked(effective, population, drawn)
    rows = np.array(_proportional(e, b, n, most), dtype=np.float64).reshape(-1, len(e))
    e_, n_, b_ = (np.array(x, dtype=np.float64) for x in (e, n, b))
    logs = _log_comb(e_, rows) + _log_comb(n_ - e_, b_ - rows) - _log_comb(n_, b_)
    return float(np.exp(logs.sum(axis=1)).sum())


def simulated_frequency(
    effective: Sequence[int],
    population: Sequence[int],
    drawn: Sequence[int],
    *,
    repeats: int,
    most: int | None = None,
    seed: int = 0,
) -> Frequency:
    """Draw samples for all players, and count how often their effective ones are proportional.

    Arguments and errors as :func:`proportional_probability`; ``repeats`` is the number of samples.
    """
    e, n, b = _checked(effective, population, drawn)
    repeats, seed = whole("repeats", repeats), seed_of(seed)
    _check_most(most)
    if max(n) >= MOST_DRAWN_FROM:
        raise InputError(
            f"a population of {max(n)}: numpy draws from at most {MOST_DRAWN_FROM - 1}"
        )
    generator = np.random.default_rng(seed)
    shape = (repeats, len(e))
    a = generator.hypergeometric(e, np.subtract(n, e), b, size=shape)
    some = int(np.argmax(np.array(e) > 0))
    # In whole numbers: a_j : a_some = e_j : e_some.
    is_proportional = (a * e[some] == a[:, [some]] * np.array(e)).all(axis=1)
    least = a[:, np.array(e) > 0].min(axis=1)
    is_correct = is_proportional & (least >= 1)
    if most is not None:
        is_correct &= least <= most
    frequency = float(is_correct.mean())
    return Frequency(frequency, float(np.sqrt(frequency * (1 - frequency) / repeats)))


@dataclass(frozen=True, eq=False)
class Connection:
    """Integrated Gradients of one player from S to S ∪ i beside its marginal contribution."""

    marginals: Floats
    """(coalition,) v(S ∪ i) − v(S)"""
    integrated: Floats
    """(coalition,) Integrated Gradients of player i along the straight line"""
    gradient_spread: Floats
    """(coalition,) largest minus smallest partial derivative along the line; 0 if v is linear
    between S and S ∪ i, the theorem's hypothesis"""

    @property
    def differences(self) -> Floats:
        """(coalition,) Integrated Gradients minus the marginal contribution."""
        return self.integrated - self.marginals


def connection(
    network: nn.Module,
    membership: Tensor,
    player: int,
    *,
    output: int = 0,
    steps: int = 16,
    rows_at_once: int = 1 << 14,
) -> Connection:
    """Theorem 3: Integrated Gradients and marginal contributions of a player, at many coalitions.

    The integral is a Gauss-Legendre sum, exact if v is a polynomial of degree up to 2·steps − 1 in
    the player's membership.

    Args:
        network: membership (batch, player) → values (batch, output), differentiable; a row's
            values must not depend on the other rows.
        membership: (coalition, player) float32 or float64, the coalitions S; player i's own
            membership is ignored.
        player: i.
        output: number of the network's output.
        steps: points of the quadrature.
        rows_at_once: the most points in one call of the network, but at least one coalition's.

    Raises:
        InputError: wrong shapes, NaN or Inf, a network that does not accept the membership, a
            player or an output that does not exist, steps less than 1.
    """
    membership = tensor("membership", membership, weight_of(network))
    if membership.dim() != 2 or 0 in membership.shape or not membership.is_floating_point():
        raise InputError(
            f"membership of shape {tuple(membership.shape)}, {membership.dtype}; floats of shape "
            "(coalition, player), at least one, are needed"
        )
    player = whole("player", player, 0, membership.shape[1] - 1)
    steps, rows_at_once = whole("steps", steps), whole("rows_at_once", rows_at_once)
    _check_output(network, finite("the membership", membership), output)
    points, weights = quadrature("gauss-legendre", steps)

    def lines(first: int, last: int) -> tuple[Tensor, Tensor]:
        without, with_player = (membership[first:last].detach().clone() for _ in range(2))
        without[:, player], with_player[:, player] = 0, 1
        return without, with_player

    def values(at: Tensor, _: Tensor | None = None) -> Tensor:
        return network(at)[:, output]

    marginals, integrated, spread = [], [], []
    whole_lines = max(1, rows_at_once // steps) * steps
    for part in gradients_along(values, lines, len(membership), points, batch_size=whole_lines):
        partial = part.gradients[:, player].double().view(-1, steps)
        integrated.append(partial @ torch.from_numpy(weights).to(partial))
        spread.append(partial.amax(dim=1) - partial.amin(dim=1))
        with torch.no_grad():
            without, with_player = lines(part.lines.start, part.lines.stop)
            marginals.append(values(with_player).double() - values(without).double())
    return Connection(_joined(marginals), _joined(integrated), _joined(spread))


def _check_output(network: nn.Module, membership: Tensor, output: int) -> None:
    with torch.enable_grad():
        found = called(network, membership[:1].detach().clone().requires_grad_(), "membership")
    if found.dim() != 2:
        raise InputError(
            f"the network gives values of shape {tuple(found.shape)}; (1, output) needed"
        )
    whole("output", output, 0, found.shape[1] - 1)
    finite("the network's values", found)
    if not found.requires_grad:
        raise InputError("the network's values do not depend on membership by gradients")


def _joined(parts: list[Tensor]) -> Floats:
    return torch.cat(parts).cpu().numpy()


def _proportional(
    e: list[int], b: list[int], n: list[int], most: int | None
) -> list[tuple[int, ...]]:
    """All possible numbers a_j of a sample in the proportion of e_j, with a_j > 0 if e_j > 0."""
    _check_most(most)
    divisor = gcd(*e)
    unit = [e_j // divisor for e_j in e]
    smallest = min(u for u in unit if u)
    rows = []
    for turn in range(1, divisor + 1):
        row = tuple(turn * u for u in unit)
        if most is not None and turn * smallest > most:
            break
        fits = zip(row, e, b, n, strict=True)
        if all(0 <= b_j - a_j <= n_j - e_j for a_j, e_j, b_j, n_j in fits):
            rows.append(row)
    return rows


def _log_comb(n: Floats, k: Floats) -> Floats:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _check_most(most: int | None) -> None:
    if most is not None:
        whole("most", most)


def _checked(
    effective: Sequence[int], population: Sequence[int], drawn: Sequence[int]
) -> tuple[list[int], list[int], list[int]]:
    given = {"effective": effective, "population": population, "drawn": drawn}
    e, n, b = (wholes(name, numbers, least=None) for name, numbers in given.items())
    if not len(e) == len(n) == len(b) or not e:
        raise InputError(
            f"effective, population and drawn are of {len(e)}, {len(n)} and {len(b)} players; the "
            "same number, at least one, is needed"
        )
    for e_j, n_j, b_j in zip(e, n, b, strict=True):
        if not (0 <= e_j <= n_j and 0 <= b_j <= n_j):
            raise InputError(
                f"{e_j} effective and {b_j} drawn of {n_j} coalitions: both must be from 0 to {n_j}"
            )
    if not any(e):
        raise InputError("no player has an effective coalition: there are no ratios")
    return e, n, b
