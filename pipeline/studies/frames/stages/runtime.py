"""Stage: how long exact and approximate values of one video take on this machine (Table 1).

Every row of the paper's table is measured with the study's own models on its own videos, one video
at a time. The paper's time on its GPU is given beside it.
"""

from pathlib import Path
from typing import Any

from pipeline.core.files import write_json
from pipeline.core.tables import write_table
from pipeline.models import devices
from pipeline.studies.frames import runtime
from pipeline.studies.frames.params import GridParams, RuntimeParams
from pipeline.studies.frames.players import read_setting

VERSION = 1


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: RuntimeParams,
    tried: GridParams,
    timed_on: str,  # noqa: ARG001  on another device times are others
    out: Path,
    table: Path,
    grid: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Time every row, and Algorithm 1 with every m and i in ``tried``.

    ``out`` is JSON; ``table`` (CSV) has the rows of the paper's table, ``grid`` (CSV) those of
    ``tried``.
    """
    target = devices.resolve(device)
    known = [key for key in runtime.PAPER if key[1] <= params.max_frames]
    rows, grid_rows = dict[runtime.Configuration, Any](), dict[runtime.Configuration, Any]()
    n_classes = 0
    for name, path, weights in (("trn", trn_features, scales), ("tsn", tsn_features, [tsn])):
        setting = read_setting(
            name, path, weights, priors, "probability", label=label, device=target
        )
        n_classes = len(setting.classes)
        rows |= runtime.timed(setting, known, params.runs)
        grid_rows |= runtime.timed(setting, runtime.asked_of(tried), params.grid_runs)
    for key, row in rows.items():
        row["paper_seconds"], row["paper_sd"] = runtime.PAPER[key]
    found = {
        **runtime.machine(target, threads),
        "classes": n_classes,
        "paper_device": runtime.PAPER_DEVICE,
        "rows": list(rows.values()),
        "grid": list(grid_rows.values()),
    }
    write_table(table, (*runtime.COLUMNS, "paper_seconds", "paper_sd"), found["rows"])
    write_table(grid, runtime.COLUMNS, found["grid"])
    write_json(out, found)
