"""Which coalitions are evaluated for which images in each round."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.shapley.pooled import orders_of, pairs_of
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    PairsParams,
    SharedParams,
    WalksParams,
)

Drawn = PairsParams | WalksParams | SharedParams

DRAWN: dict[type, str] = {
    PairsParams: "for each image of a block nobody, everybody, pairs of a coalition and all others",
    WalksParams: "for each image of a block what is left in an order of its own, from all to none",
    SharedParams: "for each image of a round what is left in the round's order, from all to none",
}
"""Coalitions of an instance, in words."""


@dataclass(frozen=True, eq=False)
class Round:
    """One instance of a game."""

    name: str
    images: NDArray[np.int64]
    """(image,) indices of its images in their part"""
    number: int


def rounds_of(n_images: int, params: CoalitionsParams, drawn: Drawn) -> list[Round]:
    """All instances of a game, in the order of rounds."""
    if isinstance(drawn, SharedParams):
        numbers = range(drawn.iterations)
        return [_batch(number, n_images, drawn.images, params.seed) for number in numbers]
    places = np.arange(n_images)
    blocks = [places[start : start + params.block] for start in range(0, n_images, params.block)]
    return [
        Round(f"round {number} of images {block[0]} to {block[-1]}", block, number)
        for number in range(drawn.rounds if isinstance(drawn, PairsParams) else drawn.orders)
        for block in blocks
    ]


def _batch(number: int, n_images: int, size: int, seed: int) -> Round:
    """An iteration of Algorithm 1: a fresh batch of images."""
    rng = np.random.default_rng([seed, number])
    images = rng.choice(n_images, min(size, n_images), replace=False)
    return Round(f"round {number}", np.sort(images), number)


def rows_of(n_players: int, drawn: Drawn) -> int:
    """Number of coalitions of each image in a round."""
    return 2 + 2 * drawn.count if isinstance(drawn, PairsParams) else n_players + 1


def coalitions_in(
    each: Round, n_players: int, params: CoalitionsParams, drawn: PairsParams
) -> NDArray[np.bool_]:
    """Coalitions of a round of pairs: (image, coalition, player) membership."""
    pairs = pairs_of(params.seed, each.images, each.number, drawn.count, n_players)
    ends = np.zeros((len(pairs), 2, n_players), dtype=bool)
    ends[:, 1] = True
    return np.concatenate([ends, pairs], axis=1)


def orders_in(
    each: Round, n_players: int, params: CoalitionsParams, drawn: WalksParams | SharedParams
) -> NDArray[np.int64]:
    """The order in which each image's players are removed: (image, place)."""
    if isinstance(drawn, SharedParams):
        order = orders_of(params.seed, np.zeros(1, dtype=np.int64), each.number, n_players)
        return np.broadcast_to(order, (len(each.images), n_players)).astype(np.int64)
    return orders_of(params.seed, each.images, each.number, n_players).astype(np.int64)
