"""Stage: time one explanation on this machine."""

import platform
from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import write_table
from pipeline.models.devices import cpu_name
from pipeline.studies.shapnets.params import TimingParams
from pipeline.studies.shapnets.timing import times

VERSION = 2


def main(*, timing: TimingParams, out: Path, table: Path, threads: int = 1) -> None:
    """Time each method; ``out`` is JSON, ``table`` CSV."""
    rows = times(timing.runs, seed=0)
    write_table(
        table, ["network", "method", "runs", "seconds", "first quartile", "third quartile"], rows
    )
    machine = {"cpu": cpu_name(), "threads": threads, "system": platform.system()}
    write_json(out, {"machine": machine, "rows": rows})
