"""The probability of a proportional sample (Theorem 2), for players of actual games.

The theorem needs numbers of effective coalitions, which complete tables provide. For many players
no sample is exactly proportional: even the smallest numbers in their proportion exceed the number
drawn. So the most probable sets of few players are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log10

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arguments import finite, real, whole, wholes
from pipeline.core.errors import InputError
from pipeline.studies.baselines.theorems import (
    Frequency,
    printed_count,
    proportional_probability,
    simulated_frequency,
)

MOST_SETS = 100_000
"""The most sets of players that are searched for the most probable one."""


@dataclass(frozen=True)
class Proportion:
    """Theorem 2 for some players at one number of coalitions drawn."""

    drawn: int
    """coalitions per player"""
    printed: int
    """the printed number, which is no probability"""
    probability: float
    """the normalised number"""
    simulated: Frequency

    @property
    def printed_log10(self) -> float | None:
        """Logarithm of the printed number; None if it is 0."""
        return log10(self.printed) if self.printed else None


def effective_counts(table: NDArray[np.floating], tolerance: float = 0.0) -> list[int]:
    """Effective coalitions of each player: those with a nonzero marginal contribution.

    Args:
        table: (2**n,) values in mask order.
        tolerance: largest absolute marginal contribution that counts as zero.

    Raises:
        InputError: the length is no power of two, NaN or Inf, a negative tolerance.
    """
    table = finite("the table", table)
    n = table.size.bit_length() - 1
    if table.ndim != 1 or n < 1 or len(table) != 2**n:
        raise InputError(f"a table of shape {table.shape}: (2**n,) with n ≥ 1 is needed")
    if not real("tolerance", tolerance) >= 0:
        raise InputError(f"tolerance {tolerance}: must be at least 0")
    counts = []
    for player in range(n):
        # Axes in mask order: players above, this player absent or present, players below.
        pairs = table.reshape(-1, 2, 2**player)
        counts.append(int((np.abs(pairs[:, 1] - pairs[:, 0]) > tolerance).sum()))
    return counts


def proportions(
    effective: Sequence[int], population: int, drawn: Sequence[int], *, simulations: int, seed: int
) -> list[Proportion]:
    """Theorem 2 for these players, at each possible number of coalitions drawn.

    Args:
        effective: of each player.
        population: all coalitions without a player, the same number for each.
        drawn: coalitions drawn of each player; numbers beyond the population are left out.
        simulations: samples that are drawn for the frequency.
        seed: of the simulations.

    Raises:
        InputError: as ``theorems.proportional_probability``.
    """
    effective, drawn = wholes("effective", effective, 0), wholes("drawn", drawn, 0)
    everybody = [whole("population", population)] * len(effective)
    result = []
    for number in drawn:
        if number > population:
            continue
        each = [number] * len(effective)
        # The smallest a cannot exceed the number drawn: this limit only saves time.
        found = simulated_frequency(
            effective, everybody, each, repeats=simulations, most=number, seed=seed
        )
        result.append(
            Proportion(
                drawn=number,
                printed=printed_count(effective, everybody, each, most=number),
                probability=proportional_probability(effective, everybody, each, most=number),
                simulated=found,
            )
        )
    return result


def most_probable(
    effective: Sequence[int], population: int, drawn: Sequence[int], size: int
) -> tuple[int, ...] | None:
    """The set of players with the highest mean probability over the numbers drawn.

    Players without effective coalitions fit every sample, so they are left out. Players whose
    coalitions are all effective fit each other in every sample, so a set needs at least one other
    player if there is any.

    Args:
        effective: of each player.
        population: all coalitions without a player.
        drawn: coalitions drawn of each player.
        size: players of the set.

    Returns:
        The set, ascending; the first of equally probable ones; None if there are too few players.

    Raises:
        InputError: more than ``MOST_SETS`` sets, numbers that are not whole or too small.
    """
    effective, drawn = wholes("effective", effective, 0), wholes("drawn", drawn, 0)
    population, size = whole("population", population), whole("size", size)
    some = [player for player, count in enumerate(effective) if count]
    affordable = [number for number in drawn if number <= population]
    if len(some) < size or not affordable:
        return None
    sets = list(combinations(some, size))
    if len(sets) > MOST_SETS:
        raise InputError(f"{len(sets)} sets of {size} of {len(some)} players: at most {MOST_SETS}")
    varied = [chosen for chosen in sets if any(effective[i] < population for i in chosen)]
    known: dict[tuple[int, ...], float] = {}

    def probability(chosen: tuple[int, ...]) -> float:
        # Players with equal numbers are alike, so most sets repeat the counts of earlier ones.
        counts = tuple(sorted(effective[i] for i in chosen))
        if counts not in known:
            known[counts] = sum(
                proportional_probability(counts, [population] * size, [number] * size, most=number)
                for number in affordable
            )
        return known[counts]

    return max(varied or sets, key=probability)
