"""How long exact and approximate values of one video take on this machine (Table 1).

Every row of the paper's table is measured with the study's own models on its own videos, one video
at a time. The paper's time on its GPU is given beside it.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from pipeline.core.progress import progress
from pipeline.models import devices
from pipeline.studies.frames import sampling
from pipeline.studies.frames.approximation import approximate_element_shapley_values
from pipeline.studies.frames.coalition_scores import Model
from pipeline.studies.frames.element_shapley import element_shapley_values
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.params import GridParams
from pipeline.studies.frames.players import Setting

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


def measured(
    key: Configuration,
    model: Model,
    features: FeatureSet,
    empty: torch.Tensor,
    runs: int,
    device: torch.device,
) -> dict[str, Any]:
    """One row of the tables: ``seconds`` is the mean over the runs, ``sd`` their standard
    deviation."""
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

    explain(0)  # fills the caches
    taken = [_seconds(partial(explain, number), device) for number in range(runs)]
    return {
        "model": name,
        "frames": n_frames,
        "configuration": "exact" if sampled is None else f"m = {sampled[0]}, i = {sampled[1]}",
        "seconds": statistics.fmean(taken),
        "sd": statistics.stdev(taken),
        "runs": runs,
    }


def timed(
    setting: Setting, keys: Sequence[Configuration], runs: int
) -> dict[Configuration, dict[str, Any]]:
    """One row for each configuration of the setting's model."""
    own = [key for key in keys if key[0] == setting.model]
    with progress(f"frames_runtime {setting.model}", len(own), "configurations") as advance:
        rows = {}
        for key in own:
            rows[key] = measured(
                key, setting.network, setting.features, setting.empty, runs, setting.device
            )
            advance()
        return rows


def asked_of(params: GridParams) -> list[Configuration]:
    """Configurations of Algorithm 1 with every m and i to try."""
    return [
        (name, params.frames(name), (m, i))
        for name in ("trn", "tsn")
        for m in params.m
        for i in params.iterations
    ]


def machine(device: torch.device, threads: int) -> dict[str, Any]:
    """What the times depend on besides the code."""
    return {
        "device": devices.describe(device),
        "cpu": devices.cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": torch.__version__,
    }


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)  # for work that started before
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
