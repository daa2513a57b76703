"""Shapley values of a mean over many instances, each of which can be evaluated alone.

The value of a coalition is V(S) = Σ_i g_i v_i(S) over instances i, such as images, with weights g.
The Shapley value is linear, so it is the same weighted sum of the instances' own Shapley values.
Each instance may therefore be evaluated on its own coalitions, and the errors cancel in the sum. A
batch that shares one order, as in the paper's Algorithm 1, says barely more about the order than
one instance does.

Coalitions are a function of a seed, the instance and the number of a *round*. So any number of
processes draw the same ones, and further rounds leave earlier rounds unchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arguments import array, finite, real, seed_of, whole
from pipeline.core.errors import InputError
from pipeline.shapley.estimate import students_interval

Floats = NDArray[np.float64]
Weights = Floats
"""(instance,)"""

WALKS, PAIRS = 0, 1
"""Streams of random numbers."""


@dataclass(frozen=True, eq=False)
class PooledEstimate:
    """Estimated Shapley values of all players."""

    values: Floats
    """(player,)"""
    standard_errors: Floats
    """(player,) error due to the coalitions drawn, for fixed instances; NaN where a single round
    does not allow an estimate"""
    degrees_of_freedom: Floats
    """(player,) of the standard errors (Satterthwaite's); Inf where values are exact, NaN where
    there are fewer than :data:`LEAST_FREEDOM`"""

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper ends (player,), as :meth:`pipeline.shapley.estimate.Estimate.interval`.

        Raises:
            InputError: the level is not between 0 and 1.
        """
        return students_interval(self.values, self.standard_errors, self.degrees_of_freedom, level)


LEAST_FREEDOM = 7
"""Fewest degrees of freedom for an interval: those of eight replicates."""


def _estimate(values: Floats, squares: Floats, freedom: Floats | float) -> PooledEstimate:
    """An estimate whose squared standard errors are sums over parts.

    Args:
        values: (player,)
        squares: (part, player) squared standard errors.
        freedom: degrees of freedom of each part.
    """
    total = squares.sum(axis=0)
    parts = (squares**2 / freedom).sum(axis=0)
    found = np.divide(total**2, parts, out=np.full_like(total, np.nan), where=parts > 0)
    return PooledEstimate(
        values, np.sqrt(total), np.where(found >= LEAST_FREEDOM * (1 - 1e-9), found, np.nan)
    )


def orders_of(seed: int, instances: NDArray[np.integer], number: int, n: int) -> NDArray[np.intp]:
    """The order of all players for each instance in a round: (instance, place).

    Raises InputError if the seed, an instance or the round is negative, or there is no player.
    """
    instances, number, n = _drawn_for(seed, instances, number, n)
    if not len(instances):
        return np.empty((0, n), dtype=np.intp)
    return np.stack([_stream(seed, WALKS, i, number).permutation(n) for i in instances])


def pairs_of(
    seed: int, instances: NDArray[np.integer], number: int, count: int, n: int
) -> NDArray[np.bool_]:
    """Pairs of a coalition and its complement, for each instance in a round.

    All sizes from 1 to n − 1 are equally likely, and within a size all coalitions: sampling by
    leverage scores (Musco and Witter, "Provably accurate Shapley value estimation via leverage
    score sampling", 2025).

    Returns:
        (instance, 2 · count, player) membership, each coalition followed by its complement.

    Raises:
        InputError: as :func:`orders_of`, or the count is negative.
    """
    instances, number, n = _drawn_for(seed, instances, number, n)
    count = whole("count", count, 0)
    found = np.zeros((len(instances), 2 * count, n), dtype=np.bool_)
    for row, instance in enumerate(instances):
        rng = _stream(seed, PAIRS, instance, number)
        ranks = rng.random((count, n)).argsort(axis=1).argsort(axis=1)
        sizes = rng.integers(1, max(n, 2), count)
        found[row, ::2] = ranks < sizes[:, None]
    found[:, 1::2] = ~found[:, ::2]
    return found


def _drawn_for(
    seed: int, instances: NDArray[np.integer], number: int, n: int
) -> tuple[NDArray[np.integer], int, int]:
    """Check and convert the arguments of a draw. Raises InputError if they are invalid."""
    seed_of(seed)
    given = array("instances", instances)
    if given.ndim != 1 or (given.size and (given.dtype.kind not in "iu" or given.min() < 0)):
        raise InputError(
            f"instances of shape {given.shape}, {given.dtype}: their numbers, a row of integers "
            "counted from 0, are needed"
        )
    return given, whole("round", number, 0), whole("n", n)


def _stream(seed: int, kind: int, instance: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, instance, number)))


def contributions(values: Floats, orders: NDArray[np.integer]) -> Floats:
    """Marginal contributions along walks.

    Args:
        values: (…, n + 1) the value after the first k players of the order are removed.
        orders: (…, n) the players in the order in which they are removed.

    Returns:
        (…, player)

    Raises:
        InputError: the shapes do not match, or an order does not name each player once.
    """
    orders, values = array("orders", orders), array("values", values)
    length = values.shape[-1] - 1 if values.ndim else 0
    named = orders.dtype.kind in "iu" and orders.shape == (*values.shape[:-1], length)
    # If a player is named twice, another one is missing.
    there = np.zeros(orders.shape, dtype=np.bool_)
    if named and orders.size and 0 <= orders.min() <= orders.max() < length:
        np.put_along_axis(there, orders, values=True, axis=-1)
    if not named or not there.all():
        raise InputError(
            f"orders of shape {orders.shape}, {orders.dtype}, for values of shape {values.shape}: "
            f"(…, n) of (…, n + 1) values are needed, with each player, 0 to n − 1, once in a row"
        )
    found = np.empty(orders.shape)
    np.put_along_axis(found, orders, values[..., :-1] - values[..., 1:], axis=-1)
    return found


def from_walks(
    values: NDArray[np.floating], orders: NDArray[np.integer], weights: Weights
) -> PooledEstimate:
    """Shapley values from one walk of each instance in each round; unbiased.

    Args:
        values: (instance, round, n + 1) as for :func:`contributions`.
        orders: (instance, round, n)
        weights: (instance,)

    Raises:
        InputError: the shapes do not match, an order does not name each player once, or values or
            weights are not finite.
    """
    orders = array("orders", orders)
    values, weights = _checked(values, orders.shape[-1] + 1 if orders.ndim else 0, weights)
    marginal = contributions(values, orders)
    mean = np.tensordot(weights, marginal.mean(axis=1), axes=1)
    rounds = values.shape[1]
    if rounds == 1:
        return _unknown(mean)
    spread = marginal.var(axis=1, ddof=1) / rounds
    return _estimate(mean, weights[:, None] ** 2 * spread, rounds - 1)


def until(
    estimate: Callable[[int], PooledEstimate],
    tolerance: float,
    *,
    first: int = 2,
    most: int = 1 << 20,
    advance: Callable[[int, float], None] | None = None,
) -> tuple[PooledEstimate, int, bool]:
    """Add rounds until the largest standard error meets a tolerance.

    Errors fall with the square root of the number of rounds, so each step uses as many rounds as
    that predicts, and at least half as many again. Rounds evaluated before need no new evaluation,
    since they stay the same (:func:`orders_of`, :func:`pairs_of`).

    Args:
        estimate: makes an estimate from a number of rounds.
        tolerance: largest standard error allowed.
        first: rounds of the first step, at least two.
        most: number of rounds that ends the search in any case.
        advance: called with the rounds and the largest standard error after each step.

    Returns:
        The estimate, its rounds, and whether the tolerance is met.

    Raises:
        InputError: the tolerance is not above 0, there are fewer than two rounds, or the
            estimate's standard errors are NaN.
    """
    if not callable(estimate):
        raise InputError(f"estimate: a {type(estimate).__name__}; a function of rounds is needed")
    first, most = whole("first", first, None), whole("most", most)
    if not real("tolerance", tolerance) > 0 or not 2 <= first <= most:
        raise InputError(
            f"tolerance {tolerance}, from {first} to {most} rounds: the tolerance must be above 0, "
            "and there must be at least two rounds"
        )
    rounds = first
    while True:
        found = estimate(rounds)
        if not isinstance(found, PooledEstimate):
            raise InputError(f"estimate gives a {type(found).__name__}, not a PooledEstimate")
        error = float(np.max(found.standard_errors))
        if np.isnan(error):
            raise InputError(
                f"the standard errors of {rounds} rounds are NaN: the tolerance cannot be checked"
            )
        if advance is not None:
            advance(rounds, error)
        if error <= tolerance or rounds >= most:
            return found, rounds, error <= tolerance
        asked = rounds * min((error / tolerance) ** 2, 4.0)
        rounds = min(most, max(int(np.ceil(asked)), rounds + (rounds + 1) // 2))


def regress(
    coalitions: NDArray[np.bool_],
    values: NDArray[np.floating],
    nobody: Floats,
    everybody: Floats,
    weights: Weights,
) -> PooledEstimate:
    """Shapley values by weighted least squares over all instances' coalitions; consistent.

    The Shapley value is the solution of a least-squares problem over coalitions, with weights
    1 / (s (n − s)) where sizes s are equally likely. An instance's values are taken relative to the
    line between v_i(∅) and v_i(N), so differences between instances cancel. The values sum to
    V(N) − V(∅). Errors are those of the jackknife over rounds, with rounds − 1 degrees of freedom.

    Args:
        coalitions: (instance, round, coalition, player) from :func:`pairs_of`.
        values: (instance, round, coalition)
        nobody: (instance,) v_i(∅)
        everybody: (instance,) v_i(N)
        weights: (instance,); negative weights subtract an instance.

    Raises:
        InputError: the shapes do not match, values or weights are not finite, the empty or the full
            coalition is among the coalitions, or there are too few coalitions for the players.
    """
    coalitions = array("coalitions", coalitions)
    values, weights = _checked(values, None, weights)
    nobody, everybody = finite("nobody", nobody), finite("everybody", everybody)
    if coalitions.dtype != np.bool_ or coalitions.shape[:-1] != values.shape:
        raise InputError(
            f"coalitions of shape {coalitions.shape}, {coalitions.dtype}, for values of shape "
            f"{values.shape}: (instance, round, coalition, player) bool is needed"
        )
    if not nobody.shape == everybody.shape == weights.shape:
        raise InputError(
            f"nobody of shape {nobody.shape} and everybody of {everybody.shape}: a value of each "
            f"of {len(weights)} instances is needed"
        )
    n = coalitions.shape[-1]
    total = float(weights @ (everybody - nobody))
    if n == 1:
        return PooledEstimate(np.array([total]), np.zeros(1), np.full(1, np.inf))
    if (coalitions.all(axis=-1) | ~coalitions.any(axis=-1)).any():
        raise InputError(
            "coalitions: the empty or the full one is among them; leave them out, and give their "
            "values as nobody and everybody"
        )
    found, squares = np.full(n, total / n), [np.zeros(n)]
    for sign in (1, -1):
        part = np.flatnonzero(sign * weights > 0)
        if len(part):
            line = nobody[part], everybody[part]
            own = np.abs(weights[part])
            # This solves for the instances' weighted mean.
            solved = _solved(coalitions[part], values[part], *line, own / own.sum())
            found += sign * own.sum() * solved.values
            squares.append((own.sum() * solved.standard_errors) ** 2)
    if coalitions.shape[1] == 1:
        return _unknown(found)
    return _estimate(found, np.stack(squares), coalitions.shape[1] - 1)


def _unknown(values: Floats) -> PooledEstimate:
    """Values of a single round, which does not allow an estimate of the error."""
    nothing = np.full_like(values, np.nan)
    return PooledEstimate(values, nothing, nothing)


def _solved(
    coalitions: NDArray[np.bool_],
    values: NDArray[np.floating],
    nobody: Floats,
    everybody: Floats,
    weights: Weights,
) -> PooledEstimate:
    """Deviations from equal shares, for positive weights that sum to 1."""
    n, rounds = coalitions.shape[-1], coalitions.shape[1]
    sizes = coalitions.sum(axis=-1)
    kernel = weights[:, None, None] / (sizes * (n - sizes))
    rise = (everybody - nobody)[:, None, None]
    left = kernel * (values - nobody[:, None, None] - sizes / n * rise)

    def equations(number: int) -> tuple[Floats, Floats]:
        centred = (coalitions[:, number] - sizes[:, number, :, None] / n).reshape(-1, n)
        product = (centred.T * kernel[:, number].ravel()) @ centred
        return product, centred.T @ left[:, number].ravel()

    product, total = np.zeros((n, n)), np.zeros(n)
    for number in range(rounds):
        product, total = (a + b for a, b in zip((product, total), equations(number), strict=True))
    # Centred memberships sum to 0 over players, and so do the solutions, whatever is added here.
    filled = np.full((n, n), np.trace(product) / n**2)
    _refuse_too_few(product, coalitions)
    mean = np.linalg.solve(product + filled, total)
    if rounds == 1:
        return _unknown(mean)
    # A round's equations are computed again: for many players they would not all fit in memory.
    without = np.empty((rounds, n))
    for number in range(rounds):
        own, part = equations(number)
        without[number] = np.linalg.solve(product - own + filled, total - part)
    spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    return _estimate(mean, spread[None] * (rounds - 1) / rounds, rounds - 1)


def _refuse_too_few(product: Floats, coalitions: NDArray[np.bool_]) -> None:
    """Raise InputError unless the coalitions determine the values, also without any one round."""
    n, rounds = coalitions.shape[-1], coalitions.shape[1]
    # A coalition and its complement give only one equation.
    pairs = int(np.prod(coalitions.shape[:3])) // 2
    left = pairs if rounds == 1 else pairs - pairs // rounds
    if left < n - 1 or np.linalg.matrix_rank(product, hermitian=True) < n - 1:
        raise InputError(
            f"{pairs} pairs of coalitions in {rounds} rounds do not determine the values of {n} "
            "players: evaluate more pairs, or more rounds"
        )


def _checked(
    values: NDArray[np.floating], length: int | None, weights: Weights
) -> tuple[Floats, Weights]:
    values, weights = array("values", values), finite("weights", weights)
    shape = values.shape
    fit = len(shape) == 3 and 0 not in shape and weights.shape == shape[:1]
    if not fit or length not in (None, shape[-1]):
        last = "coalition" if length is None else length
        raise InputError(
            f"values of shape {shape} and weights of shape {weights.shape}: (instance, round, "
            f"{last}), each at least 1, and (instance,) are needed"
        )
    if not np.isfinite(values).all():
        raise InputError("NaN or Inf among the values: no Shapley value exists")
    return values.astype(np.float64, copy=False), weights
