"""Stage: one receipt for all partitions of a game, once all its pictures are in the store."""

from pathlib import Path

from pipeline.core.stage import run
from pipeline.store.merging import merge


def main(*, parts: list[Path], out: Path) -> None:
    """Merge the receipts ``parts`` into ``out``.

    A receipt of a partition that is not in the store as it says is removed: then the next run
    evaluates what is missing.
    """
    merge(parts, out)


if __name__ == "__main__":
    run(main)
