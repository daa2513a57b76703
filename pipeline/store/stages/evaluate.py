"""Stage: evaluates all coalitions of one partition's instances into the planned store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.rules import store_of
from pipeline.store import open_store
from pipeline.store.evaluation import play, write_receipt
from pipeline.store.merging import refuse_other
from pipeline.store.opening import open_game


def main(
    *,
    study: str,
    game: str,
    given: dict[str, Any],
    receipt: Path,
    part: int = 0,
    parts: int = 1,
    plan: Path | None = None,  # noqa: ARG001  only so that the plan is made first
    device: str = "auto",
) -> None:
    """Evaluate what the store lacks of partition ``part`` (counted from 0); write its receipt."""
    opened = open_game(study, game, given, device)
    if opened.tables is None:
        raise InputError(f"{study}/{game}: is sampled, so it cannot be evaluated completely")
    evaluate = opened.tables
    planned = open_store(store_of(study, game), "r+")
    refuse_other(planned, opened, (part, parts), remedy=f"run {study}_plan with the same files")

    def tables(indices: Sequence[int]) -> NDArray[np.floating[Any]]:
        classes = planned.output_classes
        return evaluate(indices, None if classes is None else classes[list(indices)])

    made = play(
        planned,
        tables,
        batch_size=opened.batch_size,
        partition=(part, parts),
        description=f"{study}_evaluate {game}" + (f" {part + 1}/{parts}" if parts > 1 else ""),
        device=opened.device,
        evaluations=opened.evaluations,
    )
    write_receipt(made, receipt)
