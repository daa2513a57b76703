"""Stage: train networks that replace one utility function."""

from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.studies.baselines.params import NetworksInPlaceParams
from pipeline.studies.baselines.surrogates import train_in_place, write_surrogate

VERSION = 2


def main(*, utility: str, params: NetworksInPlaceParams, out: list[Path]) -> None:
    """Train ``params.repeats`` networks on the function ``utility``; ``out`` has their paths."""
    if len(out) != params.repeats:
        raise InputError(
            f"{len(out)} checkpoints are requested; baselines.surrogates.repeats is "
            f"{params.repeats}: one path per network is needed"
        )
    for repeat, path in enumerate(out):
        surrogate = train_in_place(utility, repeat, params)
        write_surrogate(path, utility, surrogate, hidden=params.hidden, layers=params.layers)
