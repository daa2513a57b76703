"""Stage: claims of the paper on effective coalitions, beside the study's own results."""

import json
from pathlib import Path

from pipeline.core.claims import write_claims
from pipeline.studies.baselines.claims import all_claims

VERSION = 3


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
    results = {name: json.loads(path.read_bytes()) for name, path in files.items()}
    write_claims(all_claims(results), out, table)
