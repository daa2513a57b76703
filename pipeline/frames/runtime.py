"""Stage: how long exact and approximate values of one video take on this machine (Table 1).

Every row of the paper's table is measured with the study's own models on its own videos, one video
at a time, and stands beside what the paper gives for its GPU.
"""

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.files import write_json
from pipeline.frames import sampling
from pipeline.frames.approximation import approximate_element_shapley_values
from pipeline.frames.coalition_scores import Model
from pipeline.frames.element_shapley import element_shapley_values
from pipeline.frames.feature_files import FeatureSet, read_features
from pipeline.frames.priors import empty_score, read_priors
from pipeline.frames.trained import load_model
from pipeline.networks import devices
from pipeline.params.frames import GridParams, RuntimeParams
from pipeline.progress import progress
from pipeline.stage import run
from pipeline.tables import write_table

PAPER_DEVICE = "NVIDIA GTX 1080 Ti, as the paper gives it"
PAPER = {
    ("trn", 8, None): (0.080, 0.0001),
    ("trn", 16, None): (6.79, 0.01),
    ("trn", 16, (1024, 1)): (0.122, 0.005),
    ("tsn", 8, None): (0.0043, 0.0007),
    ("tsn", 16, None): (0.035, 0.0001),
    ("tsn", 20, None): (0.614, 0.006),
    ("tsn", 20, (1024, 1)): (0.116, 0.0005),
}
"""Seconds, mean and standard deviation, by model, frames and (m, i): supplement, Table 1."""


Configuration = tuple[str, int, tuple[int, int] | None]
"""Model, frames, and m and i of Algorithm 1; None for exact values."""

COLUMNS = ("model", "frames", "configuration", "seconds", "sd", "runs")


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
                        into.append(_measured(key, model, features, empty, runs, target))
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


def _measured(
    key: Configuration,
    model: Model,
    features: FeatureSet,
    empty: torch.Tensor,
    runs: int,
    device: torch.device,
) -> dict[str, Any]:
    """A row of the tables: seconds are the mean over the runs, sd their standard deviation."""
    name, n_frames, sampled = key
    videos = np.arange(min(runs, len(features)))
    frames = sampling.spread(features.lengths[videos], n_frames)
    inputs = torch.from_numpy(features.gather(videos, frames)).to(device)

    def explain(number: int) -> torch.Tensor:
        video = inputs[number % len(inputs)][None]
        if sampled is None:
            return element_shapley_values(model, video, empty)
        m, iterations = sampled
        found = approximate_element_shapley_values(
            model, video, empty, m=m, iterations=iterations, seed=number
        )
        return found.values

    explain(0)  # what is kept from call to call is there from now on
    taken = [_seconds(partial(explain, number), device) for number in range(runs)]
    return {
        "model": name,
        "frames": n_frames,
        "configuration": "exact" if sampled is None else f"m = {sampled[0]}, i = {sampled[1]}",
        "seconds": statistics.fmean(taken),
        "sd": statistics.stdev(taken),
        "runs": runs,
    }


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)  # for what was begun before
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    run(main)
