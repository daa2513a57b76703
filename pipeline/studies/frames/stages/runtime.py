"""Stage: how long exact and approximate values of one video take on this machine (Table 1).

Every row of the paper's table is measured with the study's own models on its own videos, one video
at a time, and stands beside what the paper gives for its GPU.
"""

import os
from pathlib import Path
from typing import Any

import torch

from pipeline.core.files import write_json
from pipeline.core.progress import progress
from pipeline.core.tables import write_table
from pipeline.models import devices
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.params import GridParams, RuntimeParams
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.runtime import COLUMNS, PAPER, PAPER_DEVICE, Configuration, measured
from pipeline.studies.frames.trained import load_model

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
    out: Path,
    table: Path,
    grid: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Time every row, and Algorithm 1 with every m and i that are ``tried``.

    ``out`` is JSON, ``table`` the rows of the paper's table and ``grid`` those of the tried as CSV.
    """
    target = devices.resolve(device)
    classes, counts = read_priors(priors)
    inputs = {"trn": (trn_features, scales), "tsn": (tsn_features, [tsn])}
    frames = {"trn": tried.trn_frames, "tsn": tried.tsn_frames}
    known = [key for key in PAPER if key[1] <= params.max_frames]
    asked: list[Configuration] = [
        (name, n, (m, i)) for name, n in frames.items() for m in tried.m for i in tried.iterations
    ]
    rows, grid_rows = list[dict[str, Any]](), list[dict[str, Any]]()
    with progress("frames_runtime", len(known) + len(asked), "configurations") as advance:
        for name, (path, weights) in inputs.items():
            features = read_features(path, n_classes=len(classes), label=label)
            model = load_model(name, weights).to(target)
            empty = empty_score(counts, "probability").to(target)
            todo = ((known, params.runs, rows), (asked, params.grid_runs, grid_rows))
            for keys, runs, into in todo:
                for key in keys:
                    if key[0] == name:
                        into.append(measured(key, model, features, empty, runs, target))
                        advance()
    for row, key in zip(rows, known, strict=True):
        row["paper_seconds"], row["paper_sd"] = PAPER[key]
    found = {
        "device": devices.describe(target),
        "cpu": devices.cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": torch.__version__,
        "classes": len(classes),
        "paper_device": PAPER_DEVICE,
        "rows": rows,
        "grid": grid_rows,
    }
    write_table(table, (*COLUMNS, "paper_seconds", "paper_sd"), rows)
    write_table(grid, COLUMNS, grid_rows)
    write_json(out, found)
