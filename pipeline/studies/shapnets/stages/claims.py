"""Stage: compare the claims of the paper on Shapley explanation networks with the results."""

import json
from pathlib import Path

from pipeline.core.claims import write_claims
from pipeline.core.files import write_json
from pipeline.studies.shapnets.claims import headline, table_claims
from pipeline.studies.shapnets.image_claims import image_claims

VERSION = 3


def main(
    *,
    numbers: list[Path],
    distances: list[Path],
    timing: Path,
    images: Path,
    out: Path,
    table: Path,
    page: Path,
    metrics: Path,
    numbers_of_tables: Path,
) -> None:
    """Read the other stages' JSON; write claims, headline numbers, and all tables as one JSON."""
    trained = [json.loads(path.read_bytes()) for path in numbers]
    found = [json.loads(path.read_bytes()) for path in distances]
    times = json.loads(timing.read_bytes())
    claims = [
        *table_claims(trained, found, times),
        *image_claims(json.loads(images.read_bytes())),
    ]
    write_claims(claims, headline(found), out=out, table=table, page=page, metrics=metrics)
    write_json(numbers_of_tables, {"trained": trained, "distances": found, "timing": times})
