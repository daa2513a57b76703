"""Stage: scores of every coalition of a partition of the validation clips, into the store.

The store has been planned. Any partition may be evaluated by any process, in any order, and any
number of times.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.stage import run
from pipeline.models import devices
from pipeline.store import CoalitionStore, open_store
from pipeline.store.evaluation import partition_indices, play, write_receipt
from pipeline.studies.frames.coalition_scores import sequences_at_once, table
from pipeline.studies.frames.game import Game, input_digests, read_game
from pipeline.studies.frames.params import CoalitionsParams

MOST_AT_ONCE = {"cpu": 64, "cuda": 1024}
"""Videos in a batch; the progress bar moves, and what is done is kept, batch by batch."""


def main(
    *,
    model: str,
    features: Path,
    weights: list[Path],
    priors: Path,
    params: CoalitionsParams,
    store: Path,
    out: Path,
    partition: int = 0,
    partitions: int = 1,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Evaluate what the store lacks of a partition (counted from 0); ``out`` is the receipt."""
    target = devices.resolve(device)
    game = read_game(model, features, weights, priors, params, label=label)
    planned = open_store(store, "r+")
    _refuse_other(planned, game, (partition, partitions))
    network, empty = game.network.to(target), game.empty.to(target)

    at_once = sequences_at_once(network, params.n, devices.working_memory(target))
    at_once = min(at_once, MOST_AT_ONCE.get(target.type, 64))

    def tables(indices: Sequence[int]) -> NDArray[np.float32]:
        # Always the same number at once: the last bits of a product depend on its shape, and a
        # video's values should not depend on which others were still to be done. (In layers of odd
        # widths they may still depend, by one unit in the last place, on the place in the batch.)
        filled = [*indices, *[indices[0]] * (at_once - len(indices))]
        batch = torch.from_numpy(game.inputs[filled]).to(target)
        classes = None
        if planned.output_classes is not None:
            kept = planned.output_classes[filled].astype(np.int64)
            classes = torch.from_numpy(kept).to(target)
        values = table(network, batch, empty, params.score, classes)
        return values[: len(indices)].cpu().numpy()

    part = f" {partition + 1}/{partitions}" if partitions > 1 else ""
    receipt = play(
        planned,
        tables,
        batch_size=at_once,
        partition=(partition, partitions),
        description=f"frames_coalitions {model}{part}",
        device=devices.describe(target),
    )
    write_receipt(receipt, out)


def _refuse_other(store: CoalitionStore, game: Game, partition: tuple[int, int]) -> None:
    """Raise InputError unless the store was planned for just these weights and inputs."""
    remedy = "run frames_game with the same files and parameters first"
    if store.record.identity != game.record.identity:
        raise InputError(f"{store.path}: is planned for another game; {remedy}")
    if store.instances != game.instances:
        raise InputError(f"{store.path}: is planned for other clips; {remedy}")
    owned = partition_indices(len(store), partition)
    some = slice(owned.start, owned.stop)
    classes = None if store.output_classes is None else store.output_classes[some]
    for i, digest in zip(owned, input_digests(game.inputs[some], classes), strict=True):
        if store.input_sha256[i] != digest:
            raise InputError(
                f"{store.path}: is planned for other features of {store.instances[i]!r}; {remedy}"
            )


if __name__ == "__main__":
    run(main)
