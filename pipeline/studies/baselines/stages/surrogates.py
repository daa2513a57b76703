"""Stage: networks that are trained in place of one utility function.

Each is trained on a part of its own of the function's coalitions, from a seed of its own, as the
paper's independent experiments are (Section 5, Appendix B.2.1). A checkpoint holds all that the
network is played with again, and which coalitions it was trained on.
"""

from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.studies.baselines.params import NetworksInPlaceParams
from pipeline.studies.baselines.surrogate import train_surrogate
from pipeline.studies.baselines.surrogates import (
    log,
    named_utility,
    network_seed,
    one_thread,
    write_surrogate,
)

VERSION = 1


def main(
    *,
    game: str,
    params: NetworksInPlaceParams,
    out: list[Path],
    threads: int = 1,  # noqa: ARG001  one alone is used, so that weights do not depend on it
) -> None:
    """Train ``params.repeats`` networks on the utility function ``game``; ``out``: a path each."""
    utility = named_utility(game)
    if len(out) != params.repeats:
        raise InputError(
            f"{len(out)} checkpoints are asked for; baselines.surrogates.repeats is "
            f"{params.repeats}: a path for each network is needed"
        )
    share = params.share_of_12 if utility.n_players == 12 else params.share_of_20
    for repeat, path in enumerate(out):
        log.info("%s: network %d of %d", game, repeat + 1, len(out))
        seed = network_seed(params.seed, game, repeat)
        with one_thread():
            surrogate = train_surrogate(
                utility,
                share=share,
                seed=seed,
                hidden=params.hidden,
                layers=params.layers,
                steps=params.steps,
                batch_size=params.batch,
                learning_rate=params.learning_rate,
            )
        write_surrogate(path, game, surrogate, hidden=params.hidden, layers=params.layers)
