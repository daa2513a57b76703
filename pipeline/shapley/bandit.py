"""Find the players with the k largest Shapley values, without estimating all values precisely.

* :func:`tmab` is Algorithm 1 of Neuron Shapley, as printed: Monte Carlo over orders, early
  truncation, and players that are left out of sampling as soon as their bounds exclude the k-th
  largest value. With ``adaptive=False`` all players are sampled to the end (MC-Shapley).
* :func:`compared` samples the marginal contributions of all undecided players to one random
  coalition of one instance (CMCS, see there). It stops when each of the k largest is known to be
  at most a tolerance below any other player.

The paper's text and its released code differ. This module follows the text: the threshold is the
k-th value (the code takes the next one), the bounds are those of Appendix G with a range of 1, ε
is used (the code never uses it), and truncation begins at the first value below v_T (the code waits
for six). A player that is sampled after one that is not costs two evaluations. The bounds are not
corrected for the number of players or for repeated looks (one after each iteration).
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtri

from pipeline.core.arguments import array, finite, one_of, real, seed_of, whole
from pipeline.core.errors import InputError

Floats = NDArray[np.float64]
Bound = Literal["betting", "normal"]

LAMBDAS = 2.0 ** -np.arange(1, 9) * 1.6
"""Bets λ of the tests."""

ROUNDING = 1e-6
"""Relative amount by which rounding may increase the spread of marginal contributions."""

AT_ONCE = 1 << 22
"""Numbers that the tests multiply in one block."""


@dataclass(frozen=True, eq=False)
class TopK:
    """The players with the k largest values, as far as the samples distinguish them."""

    players: NDArray[np.intp]
    """(k,) the players with the largest estimates, largest first"""
    values: Floats
    """(player,) estimates"""
    standard_errors: Floats
    """(player,); NaN for a single sample"""
    samples: NDArray[np.int64]
    """(player,) number of marginal contributions averaged in each estimate"""
    evaluations: int
    """number of evaluations of the game"""
    decided: bool
    """whether the stopping rule was met"""
    trace: list[tuple[int, int]] = field(default_factory=list)
    """evaluations so far and number of players still sampled, after each iteration"""
    state: "_Search | None" = None
    """state from which :func:`compared` can continue"""


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
    """Half-width of the empirical Bernstein bound (Appendix G; Maurer and Pontil, 2009).

    Args:
        variance: variance of the samples.
        count: number of samples.
        failure: δ.
        spread: R, the largest minus the smallest possible value of a sample.
    """
    variance, count = array("variance", variance), array("count", count)
    log = np.log(2 / real("failure", failure, above=0, below=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.sqrt(2 * log * variance / count) + 7 * spread * log / (3 * (count - 1.0))
    return np.where(count > 1, half, np.inf)


def check_k(k: int, n_players: int) -> None:
    """Raise InputError unless 1 ≤ k < n_players."""
    if not 1 <= whole("k", k, None) < whole("n_players", n_players):
        raise InputError(f"k: {k} of {n_players} players; k must be 1 to {n_players - 1}")


def _check_sought(k: int, n_players: int, epsilon: float, delta: float) -> None:
    check_k(k, n_players)
    real("epsilon", epsilon, least=0, below=np.inf)
    real("delta", delta, above=0, below=1)


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
    """Algorithm 1, on a game whose values are looked up or evaluated iteration by iteration.

    Args:
        iterations: for each iteration an order of the players, and the values (n + 1,) after the
            first j players of it were removed, on a fresh batch of instances.
        n_players: players of the game.
        k: number of players to find.
        epsilon: tolerance.
        delta: failure probability of each bound.
        truncation: v_T, the value below which an iteration is truncated.
        adaptive: False samples every player until the rule is met.

    Returns:
        The result; ``evaluations`` counts batches.

    Raises:
        InputError: k, epsilon or delta is out of range; there are no iterations; an iteration's
            order does not name each player once, or its values contain NaN or Inf.
    """
    _check_sought(k, n_players, epsilon, delta)
    real("truncation", truncation, least=-np.inf)
    if not isinstance(iterations, Iterable):
        raise InputError(f"iterations: a {type(iterations).__name__}; pairs of arrays are needed")
    moments, sampled = _Moments.of(n_players), np.ones(n_players, dtype=bool)
    evaluations, trace = 0, []
    for order, values in map(_checked_iteration, iterations, repeat(n_players)):
        chosen = sampled if adaptive else np.ones(n_players, dtype=bool)
        cost, marginal = _walked(order, values, chosen, truncation)
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
    if not evaluations:
        raise InputError("no iterations: at least one is needed")
    return _top(moments, k, evaluations, not sampled.any(), trace)


def _checked_iteration(given: Any, n_players: int) -> tuple[NDArray[np.integer], Floats]:
    """An order and its values. Raises InputError unless they cover all players and are finite."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"iterations: a {type(given).__name__}; pairs of arrays are needed")
    order, values = array("an order", given[0]), finite("an iteration's values", given[1])
    is_order = np.array_equal(np.sort(order, axis=None), np.arange(n_players))
    if not is_order or order.dtype.kind not in "iu" or values.shape != (n_players + 1,):
        raise InputError(
            f"an order of shape {order.shape}, {order.dtype}, with values of shape {values.shape}: "
            f"each of {n_players} players once, and {n_players + 1} values, are needed"
        )
    return order.ravel(), values


def _walked(
    order: NDArray[np.integer], values: Floats, chosen: NDArray[np.bool_], truncation: float
) -> tuple[int, Floats]:
    """Evaluations made in one iteration, and the marginal contribution of each chosen player."""
    marginal = np.zeros(len(order))
    # V(N) is evaluated first (line 7); the first chosen player needs it too.
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
    bound: Bound = "betting",
    spread: float = 2.0,
    batch: int = 128,
    most: int = 1 << 30,
    seed: int = 0,
    before: TopK | None = None,
    advance: Callable[[int], None] | None = None,
) -> TopK:
    """The k largest values of the mean over instances, by comparable marginal contributions.

    A sample is a random instance and a coalition S whose size is uniform on 0 … n. It gives the
    marginal contributions v(S ∪ i) − v(S ∖ i) of all undecided players (CMCS; Kolpaczki, Nielen and
    Hüllermeier, 2025). Samples are independent. Differences between players' contributions vary
    less than the contributions themselves.

    A player among the k largest so far is decided when tests have rejected, for every player
    outside, that its value is more than ε below that player's (:class:`_Pairs`).

    Args:
        values: function of instances (m,) and coalitions (m, player) that returns values (m,), such
            as whether a network classifies an image correctly.
        n_players: players of the game.
        n_instances: number of instances, all of equal weight.
        k: number of players to find.
        epsilon: tolerance: how far a chosen player's value may be below that of one left out.
        delta: failure probability of the whole search.
        bound: ``betting`` (a guarantee) or ``normal`` (for many samples).
        spread: largest minus smallest possible marginal contribution; 2 where values are 0 or 1.
        batch: samples between looks, at first; later a sixteenth of all samples so far.
        most: number of evaluations at which the search ends undecided.
        seed: of the samples.
        before: result of the same search that ended undecided; the search continues from it.
        advance: called with the number of new evaluations as they are made.

    Raises:
        InputError: an argument is out of range, ``before`` comes from another search, or values are
            NaN, differ in number from the coalitions, or are further apart than ``spread``.
    """
    _check_sought(k, n_players, epsilon, delta)
    _check_drawn(values, bound, spread, seed, n_instances=n_instances, batch=batch, most=most)
    search = _begun(before, n_players, epsilon, spread)
    while search.open.any() and search.evaluations < most:
        players = np.flatnonzero(search.open)
        for _ in range(max(1, search.rounds // 16)):
            instances, drawn = _drawn(seed, search.rounds, batch, n_instances, n_players)
            search.add(players, _marginals(values, instances, drawn, players, spread))
            if advance is not None:
                advance(batch * (1 + len(players)))
        search.look(k, delta, bound)
    decided = not search.open.any()
    return _top(search.moments, k, search.evaluations, decided, search.trace, search)


def _check_drawn(values: Any, bound: str, spread: float, seed: int, **counts: int) -> None:
    if not callable(values):
        raise InputError(f"values: a {type(values).__name__}; a function of coalitions is needed")
    one_of("bound", bound, Bound)
    real("spread", spread, above=0, below=np.inf)
    seed_of(seed)
    for name, number in counts.items():
        whole(name, number)


def _begun(before: TopK | None, n_players: int, epsilon: float, spread: float) -> "_Search":
    """A new search, or a copy of the earlier one. Raises InputError if the earlier one differs."""
    if before is None:
        pairs = _Pairs.of(n_players, epsilon, spread)
        return _Search(pairs, _Moments.of(n_players), np.ones(n_players, dtype=bool))
    state = before.state if isinstance(before, TopK) else None
    found = state and (len(state.open), state.pairs.epsilon, state.pairs.spread)
    if state is None or found != (n_players, epsilon, spread):
        raise InputError(
            f"before: comes from a search with (players, epsilon, spread) {found}; this one has "
            f"{(n_players, epsilon, spread)}: start without before"
        )
    return deepcopy(state)


@dataclass
class _Search:
    """State of a search."""

    pairs: "_Pairs"
    moments: _Moments
    open: NDArray[np.bool_]
    rounds: int = 0
    looks: int = 0
    evaluations: int = 0
    trace: list[tuple[int, int]] = field(default_factory=list)

    def add(self, players: NDArray[np.intp], marginal: Floats) -> None:
        """Add a batch of marginal contributions (sample, player) of some players."""
        self.moments.add(players, marginal)
        self.pairs.add(players, marginal)
        self.rounds += 1
        self.evaluations += len(marginal) * (1 + len(players))

    def look(self, k: int, delta: float, bound: Bound) -> None:
        """Update which players are still undecided."""
        self.looks += 1
        n, order = len(self.open), np.argsort(-self.moments.mean, kind="stable")
        inside, outside = order[:k], order[k:]
        failure = delta / (k * (n - k))
        if bound == "betting":
            known = self.pairs.log_wealth(inside, outside) >= -np.log(failure)
        else:
            failure /= self.looks * (self.looks + 1)
            known = self.pairs.lowest(inside, outside, failure) > -self.pairs.epsilon
        self.open[inside], self.open[outside] = ~known.all(axis=1), ~known.all(axis=0)
        self.trace.append((self.evaluations, int(self.open.sum())))


@dataclass
class _Pairs:
    """Tests of how much more one player contributes than another, on the samples of both.

    A wrong answer means that a true hypothesis was rejected about one of the k truly largest
    players and one of the others. There are k (n − k) such pairs, so each test has a failure
    probability of δ / (k (n − k)).

    * ``betting``: a test bets that its hypothesis is false. Its wealth is the mean over some λ of
      Π (1 + λ y), with y = (difference + ε) / spread. While the hypothesis is true the wealth is a
      supermartingale, so looking at it after every batch needs no correction (Waudby-Smith and
      Ramdas, 2024; Ville's inequality). This is a guarantee.
    * ``normal``: the mean difference and its standard error, with δ also divided among looks. One
      difference of the largest possible size is counted in addition, because identical samples
      prove nothing. This holds for many samples.
    """

    epsilon: float
    spread: float
    count: Floats
    total: Floats
    squares: Floats
    bets: Floats
    """(λ, player, player) log wealth against the first player being below the second"""

    @classmethod
    def of(cls, n: int, epsilon: float, spread: float) -> "_Pairs":
        count, total, squares = np.zeros((3, n, n))
        return cls(epsilon, spread, count, total, squares, np.zeros((len(LAMBDAS), n, n)))

    def add(self, players: NDArray[np.intp], marginal: Floats) -> None:
        """Add a batch of marginal contributions (sample, player) of some players."""
        own, both = marginal.sum(axis=0), marginal.T @ marginal
        square, some = np.diag(both), np.ix_(players, players)
        self.count[some] += len(marginal)
        self.total[some] += own[:, None] - own
        self.squares[some] += square[:, None] + square - 2 * both
        rows = max(1, AT_ONCE // max(1, marginal.size))
        for start in range(0, len(players), rows):
            first = marginal[:, start : start + rows, None]
            y = (first - marginal[:, None, :] + self.epsilon) / self.spread
            at = np.ix_(players[start : start + rows], players)
            for number, bet in enumerate(LAMBDAS):
                # A product of hundreds of factors would overflow or underflow.
                for part in np.array_split(y, -(-len(y) // 128)):
                    self.bets[number][at] += np.log((1 + bet * part).prod(axis=0))

    def log_wealth(self, inside: NDArray[np.intp], outside: NDArray[np.intp]) -> Floats:
        """Log evidence against each of ``inside`` being more than ε below each of ``outside``."""
        bets = self.bets[:, inside[:, None], outside]
        found: Floats = logsumexp(bets, axis=0) - np.log(len(LAMBDAS))
        return found

    def lowest(self, inside: NDArray[np.intp], outside: NDArray[np.intp], failure: float) -> Floats:
        """A lower bound of the difference, from the normal distribution."""
        some = np.ix_(inside, outside)
        count = np.maximum(self.count[some], 1)
        mean = self.total[some] / count
        variance = (self.squares[some] + self.spread**2) / count - mean**2
        return mean + ndtri(failure) * np.sqrt(variance / count)


def _drawn(
    seed: int, number: int, batch: int, n_instances: int, n: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Instances (sample,), and one coalition for each (sample, player)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, number)))
    ranks = rng.random((batch, n)).argsort(axis=1).argsort(axis=1)
    drawn = ranks < rng.integers(0, n + 1, batch)[:, None]
    return rng.integers(0, n_instances, batch), drawn


def _marginals(
    values: Callable[[NDArray[np.intp], NDArray[np.bool_]], Floats],
    instances: NDArray[np.intp],
    drawn: NDArray[np.bool_],
    players: NDArray[np.intp],
    spread: float,
) -> Floats:
    """Marginal contributions v(S ∪ i) − v(S ∖ i) to each sample's coalition S: (sample, player)."""
    other = np.repeat(drawn[:, None], 1 + len(players), axis=1)
    places = np.arange(len(players))
    other[:, 1 + places, players] ^= True
    repeated = np.repeat(instances, 1 + len(players))
    told = finite("the values", values(repeated, other.reshape(-1, drawn.shape[1])))
    if told.shape != repeated.shape:
        raise InputError(
            f"values of shape {told.shape} for {len(repeated)} coalitions: one for each is needed"
        )
    found = told.reshape(len(drawn), -1)
    there = np.where(drawn[:, players], 1.0, -1.0)
    marginal = there * (found[:, :1] - found[:, 1:])
    # Otherwise the bets would be unfair, and could lose more than the whole wealth.
    if np.ptp(marginal) > spread * (1 + ROUNDING):
        raise InputError(
            f"spread {spread}: marginal contributions are {np.ptp(marginal):g} apart; give how far "
            "apart they can be"
        )
    return marginal


def _top(
    moments: _Moments,
    k: int,
    evaluations: int,
    decided: bool,
    trace: Sequence[tuple[int, int]],
    state: _Search | None = None,
) -> TopK:
    players = np.argsort(-moments.mean, kind="stable")[:k]
    variance = np.where(moments.count > 1, moments.variance(), np.nan)
    errors = np.sqrt(variance / np.maximum(moments.count, 1))
    mean, count = moments.mean, moments.count
    return TopK(players, mean, errors, count, evaluations, decided, list(trace), state)
