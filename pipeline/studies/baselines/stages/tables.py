"""Stage: values of all coalitions of one utility function and of its networks, into the store.

The utility function is one instance, each network another. Since an instance's digest is that of
its rules or of its weights, networks can be added, and one trained anew, without the others being
evaluated again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.store import plan
from pipeline.store.evaluation import play, write_receipt
from pipeline.studies.baselines.surrogates import one_thread
from pipeline.studies.baselines.tables import game_record, instances_of
from pipeline.studies.baselines.utilities import complete_table

VERSION = 1


def main(
    *,
    game: str,
    checkpoints: list[Path],
    store: Path,
    out: Path,
    threads: int = 1,  # noqa: ARG001  one alone is used, so that values do not depend on it
) -> None:
    """Evaluate what the store lacks of ``game`` and of the networks; ``out`` is the receipt."""
    games, digests = instances_of(game, checkpoints)
    planned = plan(store, game_record(game), list(games), digests)
    playable = list(games.values())

    def tables(indices: Sequence[int]) -> NDArray[np.floating[Any]]:
        with one_thread():
            return np.stack([complete_table(playable[i]) for i in indices])

    receipt = play(
        planned, tables, batch_size=1, description=f"baselines_tables {game}", device="cpu"
    )
    write_receipt(receipt, out)
