"""Stage: what the paper on effective coalitions says, beside what the study's results show.

Every claim is decided by a comparison of measured numbers that is written here, with a margin of
two standard errors of the difference where there are repeats; nobody decides it by looking. Limits
that are set by hand are named.
"""

import json
from dataclasses import asdict
from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import write_table
from pipeline.studies.baselines.claims import COLUMNS, all_claims

VERSION = 1


def main(
    *,
    ratios: Path,
    replaced: Path,
    proportions: Path,
    agreement: Path,
    runtime: Path,
    out: Path,
    table: Path,
    threads: int = 1,  # noqa: ARG001
) -> None:
    """Read the other stages' results (JSON); write the claims as JSON and CSV."""
    files = {
        "ratios": ratios,
        "replaced": replaced,
        "proportions": proportions,
        "agreement": agreement,
        "runtime": runtime,
    }
    found = all_claims({name: json.loads(path.read_bytes()) for name, path in files.items()})
    write_table(table, COLUMNS, map(asdict, found))
    write_json(out, [asdict(claim) for claim in found])
