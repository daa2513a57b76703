"""Stage: one receipt for all partitions of a game, once all its instances are in the store."""

from pathlib import Path
from typing import Any

from pipeline.store.merging import merge


def main(
    *,
    study: str,  # noqa: ARG001  options that all three stages of a game are given
    game: str,  # noqa: ARG001
    given: dict[str, Any],  # noqa: ARG001
    partitions: list[Path],
    receipt: Path,
) -> None:
    """Merge the receipts of all ``partitions`` into ``receipt``.

    The receipt of a partition is removed if the store does not hold what it says. The next run then
    evaluates what is missing.
    """
    merge(partitions, receipt)
