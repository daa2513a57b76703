"""Stage: merges the receipts of a game's partitions once the store holds all its instances."""

from pathlib import Path
from typing import Any

from pipeline.store.merging import merge


def main(
    *,
    study: str,  # noqa: ARG001  all three stages of a game get these options
    game: str,  # noqa: ARG001
    given: dict[str, Any],  # noqa: ARG001
    partitions: list[Path],
    receipt: Path,
) -> None:
    """Merge the receipts of all ``partitions`` into ``receipt``.

    A partition's receipt is removed if the store does not match it. The next run then evaluates
    what is missing.
    """
    merge(partitions, receipt)
