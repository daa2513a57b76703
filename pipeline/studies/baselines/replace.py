"""How well networks replace utility functions.

Section 5 and Appendix B.2 of the paper: how close a network comes to its function and to its
Shapley values (Fig. 8), from tables of both; and how marginal contributions and Integrated
Gradients between S and S ∪ i compare (Fig. 9, Theorem 3).
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley import shapley_values
from pipeline.shapley.agreement import agreement
from pipeline.shapley.coalitions import Masks
from pipeline.store import CoalitionStore
from pipeline.studies.baselines.connections import Connected, connected
from pipeline.studies.baselines.effective import ratios
from pipeline.studies.baselines.params import ReplaceParams
from pipeline.studies.baselines.surrogate import Surrogate
from pipeline.studies.baselines.tables import UTILITY, game_of

FIT_COLUMNS = (
    "game",
    "network",
    "players",
    "trained_share",
    "held_out",
    "r_squared",
    "mean_absolute_error",
    "largest_error",
    "largest_value_difference",
    "mean_value_difference",
    "ratio_distance",
    "pearson",
    "kendall",
)
VALUE_COLUMNS = ("game", "instance", "player", "shapley_value", "difference")
CONNECTION_COLUMNS = (
    "game",
    "network",
    "players",
    "coalitions",
    "largest_difference",
    "mean_difference",
    "largest_accumulated_difference",
    "largest_accumulated",
    "mean_marginal",
    "mean_spread",
    "largest_spread",
    "relative_spread",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOutFit:
    """How well a surrogate predicts the values of coalitions outside its training data."""

    n_coalitions: int
    r_squared: float
    """1 minus the mean squared error divided by the variance; NaN if the values do not vary"""
    mean_absolute_error: float
    """in the game's unit"""
    largest_error: float


def table_fit(network: NDArray[Any], utility: NDArray[Any], trained_on: Masks) -> HeldOutFit | None:
    """How well a network's table predicts a utility's outside its training data.

    Args:
        network: (2**n, output) in mask order.
        utility: as ``network``.
        trained_on: (coalition,) masks.

    Returns:
        The fit over all other coalitions; None if there are none.

    Raises:
        InputError: tables of different shapes.
    """
    if network.shape != utility.shape:
        raise InputError(f"tables of shapes {network.shape} and {utility.shape} are compared")
    is_left = np.ones(len(utility), dtype=np.bool_)
    is_left[trained_on.astype(np.intp)] = False
    if not is_left.any():
        return None
    truth = utility[is_left].astype(np.float64)
    off = network[is_left] - truth
    variance = truth.var(axis=0).mean()
    return HeldOutFit(
        n_coalitions=int(is_left.sum()),
        r_squared=float(1 - (off**2).mean() / variance) if variance > 0 else float("nan"),
        mean_absolute_error=float(np.abs(off).mean()),
        largest_error=float(np.abs(off).max()),
    )


def value_differences(network: Floats, utility: Floats) -> dict[str, float]:
    """How a network's Shapley values differ from the utility's: (player,) each.

    Returns:
        ``largest_value_difference`` and ``mean_value_difference`` in the utility's unit,
        ``ratio_distance`` (L1), ``pearson`` and ``kendall``.
    """
    # Rounded: in sums of 2**n terms equal players may differ in the last digits and break ties.
    order = agreement(network, np.round(utility, 9))
    return {
        "largest_value_difference": float(np.abs(network - utility).max()),
        "mean_value_difference": float(np.abs(network - utility).mean()),
        "ratio_distance": float(np.abs(ratios(network) - ratios(utility)).sum()),
        "pearson": float(order.pearson),
        "kendall": float(order.kendall),
    }


@dataclass(frozen=True)
class Beside:
    """Comparison of one game's networks with its utility function."""

    game: str
    networks: tuple[str, ...]
    utility_values: Floats
    """(player,)"""
    network_values: Floats
    """(network, player)"""
    fits: list[dict[str, Any]]
    """of each network"""
    connections: list[Connected]
    """of each network"""


def look(store: CoalitionStore, networks: Mapping[str, Surrogate], params: ReplaceParams) -> Beside:
    """Compare the networks of a store with its utility function.

    Raises InputError if there is no network.
    """
    game, n = game_of(store), store.record.n_players
    if not networks:
        raise InputError(f"{store.path}: holds no network of {game}; evaluate at least one")
    utility = store.read(UTILITY)
    utility_values = shapley_values(utility)[:, 0]
    network_values, fits, connections = [], [], []
    for instance, surrogate in networks.items():
        table = store.read(instance)
        network_values.append(shapley_values(table)[:, 0])
        fit = table_fit(table, utility, surrogate.trained_on)
        of_network = {
            "game": game,
            "network": instance,
            "players": n,
            "trained_share": len(surrogate.trained_on) / 2**n,
        }
        differences = value_differences(network_values[-1], utility_values)
        fits.append({**of_network, **_columns(fit), **differences})
        seed = np.random.SeedSequence([params.seed, zlib.crc32(f"{game} {instance}".encode())])
        connections.append(
            connected(surrogate, coalitions=params.coalitions, steps=params.steps, seed=seed)
        )
    return Beside(
        game, tuple(networks), utility_values, np.stack(network_values), fits, connections
    )


def value_rows(beside: Beside) -> list[dict[str, Any]]:
    """One row per instance and player: its Shapley value, and its difference from the utility's."""
    named = {UTILITY: beside.utility_values}
    named |= dict(zip(beside.networks, beside.network_values, strict=True))
    return [
        {
            "game": beside.game,
            "instance": instance,
            "player": player,
            "shapley_value": float(value),
            "difference": float(value - beside.utility_values[player]),
        }
        for instance, of_players in named.items()
        for player, value in enumerate(of_players)
    ]


def connection_rows(beside: Beside) -> list[dict[str, Any]]:
    """One row per network: Theorem 3 over all players and coalitions."""
    return [
        {
            "game": beside.game,
            "network": network,
            "players": len(found.marginals),
            "coalitions": found.marginals.shape[1],
            **found.summary(),
        }
        for network, found in zip(beside.networks, beside.connections, strict=True)
    ]


def _columns(fit: HeldOutFit | None) -> dict[str, Any]:
    nothing = float("nan")
    return {
        "held_out": fit.n_coalitions if fit else 0,
        "r_squared": fit.r_squared if fit else nothing,
        "mean_absolute_error": fit.mean_absolute_error if fit else nothing,
        "largest_error": fit.largest_error if fit else nothing,
    }


def everything(found: Sequence[Beside]) -> dict[str, Any]:
    """All results on the networks, for a JSON file; one :class:`Beside` per game."""
    return {
        "networks": [row for of_game in found for row in of_game.fits],
        "theorem_3": [row for of_game in found for row in connection_rows(of_game)],
        "shapley_values": {
            of_game.game: {
                "utility": of_game.utility_values,
                "networks": dict(zip(of_game.networks, of_game.network_values, strict=True)),
            }
            for of_game in found
        },
        "theorem_3_by_player": {
            of_game.game: {
                network: connected.by_player()
                for network, connected in zip(of_game.networks, of_game.connections, strict=True)
            }
            for of_game in found
        },
    }
