"""Human-defined utility functions with known Shapley values.

"The Effective Coalitions of Shapley Value for Integrated Gradients" (Section 5) tests Effective
Shapley values on four utility functions: of 12 players, of 12 players "with different utility of
coalitions", of 20 players, and of 20 with the same function as the second. It does not print them.
These are our own, of two kinds:

* ``synergies``: every player has a worth, and some pairs and triples are worth more, or less,
  together. Nearly every marginal contribution is nonzero, except those of the null player.
* ``rules``: the utility is the sum of the payments of rules. A rule pays if all of some players and
  at least one of each of some groups are present. Most marginal contributions are zero: a player
  counts only where it decides a rule.

In each game the last player is a null player, and players 2 and 3 are symmetric. All payments are
multiples of a quarter, so utilities and marginal contributions have no rounding error and zeros are
exact.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley import coalitions
from pipeline.shapley.games import Game

_AT_ONCE = 1 << 15  # these coalitions stay in a core's cache while all rules are applied


@dataclass(frozen=True)
class Rule:
    """A payment to the coalitions that hold all of some players and one of each group."""

    pays: float
    all_of: tuple[int, ...] = ()
    any_of: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Utility:
    """A game whose utility is the sum of the payments of the rules that a coalition meets."""

    n_players: int
    rules: tuple[Rule, ...]
    outputs: tuple[str, ...] = ("utility",)

    def __post_init__(self) -> None:
        """Raise InputError unless there are 1 to 64 players, and the rules name only these."""
        if not 1 <= self.n_players <= 64:
            raise InputError(f"{self.n_players} players; a utility function has 1 to 64")
        for rule in self.rules:
            named = [*rule.all_of, *(player for group in rule.any_of for player in group)]
            if not all(0 <= player < self.n_players for player in named):
                raise InputError(
                    f"a rule names players {named}; there are 0 to {self.n_players - 1}"
                )
            if not all(rule.any_of):
                raise InputError("a rule has an empty group; each group needs at least one player")

    def __call__(self, masks: NDArray[Any], /) -> NDArray[np.float64]:
        """Utilities of coalitions: (m, 1) float64, from masks (m,) of any unsigned type."""
        result = np.zeros((len(masks), 1))
        for start in range(0, len(masks), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            block = masks[rows].astype(np.uint32 if self.n_players <= 32 else np.uint64)
            for rule in self.rules:
                result[rows, 0] += rule.pays * _is_met(rule, block)
        return result


def _mask(players: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    return dtype.type(sum(1 << player for player in set(players)))


def _is_met(rule: Rule, masks: NDArray[Any]) -> NDArray[np.bool_]:
    """(m,)"""
    needed = _mask(rule.all_of, masks.dtype)
    is_met = masks & needed == needed
    for group in rule.any_of:
        is_met &= masks & _mask(group, masks.dtype) != 0
    return is_met


def complete_table(game: Game) -> NDArray[np.floating[Any]]:
    """Values of all coalitions of a game: (2**n, output), in mask order.

    Raises InputError if there are too many players to list the coalitions.
    """
    coalitions.check_enumerable(game.n_players)
    return game(np.arange(2**game.n_players, dtype=np.uint64))


def _synergies(
    worths: tuple[float, ...], together: dict[tuple[int, ...], float]
) -> tuple[Rule, ...]:
    alone = [Rule(worth, (player,)) for player, worth in enumerate(worths) if worth]
    return (*alone, *(Rule(pays, players) for players, pays in together.items()))


UTILITIES: dict[str, Utility] = {
    "synergies_12": Utility(
        12,
        _synergies(
            worths=(6, 4, 3, 3, 2, 2, 1, 1, -1, -2, 0.5, 0),
            together={
                (0, 1): 2,
                (2, 3): 1.5,
                (4, 8): -3,
                (5, 6): 1,
                (7, 9): 2.5,
                (6, 10): -0.75,
                (0, 2, 3): 3,
                (1, 4, 5): -0.75,
                (8, 9, 10): 4.5,
            },
        ),
    ),
    "rules_12": Utility(
        12,
        (
            Rule(6, all_of=(0, 1, 4)),
            Rule(4, all_of=(0, 10), any_of=((2, 3), (5, 6))),
            Rule(3, all_of=(2, 3, 7)),
            Rule(5, all_of=(4, 9), any_of=((1, 8), (5, 7))),
            Rule(3, any_of=((5, 6, 7, 8, 9),)),
            Rule(-2, all_of=(5, 6, 8)),
            Rule(8, all_of=(1, 2, 3, 10)),
        ),
    ),
    "synergies_20": Utility(
        20,
        _synergies(
            worths=(8, 6, 4, 4, 5, 3, 3, 2, 2, 2, 1.5, 1, 1, 1, 0.5, 0.5, -1, -2, -3, 0),
            together={
                (0, 1): 3,
                (2, 3): 2,
                (4, 16): -2.5,
                (5, 6): 1.5,
                (7, 17): 2.25,
                (8, 9): -1,
                (10, 18): 4,
                (11, 12): 0.75,
                (13, 14): 1,
                (0, 15): -1.5,
                (2, 3, 4): 3,
                (1, 5, 7): -1.5,
                (6, 8, 10): 2.25,
                (9, 11, 13): 3,
                (16, 17, 18): 6,
                (12, 14, 15): -1.5,
            },
        ),
    ),
    "rules_20": Utility(
        20,
        (
            Rule(6, all_of=(0, 1, 4)),
            Rule(4, all_of=(0, 10), any_of=((2, 3), (5, 6))),
            Rule(3, all_of=(2, 3, 7)),
            Rule(5, all_of=(4, 9), any_of=((1, 8), (5, 7))),
            Rule(3, any_of=((5, 6, 7, 8, 9),)),
            Rule(-2, all_of=(5, 6, 8)),
            Rule(8, all_of=(1, 2, 3, 10)),
            Rule(6, all_of=(11, 12), any_of=((13, 14, 15),)),
            Rule(5, all_of=(16, 17), any_of=((7, 11), (13, 18))),
            Rule(3, any_of=((12, 14, 16, 17, 18),)),
            Rule(-4, all_of=(10, 14, 18)),
            Rule(7, all_of=(13, 15, 17, 18)),
        ),
    ),
}
"""The four games of the study, by name: the kind and the number of players."""
