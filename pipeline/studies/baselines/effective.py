"""Effective Shapley values: ratios between Shapley values, from proportional samples.

"The Effective Coalitions of Shapley Value for Integrated Gradients", Section 4.2, Algorithm 1 and
Eq. 5. Coalitions are drawn at random, grouped by size. Those at which player i's marginal
contribution v(S ∪ i) − v(S) is not zero are effective for i. They are classified by marginal
contribution j into sets m_j, and these by size k into cells d_jk. Of cell d_jk

    C_jk = normalization(|m_j| / Σ|m_j| · k! (n − k − 1)! / n!) · T

coalitions are kept, T in all, so that their plain average weights marginal contributions as the
Shapley value does. Where the text leaves a choice:

* *One sample for all players.* Algorithm 1 draws before its loop over players. The same number of
  coalitions of every size is drawn, or all of them if there are fewer, without replacement. The
  text takes S without i. Here a coalition S that holds i is used as S∖i, so that each one serves
  every player, and every player has about as many coalitions at each size. Their means by size
  remain unbiased.
* *Sizes without draws.* With few draws a player may get no coalition of some size, if those drawn
  of that size all held it and those one larger did not. Its mean at that size is then replaced by
  the mean over the other sizes. The two differ if marginal contributions grow or shrink with the
  size, so estimates from few draws are biased. For ``rules_12``
  (:mod:`pipeline.studies.baselines.utilities`) the means over many draws are off by 3 % of the sum
  of the absolute Shapley values with one coalition of each size (by up to 7 % of a player's own,
  and a sixth of the standard deviation of one estimate), by 0.6 % with two. With four the bias is
  indistinguishable from chance (0.1 %).
* *Zero.* Networks give no exact zeros, so a tolerance decides what counts as zero.
* *Classes.* The text treats every distinct j as a class. Without ``bins`` classes are the values
  that lie more than the tolerance apart when they are sorted. With ``bins`` they are that many
  intervals of equal width between a player's smallest and largest effective marginal contribution.
* *Counts.* Eq. 5 as printed has the size of the class m_j where the argument before it (the
  contribution of d_jk "consists of factor … and number of coalitions in d_jk") needs that of the
  cell d_jk. As printed, sizes 0 and n − 1, whose factor is the greatest although each has only one
  coalition, get most of the sample. ``counts="weighted"`` follows the argument: a cell counts
  |d_jk| · factor · C(n − 1, k) / b_k, where b_k of the C(n − 1, k) coalitions of its size were
  drawn (in a sample that is grouped by size the factor alone would be wrong). ``counts="printed"``
  is Eq. 5 to the letter, over the cells that hold any coalition.
* *Normalization and rounding.* The C_jk of a player are scaled to sum to T. They are rounded up or
  down at random so that each keeps its expectation (systematic sampling). Rounding to the nearest
  would leave out all small cells. A network, whose marginal contributions are all different, has as
  many cells as coalitions.
* *More than there are.* If C_jk exceeds |d_jk|, every coalition of the cell is taken equally often,
  except that a random part is taken once more. Otherwise the cell gives a random sample without
  repeats.
* *From averages to ratios.* Section 4.3 averages the kept marginal contributions. T is the same for
  all players, so this average ignores how seldom a player is effective: a player who gains 1 in one
  coalition of a hundred gets the same as one who gains 1 in all. The proof of Theorem 2 requires
  numbers of effective coalitions in the proportion of those that exist. So ``values`` are the
  averages times the effective share, the part of the Shapley value's weights that lies on effective
  coalitions, and ``allotment="proportional"`` also keeps coalitions in that proportion.

Once all coalitions are drawn, the effective shares are exact. The values of weighted counts are
then the Shapley values up to the rounding of counts, which vanishes as T grows. So are the values
of printed counts if all effective marginal contributions of a player are one class (as in additive
games), or if each class has coalitions of one size only. Otherwise printed counts tend to other
values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arguments import real, whole
from pipeline.core.errors import InputError
from pipeline.shapley.coalitions import Masks, from_bool, membership_of_ranks, to_bool
from pipeline.shapley.estimate import Seed, child
from pipeline.shapley.games import CountedGame, Game, check_game, counted, masks_of
from pipeline.studies.baselines.quality import normalised

Counts = Literal["weighted", "printed"]
Allotment = Literal["equal", "proportional"]
Floats = NDArray[np.float64]

MOST_PLAYERS = 64

MAX_LISTED = 1 << 18
"""Largest number of coalitions of a size for drawing by number; of more, random ones are drawn
until they are distinct."""


@dataclass(frozen=True, eq=False)
class PlayerSample:
    """Effective coalitions of one player, and the kept ones among them."""

    coalitions: Masks
    """(T,) the kept coalitions S, without the player; repeated if a cell has too few"""
    marginals: Floats
    """(T,) v(S ∪ i) − v(S) of each"""
    classes: Floats
    """(class,) mean marginal contribution of each class m_j, ascending"""
    available: NDArray[np.int64]
    """(class, size) effective coalitions drawn, |d_jk|; size = 0 … n − 1"""
    counts: NDArray[np.int64]
    """(class, size) coalitions kept, C_jk"""


@dataclass(frozen=True, eq=False)
class EffectiveShapley:
    """Effective Shapley values of all players for one output."""

    samples: tuple[PlayerSample, ...]
    """of each player"""
    averages: Floats
    """(player,) mean marginal contribution of the kept coalitions; 0 if there are none"""
    shares: Floats
    """(player,) estimated part of the Shapley value's weights on effective coalitions"""
    values: Floats
    """(player,) averages times shares: estimated Shapley values"""
    unsampled: Floats
    """(player,) the same from all effective coalitions, each times its factor, before the second
    sampling (of T coalitions)"""
    evaluations: int
    """distinct coalitions evaluated"""

    @property
    def ratios(self) -> Floats:
        """(player,) the values divided by the sum of their absolute values."""
        return ratios(self.values)


def ratios(values: NDArray[np.floating], axis: int = -1) -> Floats:
    """:func:`quality.normalised` values; 0 if all are 0: players without effect have no share."""
    return normalised(values, axis, empty=0.0)


def effective_shapley(
    game: Game,
    *,
    per_size: int,
    n_kept: int,
    tolerance: float = 1e-9,
    bins: int | None = None,
    counts: Counts = "weighted",
    allotment: Allotment = "equal",
    output: int = 0,
    seed: Seed = 0,
    advance: Callable[[int], None] | None = None,
) -> EffectiveShapley:
    """Estimate ratios between Shapley values by Effective Shapley values (Algorithm 1).

    Args:
        game: any game of up to 64 players.
        per_size: the most coalitions drawn of each size from 0 to n. Each is evaluated together
            with the n coalitions that differ from it in one player.
        n_kept: T, coalitions kept for a player.
        tolerance: largest absolute marginal contribution that counts as zero, in the game's unit.
        bins: classes of marginal contributions; None: every distinct value is one.
        counts: ``weighted``, or ``printed``: Eq. 5 to the letter.
        allotment: ``equal``: T for every player; ``proportional``: T for the player with the
            largest effective share, for the others in proportion to theirs, at least one.
        output: number of the game's output.
        seed: of the draws: the same seed gives the same result.
        advance: called with numbers of new evaluations.

    Raises:
        InputError: an argument out of range, an object that is no game, or a game that returns NaN
            or Inf.
    """
    _check(game, per_size, n_kept, tolerance, bins, counts, allotment, output)
    wrapped = counted(game, advance)
    drawn = draw_by_size(game.n_players, per_size, child(seed, 0))
    gains = _marginals(wrapped, drawn, output)
    pools = [
        _pool(drawn, gains[:, player], player, game.n_players, tolerance)
        for player in range(game.n_players)
    ]
    shares = np.array([pool.weights.sum() for pool in pools])
    kept = _allotted(n_kept, shares, allotment)
    samples = tuple(
        _sample(pool, number, game.n_players, tolerance, bins, counts, child(seed, 1 + player))
        for player, (pool, number) in enumerate(zip(pools, kept, strict=True))
    )
    averages = np.array([s.marginals.mean() if len(s.marginals) else 0.0 for s in samples])
    return EffectiveShapley(
        samples=samples,
        averages=averages,
        shares=shares,
        values=averages * shares,
        unsampled=np.array([pool.weights @ pool.marginals for pool in pools]),
        evaluations=wrapped.evaluations,
    )


def _allotted(n_kept: int, shares: Floats, allotment: Allotment) -> list[int]:
    """Number of coalitions to keep for each player."""
    if allotment == "equal" or not shares.any():
        return [n_kept] * len(shares)
    return [max(1, int(number)) for number in np.rint(n_kept * shares / shares.max())]


def draw_by_size(n_players: int, per_size: int, generator: np.random.Generator) -> Masks:
    """Distinct random coalitions, the same number (or all) of every size, ordered by size: (m,).

    Args:
        n_players: at most 64.
        per_size: the most coalitions of each size from 0 to ``n_players``.
        generator: of the draws.
    """
    sizes, numbers, drawn = list[int](), list[int](), list[Masks]()
    for size in range(n_players + 1):
        total = comb(n_players, size)
        count = min(per_size, total)
        if total <= MAX_LISTED:
            sizes += [size] * count
            numbers += generator.choice(total, count, replace=False).tolist()
        else:
            drawn.append(_distinct(n_players, size, count, generator))
    # One call for all sizes drawn by number: separate calls would take longer than all else here.
    found = membership_of_ranks(
        n_players, np.array(sizes, dtype=np.int64), np.array(numbers, dtype=np.int64)
    )
    masks = np.concatenate([from_bool(found), *drawn])
    return masks[np.argsort(np.bitwise_count(masks), kind="stable")]


def _distinct(n_players: int, size: int, count: int, generator: np.random.Generator) -> Masks:
    found = np.empty(0, dtype=np.uint64)
    while len(found) < count:
        scores = generator.random((count - len(found), n_players))
        membership = np.zeros(scores.shape, dtype=np.bool_)
        members = np.argpartition(scores, size - 1, axis=1)[:, :size]
        np.put_along_axis(membership, members, values=True, axis=1)
        joined = np.concatenate([found, masks_of(membership)])
        found = joined[np.sort(np.unique(joined, return_index=True)[1])]
    return found


def _marginals(game: CountedGame, drawn: Masks, output: int) -> Floats:
    """Marginal contribution of each player to each coalition without it: (coalition, player)."""
    n = game.n_players
    bits = np.left_shift(np.uint64(1), np.arange(n, dtype=np.uint64))
    toggled = drawn[:, None] ^ bits
    values = game(np.concatenate([drawn, toggled.ravel()]))[:, output].astype(np.float64)
    change = values[: len(drawn), None] - values[len(drawn) :].reshape(toggled.shape)
    return np.where(to_bool(drawn, n), change, -change)


@dataclass(frozen=True, eq=False)
class _Pool:
    """The effective coalitions of one player among the drawn ones."""

    masks: Masks
    sizes: NDArray[np.int64]
    marginals: Floats
    weights: Floats
    """of the marginal contributions in the estimated Shapley value"""


def _pool(drawn: Masks, gains: Floats, player: int, n_players: int, tolerance: float) -> _Pool:
    masks, first = np.unique(drawn & ~np.uint64(1 << player), return_index=True)
    marginals = gains[first]
    sizes = np.bitwise_count(masks).astype(np.int64)
    n_drawn = np.bincount(sizes, minlength=n_players)
    # A size without draws for this player gets the mean of the other sizes; the module's text
    # quantifies the bias.
    weights = 1 / (np.count_nonzero(n_drawn) * n_drawn[sizes])
    effective = np.abs(marginals) > tolerance
    return _Pool(masks[effective], sizes[effective], marginals[effective], weights[effective])


def _sample(
    pool: _Pool,
    n_kept: int,
    n_players: int,
    tolerance: float,
    bins: int | None,
    counts: Counts,
    generator: np.random.Generator,
) -> PlayerSample:
    if not len(pool.masks):
        none = np.zeros((0, n_players), dtype=np.int64)
        return PlayerSample(pool.masks, pool.marginals, pool.marginals, none, none)
    labels = _classes(pool.marginals, bins, tolerance)
    n_classes = int(labels.max()) + 1
    shape = (n_classes, n_players)
    cells = labels * n_players + pool.sizes
    available = np.bincount(cells, minlength=n_classes * n_players)
    if counts == "weighted":
        wanted = np.zeros(n_classes * n_players)
        np.add.at(wanted, cells, pool.weights)
    else:
        factors = [1 / (n_players * comb(n_players - 1, k)) for k in range(n_players)]
        in_class = np.bincount(labels)
        wanted = np.where(available > 0, np.outer(in_class, factors).ravel(), 0.0)
    kept = _apportioned(wanted, n_kept, generator)
    times = _times(cells, available, kept, generator)
    return PlayerSample(
        coalitions=np.repeat(pool.masks, times),
        marginals=np.repeat(pool.marginals, times),
        classes=np.bincount(labels, weights=pool.marginals) / np.bincount(labels),
        available=available.reshape(shape),
        counts=kept.reshape(shape),
    )


def _classes(marginals: Floats, bins: int | None, tolerance: float) -> NDArray[np.int64]:
    """Class of each marginal contribution, counted from 0 by ascending value."""
    if bins is None:
        order = np.argsort(marginals, kind="stable")
        labels = np.zeros(len(marginals), dtype=np.int64)
        labels[order[1:]] = np.cumsum(np.diff(marginals[order]) > tolerance)
        return labels
    low, high = marginals.min(), marginals.max()
    if low == high:
        return np.zeros(len(marginals), dtype=np.int64)
    places = np.minimum(((marginals - low) / (high - low) * bins).astype(np.int64), bins - 1)
    held = np.bincount(places, minlength=bins) > 0
    return np.asarray((np.cumsum(held) - 1)[places], dtype=np.int64)


def _apportioned(wanted: Floats, total: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Whole numbers that sum to ``total``, within 1 of the proportions of ``wanted``.

    Each number counts the whole numbers that its part of the cumulative sum passes, from a random
    start (systematic sampling).
    """
    result = np.zeros(len(wanted), dtype=np.int64)
    held = np.flatnonzero(wanted)  # so that rounding errors give nothing to an empty cell
    ends = np.cumsum(wanted[held])
    ends = np.minimum(ends * (total / ends[-1]), total)
    ends[-1] = total
    result[held] = np.diff(np.floor(ends + generator.random()).astype(np.int64), prepend=0)
    return result


def _times(
    cells: NDArray[np.int64],
    available: NDArray[np.int64],
    kept: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """How often each coalition is kept, so that each cell gets its count: (coalition,)."""
    order = np.lexsort((generator.random(len(cells)), cells))
    starts = np.cumsum(available) - available
    ranks = np.empty(len(cells), dtype=np.int64)
    ranks[order] = np.arange(len(cells)) - starts[cells[order]]
    turns, rest = np.divmod(kept[cells], available[cells])
    return turns + (ranks < rest)


def _check(
    game: Game,
    per_size: int,
    n_kept: int,
    tolerance: float,
    bins: int | None,
    counts: str,
    allotment: str,
    output: int,
) -> None:
    check_game(game)
    if not 1 <= game.n_players <= MOST_PLAYERS:
        raise InputError(
            f"a game of {game.n_players} players; Effective Shapley takes 1 to {MOST_PLAYERS}"
        )
    whole("per_size", per_size)
    whole("n_kept", n_kept)
    if bins is not None:
        whole("bins", bins)
    if not 0 <= real("tolerance", tolerance) < np.inf:
        raise InputError(f"tolerance {tolerance}: it must be 0 or more, and finite")
    if counts not in ("weighted", "printed"):
        raise InputError(f"counts {counts!r}: must be weighted or printed")
    if allotment not in ("equal", "proportional"):
        raise InputError(f"allotment {allotment!r}: must be equal or proportional")
    whole("output", output, 0, len(game.outputs) - 1)
