"""Stage: compare the claims of the paper on Neuron Shapley with the study's results."""

import json
from pathlib import Path

from pipeline.core.claims import write_claims
from pipeline.studies.neurons.claims import all_claims, headline

VERSION = 6


def main(
    *,
    removal: Path,
    vulnerable: Path,
    spread: Path,
    search: Path,
    out: Path,
    table: Path,
    page: Path,
    metrics: Path,
    repair: Path | None = None,
    faces: Path | None = None,
) -> None:
    """Read the other stages' results (JSON); write claims and headline numbers."""
    files = {
        "removal": removal,
        "repair": repair,
        "vulnerable": vulnerable,
        "spread": spread,
        "search": search,
        "faces": faces,
    }
    results = {
        name: json.loads(path.read_bytes()) for name, path in files.items() if path is not None
    }
    write_claims(
        all_claims(results), headline(results), out=out, table=table, page=page, metrics=metrics
    )
