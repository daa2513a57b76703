"""Stage: scores of every coalition of areas of a partition of the pictures, into the store.

The store has been planned. Any partition may be evaluated by any process, in any order, and any
number of times.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.stage import run
from pipeline.models import devices
from pipeline.store import open_store
from pipeline.store.evaluation import play, write_receipt
from pipeline.studies.baselines.areas import picture_game
from pipeline.studies.baselines.explained import (
    batch_size,
    read_explained,
    refuse_other,
    score_of,
    targets_of,
)
from pipeline.studies.baselines.params import PictureGameParams, PicturesParams


def main(
    *,
    model: str,
    weights: Path,
    pictures: PicturesParams,
    params: PictureGameParams,
    store: Path,
    out: Path,
    partition: int = 0,
    partitions: int = 1,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Evaluate what the store lacks of a partition (counted from 0); ``out`` is the receipt."""
    target = devices.resolve(device)
    explained = read_explained(model, weights, pictures, params, target)
    planned = open_store(store, "r+")
    refuse_other(planned, explained, (partition, partitions))
    targets = targets_of(planned)
    everyone = np.arange(2**explained.record.n_players, dtype=np.uint64)
    # A power of two, so that every batch is of the same size: the last bits of a product depend on
    # its shape.
    at_once = batch_size(explained.scores, explained.pictures[0])

    def tables(indices: Sequence[int]) -> NDArray[np.floating]:
        tables = []
        for i in indices:
            game = picture_game(
                score_of(explained, i, int(targets[i])),
                explained.pictures[i],
                explained.areas,
                baseline=explained.absent,
                outputs=explained.record.outputs,
                batch_size=at_once,
            )
            tables.append(game(everyone))
        return np.stack(tables)

    part = f" {partition + 1}/{partitions}" if partitions > 1 else ""
    receipt = play(
        planned,
        tables,
        batch_size=1,
        partition=(partition, partitions),
        description=f"baselines_coalitions {model}{part}",
        device=devices.describe(target),
    )
    write_receipt(receipt, out)


if __name__ == "__main__":
    run(main)
