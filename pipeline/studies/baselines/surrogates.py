"""Networks that are trained to replace utility functions, and their checkpoints.

Each network has its own seed and is trained on its own part of the function's coalitions, as in the
paper's independent experiments (Section 5, Appendix B.2.1). A checkpoint holds all that is needed
to evaluate the network again, and the coalitions that it was trained on.
"""

import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from pipeline.core.errors import InputError
from pipeline.models import checkpoints
from pipeline.studies.baselines.params import NetworksInPlaceParams
from pipeline.studies.baselines.surrogate import Surrogate, SurrogateNetwork, train_surrogate
from pipeline.studies.baselines.utilities import UTILITIES, Utility

log = logging.getLogger(__name__)

_BUILT_FROM = ("n_players", "hidden", "layers", "n_outputs")


def named_utility(game: str) -> Utility:
    """The utility function with a name. Raises InputError if there is none."""
    if game not in UTILITIES:
        raise InputError(f"game {game!r}: must be one of {', '.join(UTILITIES)}")
    return UTILITIES[game]


def network_seed(seed: int, game: str, repeat: int) -> int:
    """A seed for each network, which does not depend on the other networks."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(game.encode()), repeat])
    return int(sequence.generate_state(1)[0])


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute on one thread: the rounding of sums depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_in_place(game: str, repeat: int, params: NetworksInPlaceParams) -> Surrogate:
    """Train one network on part of the coalitions of the utility function ``game``.

    Args:
        game: name of the utility function.
        repeat: number of the network, from 0; it determines the seed.
        params: of all networks.

    Raises:
        InputError: another game.
    """
    utility = named_utility(game)
    log.info("%s: network %d of %d", game, repeat + 1, params.repeats)
    # On one thread, so that weights do not depend on the number of threads.
    with one_thread():
        return train_surrogate(
            utility,
            share=params.share_of_12 if utility.n_players == 12 else params.share_of_20,
            seed=network_seed(params.seed, game, repeat),
            hidden=params.hidden,
            layers=params.layers,
            steps=params.steps,
            batch_size=params.batch,
            learning_rate=params.learning_rate,
        )


def write_surrogate(
    path: Path, game: str, surrogate: Surrogate, *, hidden: int, layers: int
) -> None:
    """Write a surrogate of the utility function ``game``, whole or not at all."""
    is_trained_on = np.zeros(2**surrogate.n_players, dtype=np.bool_)
    is_trained_on[surrogate.trained_on.astype(np.intp)] = True
    description = {
        "game": game,
        "n_players": surrogate.n_players,
        "hidden": hidden,
        "layers": layers,
        "n_outputs": len(surrogate.outputs),
        # The coalitions themselves, one bit each: a later draw might not reproduce them.
        "trained_on": torch.from_numpy(np.packbits(is_trained_on, bitorder="little")),
    }
    checkpoints.save(path, surrogate.network, description)


def read_surrogate(path: Path) -> tuple[str, Surrogate]:
    """The utility function's name and its surrogate, from a checkpoint of the stage.

    Raises InputError if the file is no checkpoint of a surrogate of one of the utility functions.
    """
    network = checkpoints.build(path, SurrogateNetwork, _BUILT_FROM)
    description, _ = checkpoints.load(path)
    game, packed = description.get("game"), description.get("trained_on")
    if game not in UTILITIES or UTILITIES[game].n_players != description["n_players"]:
        raise InputError(
            f"{path}: is a network of {description['n_players']} players for the game {game!r}; "
            f"a network for one of {', '.join(UTILITIES)} is needed"
        )
    n = UTILITIES[game].n_players
    if not isinstance(packed, torch.Tensor) or packed.shape != (2**n // 8,):
        raise InputError(f"{path}: lacks the coalitions that it was trained on; train it again")
    is_trained_on = np.unpackbits(packed.numpy(), bitorder="little")
    masks = np.flatnonzero(is_trained_on).astype(np.uint64)
    network.eval().requires_grad_(False)
    return game, Surrogate(network, n, UTILITIES[game].outputs, masks)
