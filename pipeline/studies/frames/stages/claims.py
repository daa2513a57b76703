"""Stage: what the paper says of each figure, beside what the study's own results show.

Every claim is decided by a comparison of measured numbers that is written here, with a margin of
two standard errors of the difference where the results hold any; nobody decides it by looking. A
claim on which the results say nothing, such as one about many frames where only one is looked at,
is left out.
"""

import json
from dataclasses import asdict
from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import write_table
from pipeline.studies.frames.claims import COLUMNS, all_claims

VERSION = 1


def main(
    *,
    accuracy: Path,
    discarded: Path,
    patterns: Path,
    lengths: Path,
    shifted: Path,
    convergence: Path,
    runtime: Path,
    out: Path,
    table: Path,
    threads: int = 1,  # noqa: ARG001
) -> None:
    """Read the other stages' results (JSON); write the claims as JSON and CSV."""
    files = {
        "accuracy": accuracy,
        "discarded": discarded,
        "patterns": patterns,
        "lengths": lengths,
        "shifted": shifted,
        "convergence": convergence,
        "runtime": runtime,
    }
    results = {name: json.loads(path.read_bytes()) for name, path in files.items()}
    found = all_claims(results)
    write_table(table, COLUMNS, map(asdict, found))
    write_json(out, [asdict(claim) for claim in found])
