"""Stage: what the paper says of each figure, beside what the study's own results show.

A comparison of measured numbers, written in the code, decides every claim. The margin is two
standard errors of the difference where the results hold any. A claim is left out if the results
cannot decide it, such as a claim about many frames where only one was used.
"""

import json
from pathlib import Path

from pipeline.core.claims import write_claims
from pipeline.studies.frames.claims import all_claims, headline

VERSION = 4


def main(
    *,
    accuracy: Path,
    discard: Path,
    patterns: Path,
    lengths: Path,
    shift: Path,
    convergence: Path,
    runtime: Path,
    summary: Path,
    out: Path,
    table: Path,
    page: Path,
    metrics: Path,
) -> None:
    """Read the other stages' results (JSON); write claims and headline numbers."""
    files = {
        "accuracy": accuracy,
        "discard": discard,
        "patterns": patterns,
        "lengths": lengths,
        "shift": shift,
        "convergence": convergence,
        "runtime": runtime,
        "summary": summary,
    }
    results = {name: json.loads(path.read_bytes()) for name, path in files.items()}
    write_claims(
        all_claims(results),
        headline(results),
        out=out,
        table=table,
        page=page,
        metrics=metrics,
        of="model",
    )
