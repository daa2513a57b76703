"""Which players have the k largest Shapley values, found without all values being precise.

* :func:`tmab` is Algorithm 1 of Neuron Shapley, as printed: Monte Carlo over orders, early
  truncation, and players that are left out of sampling as soon as their bounds exclude the k-th
  largest value. With ``adaptive=False`` all players are sampled to the end (MC-Shapley).
* :func:`compared` samples the marginal contributions of all players that are not decided yet
  relative to one random coalition of one instance (CMCS of Fumagalli et al., 2025), and stops when
  the bounds of the k largest and of the others overlap by no more than a tolerance.

Print and released code of the paper differ. Followed is the print: the threshold is the k-th value
(the code takes the next one), the bounds are those of Appendix G with a range of 1, ε counts (the
code never uses it), and truncation begins at the first value below v_T (the code waits for six).
A player that is sampled after one that is not costs two evaluations. The bounds are neither
corrected for the number of players nor for being looked at after each iteration.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pipeline.core.errors import InputError

Floats = NDArray[np.float64]
Bound = Literal["bernstein", "normal"]


@dataclass(frozen=True, eq=False)
class TopK:
    """The players with the k largest values, as far as they are told apart."""

    players: NDArray[np.intp]
    """(k,) those of the largest estimates, largest first"""
    values: Floats
    """(player,) estimates"""
    samples: NDArray[np.int64]
    """(player,) marginal contributions that each estimate is the mean of"""
    evaluations: int
    """values of the game that were asked for"""
    decided: bool
    """whether the stopping rule was met"""
    trace: list[tuple[int, int]] = field(default_factory=list)
    """evaluations so far and players that are still sampled, after each iteration"""


@dataclass
class _Moments:
    """Running means and variances of each player's marginal contributions."""

    count: NDArray[np.int64]
    mean: Floats
    squares: Floats

    @classmethod
    def of(cls, n: int) -> "_Moments":
        return cls(np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n))

    def add(self, players: NDArray[np.intp], marginal: Floats) -> None:
        """Add marginal contributions (sample, player) of some players."""
        number = len(marginal)
        before = self.count[players]
        mean = marginal.mean(axis=0)
        change = mean - self.mean[players]
        total = before + number
        self.squares[players] += ((marginal - mean) ** 2).sum(axis=0)
        self.squares[players] += change**2 * before * number / total
        self.mean[players] += change * number / total
        self.count[players] = total

    def variance(self) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.count > 1, self.squares / (self.count - 1), np.inf)


def empirical_bernstein(
    variance: Floats, count: NDArray[np.integer], failure: float, spread: float
) -> Floats:
    """Half the width of the empirical Bernstein bound (Appendix G; Maurer and Pontil, 2009).

    Args:
        variance: of the samples.
        count: samples.
        failure: δ.
        spread: R, largest less smallest value that a sample can have.
    """
    log = np.log(2 / failure)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.sqrt(2 * log * variance / count) + 7 * spread * log / (3 * (count - 1.0))
    return np.where(count > 1, half, np.inf)


def check_k(k: int, n_players: int) -> None:
    """Raise InputError unless some players, but not all, are looked for."""
    if not 1 <= k < n_players:
        raise InputError(
            f"k: {k} of {n_players} players; the number that is looked for is 1 to {n_players - 1}"
        )


def tmab(
    iterations: Iterable[tuple[NDArray[np.integer], Floats]],
    n_players: int,
    *,
    k: int,
    epsilon: float,
    delta: float,
    truncation: float = -np.inf,
    adaptive: bool = True,
) -> TopK:
    """Algorithm 1, on a game whose values are looked up or evaluated as iterations go by.

    Args:
        iterations: an order of the players, and the values (n + 1,) of what is left after the
            first j players of it were removed, of a fresh batch of instances for each.
        n_players: players of the game.
        k: number of the largest values that are looked for.
        epsilon: tolerance.
        delta: failure probability of each bound.
        truncation: v_T, the value below which the game is over.
        adaptive: False samples every player until the rule is met.

    Returns:
        ``evaluations`` counts batches.

    Raises:
        InputError: k that does not fit.
    """
    check_k(k, n_players)
    moments, sampled = _Moments.of(n_players), np.ones(n_players, dtype=bool)
    evaluations, trace = 0, []
    for order, values in iterations:
        chosen = sampled if adaptive else np.ones(n_players, dtype=bool)
        cost, marginal = _walked(np.asarray(order), values, chosen, truncation)
        evaluations += cost
        players = np.flatnonzero(chosen)
        moments.add(players, marginal[None, players])
        half = empirical_bernstein(moments.variance(), moments.count, delta, 1.0)
        kth = np.sort(moments.mean)[-k]
        low, high = moments.mean - half, moments.mean + half
        sampled = (low + epsilon < kth) & (kth < high - epsilon)
        trace.append((evaluations, int(sampled.sum())))
        if not sampled.any():
            break
    return _top(moments, k, evaluations, not sampled.any(), trace)


def _walked(
    order: NDArray[np.integer], values: Floats, chosen: NDArray[np.bool_], truncation: float
) -> tuple[int, Floats]:
    """One iteration: evaluations made, and the marginal contribution of each chosen player."""
    marginal = np.zeros(len(order))
    # V(N) is asked for first (line 7); it is also what the first chosen player needs.
    cost, known = 1, 0
    before = values[0]
    for place, player in enumerate(order):
        if not chosen[player] or before < truncation:
            continue
        if known != place:
            before, known = values[place], place
            cost += 1
            if before < truncation:
                continue
        cost += 1
        marginal[player] = before - values[place + 1]
        before, known = values[place + 1], place + 1
    return cost, marginal


def compared(
    values: Callable[[NDArray[np.intp], NDArray[np.bool_]], Floats],
    n_players: int,
    n_instances: int,
    *,
    k: int,
    epsilon: float,
    delta: float,
    bound: Bound = "bernstein",
    spread: float = 2.0,
    most: int = 1 << 30,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> TopK:
    """The k largest values of the mean over instances, by comparable marginal contributions.

    In a look, each instance draws a coalition whose size is uniform on 0 … n, and the marginal
    contributions v(S ∪ i) − v(S ∖ i) of all undecided players are taken from it. Looks grow, so
    that there are few. Bounds hold for all players and looks at once with probability 1 − δ: each
    has a failure probability of δ / (n · j (j + 1)) in look j. A player is decided when its bounds
    are clear of those of all players that it could change places with, up to ε.

    Args:
        values: of instances (m,) and coalitions (m, player): (m,), such as whether a network is
            right about an image.
        n_players: players of the game.
        n_instances: instances, all of the same weight.
        k: number of the largest values that are looked for.
        epsilon: a chosen player's value may be as much below that of one that is left out.
        delta: failure probability of the whole search.
        bound: ``bernstein`` (a guarantee), or ``normal`` (holds for many samples).
        spread: largest less smallest marginal contribution; 2 where values are 0 or 1.
        most: evaluations at which the search ends undecided.
        seed: of the coalitions.
        advance: told the number of evaluations as they are made.

    Raises:
        InputError: k that does not fit.
    """
    check_k(k, n_players)
    moments, open_ = _Moments.of(n_players), np.ones(n_players, dtype=bool)
    evaluations, rounds, look, trace = 0, 0, 0, []
    while True:
        look += 1
        players = np.flatnonzero(open_)
        for _ in range(max(1, rounds // 4)):
            drawn = _drawn(seed, rounds, n_instances, n_players)
            marginal = _marginals(values, drawn, players)
            moments.add(players, marginal)
            rounds += 1
            cost = n_instances * (1 + len(players))
            evaluations += cost
            if advance is not None:
                advance(cost)
        half = _half(moments, bound, delta / (n_players * look * (look + 1)), spread)
        # All pairs are looked at again: one decided before may have changed its place.
        open_ = _undecided(moments.mean, half, k, epsilon)
        trace.append((evaluations, int(open_.sum())))
        if not open_.any() or evaluations >= most:
            return _top(moments, k, evaluations, not open_.any(), trace)


def _half(moments: _Moments, bound: Bound, failure: float, spread: float) -> Floats:
    if bound == "bernstein":
        # Each side of the bound may fail.
        return empirical_bernstein(moments.variance(), moments.count, failure / 2, spread)
    half = -ndtri(failure / 2) * np.sqrt(moments.variance() / np.maximum(moments.count, 1))
    # A player whose samples were all alike is not known for sure.
    return np.where(moments.count > 1, half, np.inf)


def _undecided(mean: Floats, half: Floats, k: int, epsilon: float) -> NDArray[np.bool_]:
    """Players of the k largest that may be below another by more than ε, and the reverse."""
    order = np.argsort(-mean, kind="stable")
    inside, outside = order[:k], order[k:]
    found = np.zeros(len(mean), dtype=bool)
    found[inside] = (mean - half)[inside] < (mean + half)[outside].max() - epsilon
    found[outside] = (mean + half)[outside] > (mean - half)[inside].min() + epsilon
    return found


def _drawn(seed: int, number: int, n_instances: int, n: int) -> NDArray[np.bool_]:
    """A coalition of each instance: (instance, player)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, number)))
    ranks = rng.random((n_instances, n)).argsort(axis=1).argsort(axis=1)
    return ranks < rng.integers(0, n + 1, n_instances)[:, None]


def _marginals(
    values: Callable[[NDArray[np.intp], NDArray[np.bool_]], Floats],
    drawn: NDArray[np.bool_],
    players: NDArray[np.intp],
) -> Floats:
    """v(S ∪ i) − v(S ∖ i) of each instance's coalition S: (instance, player)."""
    n_instances = len(drawn)
    other = np.repeat(drawn[:, None], 1 + len(players), axis=1)
    places = np.arange(len(players))
    other[:, 1 + places, players] ^= True
    instances = np.repeat(np.arange(n_instances), 1 + len(players))
    found = values(instances, other.reshape(-1, drawn.shape[1])).reshape(n_instances, -1)
    there = np.where(drawn[:, players], 1.0, -1.0)
    return there * (found[:, :1] - found[:, 1:])


def _top(
    moments: _Moments, k: int, evaluations: int, decided: bool, trace: Sequence[tuple[int, int]]
) -> TopK:
    players = np.argsort(-moments.mean, kind="stable")[:k]
    return TopK(players, moments.mean, moments.count, evaluations, decided, list(trace))
