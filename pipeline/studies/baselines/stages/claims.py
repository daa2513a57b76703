"""Stage: what the paper on effective coalitions says, beside what the study's results show."""

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
    replace: Path,
    proportions: Path,
    agreement: Path,
    runtime: Path,
    out: Path,
    table: Path,
) -> None:
    """Read the other stages' results (JSON); write the claims as JSON and CSV."""
    files = {
        "ratios": ratios,
        "replace": replace,
        "proportions": proportions,
        "agreement": agreement,
        "runtime": runtime,
    }
    found = all_claims({name: json.loads(path.read_bytes()) for name, path in files.items()})
    write_table(table, COLUMNS, map(asdict, found))
    write_json(out, [asdict(claim) for claim in found])
