"""Stage: claims of the paper on effective coalitions, beside the study's own results."""

import json
from pathlib import Path

from pipeline.core.claims import write_claims
from pipeline.studies.baselines.claims import all_claims, headline

VERSION = 4


def main(
    *,
    ratios: Path,
    replace: Path,
    proportions: Path,
    agreement: Path,
    runtime: Path,
    out: Path,
    table: Path,
    page: Path,
    metrics: Path,
) -> None:
    """Read the other stages' results (JSON); write claims and headline numbers."""
    files = {
        "ratios": ratios,
        "replace": replace,
        "proportions": proportions,
        "agreement": agreement,
        "runtime": runtime,
    }
    results = {name: json.loads(path.read_bytes()) for name, path in files.items()}
    write_claims(
        all_claims(results), headline(results), out=out, table=table, page=page, metrics=metrics
    )
