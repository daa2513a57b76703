"""Which players have the k largest Shapley values, found without all values being precise.

* :func:`tmab` is Algorithm 1 of Neuron Shapley, as printed: Monte Carlo over orders, early
  truncation, and players that are left out of sampling as soon as their bounds exclude the k-th
  largest value. With ``adaptive=False`` all players are sampled to the end (MC-Shapley).
* :func:`compared` samples the marginal contributions of all players that are not decided yet
  relative to one random coalition of one instance (CMCS, see there), and stops when each of the k
  largest is known not to be below any other player by more than a tolerance.

Print and released code of the paper differ. Followed is the print: the threshold is the k-th value
(the code takes the next one), the bounds are those of Appendix G with a range of 1, ε counts (the
code never uses it), and truncation begins at the first value below v_T (the code waits for six).
A player that is sampled after one that is not costs two evaluations. The bounds are neither
corrected for the number of players nor for being looked at after each iteration.
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
"""Bets of the tests."""

ROUNDING = 1e-6
"""Part of the spread by which rounding may bring marginal contributions further apart."""

AT_ONCE = 1 << 22
"""Numbers that tests multiply at once."""


@dataclass(frozen=True, eq=False)
class TopK:
    """The players with the k largest values, as far as they are told apart."""

    players: NDArray[np.intp]
    """(k,) those of the largest estimates, largest first"""
    values: Floats
    """(player,) estimates"""
    standard_errors: Floats
    """(player,); NaN of a single sample"""
    samples: NDArray[np.int64]
    """(player,) marginal contributions that each estimate is the mean of"""
    evaluations: int
    """values of the game that were asked for"""
    decided: bool
    """whether the stopping rule was met"""
    trace: list[tuple[int, int]] = field(default_factory=list)
    """evaluations so far and players that are still sampled, after each iteration"""
    state: "_Search | None" = None
    """what :func:`compared` goes on from"""


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
    variance, count = array("variance", variance), array("count", count)
    log = np.log(2 / real("failure", failure, above=0, below=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.sqrt(2 * log * variance / count) + 7 * spread * log / (3 * (count - 1.0))
    return np.where(count > 1, half, np.inf)


def check_k(k: int, n_players: int) -> None:
    """Raise InputError unless some players, but not all, are looked for."""
    if not 1 <= whole("k", k, None) < whole("n_players", n_players):
        raise InputError(
            f"k: {k} of {n_players} players; the number that is looked for is 1 to {n_players - 1}"
        )


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
        InputError: k, epsilon or delta that does not fit, no iterations, one whose order does not
            name each player once, or that has NaN or Inf.
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
        raise InputError("no iterations: nothing is known of any player")
    return _top(moments, k, evaluations, not sampled.any(), trace)


def _checked_iteration(given: Any, n_players: int) -> tuple[NDArray[np.integer], Floats]:
    """An order and its values. Raises InputError unless they are of all players, and finite."""
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
    bound: Bound = "betting",
    spread: float = 2.0,
    batch: int = 128,
    most: int = 1 << 30,
    seed: int = 0,
    before: TopK | None = None,
    advance: Callable[[int], None] | None = None,
) -> TopK:
    """The k largest values of the mean over instances, by comparable marginal contributions.

    A sample is an instance, drawn at random, and a coalition of a size that is uniform on 0 … n; of
    it the marginal contributions v(S ∪ i) − v(S ∖ i) of all undecided players are taken (CMCS;
    Kolpaczki, Nielen and Hüllermeier, 2025). Samples are independent, and what a player contributes
    more than another varies less than what they contribute.

    A player of the k largest so far is decided when tests have rejected, for every player outside,
    that its value is more than ε below that one's (:class:`_Pairs`).

    Args:
        values: of instances (m,) and coalitions (m, player): (m,), such as whether a network is
            right about an image.
        n_players: players of the game.
        n_instances: instances, all of the same weight.
        k: number of the largest values that are looked for.
        epsilon: a chosen player's value may be as much below that of one that is left out.
        delta: failure probability of the whole search.
        bound: ``betting`` (a guarantee) or ``normal`` (for many samples).
        spread: largest less smallest marginal contribution; 2 where values are 0 or 1.
        batch: samples between looks, at first; later a sixteenth of those that there are.
        most: evaluations at which the search ends undecided.
        seed: of the samples.
        before: what the same search found until it ended undecided; it goes on from there.
        advance: told the number of evaluations as they are made.

    Raises:
        InputError: arguments out of their range, ``before`` of another search; values that are
            NaN, not as many as coalitions, or further apart than ``spread``.
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
    """A new search, or a copy of where one ended. Raises InputError if it was another search."""
    if before is None:
        pairs = _Pairs.of(n_players, epsilon, spread)
        return _Search(pairs, _Moments.of(n_players), np.ones(n_players, dtype=bool))
    state = before.state if isinstance(before, TopK) else None
    found = state and (len(state.open), state.pairs.epsilon, state.pairs.spread)
    if state is None or found != (n_players, epsilon, spread):
        raise InputError(
            f"before: was found of (players, epsilon, spread) {found}; this search is of "
            f"{(n_players, epsilon, spread)}: begin it anew"
        )
    return deepcopy(state)


@dataclass
class _Search:
    """Where a search stands."""

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
        """Find out which players are not decided yet."""
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
    """Tests of how much one player contributes more than another, on the samples of both.

    If a search's answer is wrong, a true hypothesis was rejected about one of the k truly largest
    and one of the others, of which there are k (n − k) pairs: so each test has a failure
    probability of δ / (k (n − k)).

    * ``betting``: a test bets that its hypothesis is false. Its wealth is the mean over some λ of
      Π (1 + λ y), with y = (difference + ε) / spread. While the hypothesis is true it is a
      supermartingale, so looking at it after every batch needs no correction (Waudby-Smith and
      Ramdas, 2024; Ville's inequality). This is a guarantee.
    * ``normal``: the mean difference and its standard error, with δ divided among looks as well,
      and one largest difference counted in addition, since samples that were all alike prove
      nothing. This holds for many samples.
    """

    epsilon: float
    spread: float
    count: Floats
    total: Floats
    squares: Floats
    bets: Floats
    """(λ, player, player) logarithms of what was won against the first being below the second"""

    @classmethod
    def of(cls, n: int, epsilon: float, spread: float) -> "_Pairs":
        count, total, squares = np.zeros((3, n, n))
        return cls(epsilon, spread, count, total, squares, np.zeros((len(LAMBDAS), n, n)))

    def add(self, players: NDArray[np.intp], marginal: Floats) -> None:
        """Add marginal contributions (sample, player) of some players; a batch of samples."""
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
                # Of a hundred factors the product is far from what a number can hold.
                for part in np.array_split(y, -(-len(y) // 128)):
                    self.bets[number][at] += np.log((1 + bet * part).prod(axis=0))

    def log_wealth(self, inside: NDArray[np.intp], outside: NDArray[np.intp]) -> Floats:
        """Evidence against each of ``inside`` being more than ε below each of ``outside``."""
        bets = self.bets[:, inside[:, None], outside]
        found: Floats = logsumexp(bets, axis=0) - np.log(len(LAMBDAS))
        return found

    def lowest(self, inside: NDArray[np.intp], outside: NDArray[np.intp], failure: float) -> Floats:
        """A lower bound of the difference, by the normal distribution."""
        some = np.ix_(inside, outside)
        count = np.maximum(self.count[some], 1)
        mean = self.total[some] / count
        variance = (self.squares[some] + self.spread**2) / count - mean**2
        return mean + ndtri(failure) * np.sqrt(variance / count)


def _drawn(
    seed: int, number: int, batch: int, n_instances: int, n: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Instances, and a coalition of each: (sample,) and (sample, player)."""
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
    """v(S ∪ i) − v(S ∖ i) of each sample's coalition S: (sample, player)."""
    other = np.repeat(drawn[:, None], 1 + len(players), axis=1)
    places = np.arange(len(players))
    other[:, 1 + places, players] ^= True
    repeated = np.repeat(instances, 1 + len(players))
    told = finite("the values", values(repeated, other.reshape(-1, drawn.shape[1])))
    if told.shape != repeated.shape:
        raise InputError(
            f"values of shape {told.shape} for {len(repeated)} coalitions: one of each is needed"
        )
    found = told.reshape(len(drawn), -1)
    there = np.where(drawn[:, players], 1.0, -1.0)
    marginal = there * (found[:, :1] - found[:, 1:])
    # What is bet would not be fair otherwise, and could be lost more than wholly.
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
