"""Stage: list the videos that could not be decoded completely; fail if too many are left out."""

import csv
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.studies.frames.feature_files import read_features

VERSION = 2


def main(*, tables: list[Path], features: list[Path], max_skipped: float, out: Path) -> None:
    """Join the tables of the splits into one.

    ``features`` are the feature files of the same splits, in order: they hold the videos that could
    be decoded. Raises InputError if more than the share ``max_skipped`` of any split could not.
    """
    rows: list[list[str]] = []
    for table, decoded in zip(tables, features, strict=True):
        with table.open(newline="", encoding="utf-8") as lines:
            header, *found = csv.reader(lines)
        rows += found
        left_out = sum(row[header.index("used")] == "no" for row in found)
        total = left_out + len(read_features(decoded))
        if left_out > max_skipped * total:
            raise InputError(
                f"{left_out} of {total} videos cannot be decoded, more than the share "
                f"frames.dataset.max_skipped: {max_skipped} allows; {table} names them. Repair or "
                "remove them, or raise max_skipped"
            )
    with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
