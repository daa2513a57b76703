"""Stage: what networks make of the utility functions that they stand in for (Figs. 8 and 9).

Shapley values and errors at coalitions that were not trained on come from the stores. Theorem 3 is
looked at where the networks' gradients are: at sampled coalitions, each size as likely as another.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.shapley import shapley_values
from pipeline.store import CoalitionStore
from pipeline.studies.baselines.figures import utilities as drawing
from pipeline.studies.baselines.params import ReplaceParams
from pipeline.studies.baselines.replace import Connected, connected, table_fit, value_differences
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
class Replaced:
    """One game's networks beside its utility function."""

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


def look(
    store: CoalitionStore, networks: Mapping[str, Surrogate], params: ReplaceParams
) -> Replaced:
    """Compare the networks of a store with its utility function.

    Raises InputError if there is no network.
    """
    game, n = game_of(store), store.record.n_players
    if not networks:
        raise InputError(f"{store.path}: holds no network of {game}; evaluate one at least")
    utility = store.read(UTILITY)
    utility_values = shapley_values(utility)[:, 0]
    network_values, fits, connections = [], [], []
    for instance, surrogate in networks.items():
        table = store.read(instance)
        network_values.append(shapley_values(table)[:, 0])
        fit = table_fit(table, utility, surrogate.trained_on)
        nothing = float("nan")
        fits.append(
            {
                "game": game,
                "network": instance,
                "players": n,
                "trained_share": len(surrogate.trained_on) / 2**n,
                "held_out": fit.n_coalitions if fit else 0,
                "r_squared": fit.r_squared if fit else nothing,
                "mean_absolute_error": fit.mean_absolute_error if fit else nothing,
                "largest_error": fit.largest_error if fit else nothing,
                **value_differences(network_values[-1], utility_values),
            }
        )
        seed = np.random.SeedSequence([params.seed, zlib.crc32(f"{game} {instance}".encode())])
        connections.append(
            connected(surrogate, coalitions=params.coalitions, steps=params.steps, seed=seed)
        )
    return Replaced(
        game, tuple(networks), utility_values, np.stack(network_values), fits, connections
    )


def value_rows(replaced: Replaced) -> list[dict[str, Any]]:
    named = {UTILITY: replaced.utility_values}
    named |= dict(zip(replaced.networks, replaced.network_values, strict=True))
    return [
        {
            "game": replaced.game,
            "instance": instance,
            "player": player,
            "shapley_value": float(value),
            "difference": float(value - replaced.utility_values[player]),
        }
        for instance, of_players in named.items()
        for player, value in enumerate(of_players)
    ]


def connection_rows(replaced: Replaced) -> list[dict[str, Any]]:
    return [
        {
            "game": replaced.game,
            "network": network,
            "players": len(found.marginals),
            "coalitions": found.marginals.shape[1],
            **found.summary(),
        }
        for network, found in zip(replaced.networks, replaced.connections, strict=True)
    ]


def connection_panel(replaced: Replaced) -> drawing.ConnectionPanel:
    found = replaced.connections
    return drawing.ConnectionPanel(
        game=replaced.game,
        marginals=np.stack([c.marginals.mean(axis=1) for c in found]),
        integrated=np.stack([c.integrated.mean(axis=1) for c in found]),
        magnitude=np.stack([np.abs(c.marginals).mean(axis=1) for c in found]),
        difference=np.stack([np.abs(c.integrated - c.marginals).mean(axis=1) for c in found]),
        spread=np.stack([c.gradient_spread.mean(axis=1) for c in found]),
    )
