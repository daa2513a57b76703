"""Stage: how long exact and approximate values of one video take on this machine (Table 1).

Every row of the paper's table is measured with the study's own models on its own videos, one video
at a time, and stands beside what the paper gives for its GPU.
"""

import csv
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline.files import replacing, write_json
from pipeline.frames import sampling
from pipeline.frames.approximation import approximate_element_shapley_values
from pipeline.frames.coalition_scores import Model
from pipeline.frames.element_shapley import element_shapley_values
from pipeline.frames.feature_files import FeatureSet, read_features
from pipeline.frames.priors import empty_score, read_priors
from pipeline.frames.trained import load_model
from pipeline.networks import devices
from pipeline.params import RuntimeParams
from pipeline.progress import progress
from pipeline.stage import run

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


@dataclass(frozen=True)
class Row:
    """One measured configuration."""

    model: str
    frames: int
    configuration: str
    """``exact``, or m and i of Algorithm 1"""
    seconds: float
    """mean over the runs"""
    sd: float
    runs: int
    paper_seconds: float
    paper_sd: float


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: RuntimeParams,
    out: Path,
    table: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Time every row; ``out`` is JSON, ``table`` the same rows as CSV."""
    target = devices.resolve(device)
    classes, counts = read_priors(priors)
    rows = []
    inputs = {"trn": (trn_features, scales), "tsn": (tsn_features, [tsn])}
    configurations = [key for key in PAPER if key[1] <= params.max_frames]
    with progress("frames_runtime", len(configurations), "configurations") as advance:
        for name, (path, weights) in inputs.items():
            features = read_features(path, n_classes=len(classes), label=label)
            model = load_model(name, weights).to(target)
            empty = empty_score(counts, "probability").to(target)
            for key in configurations:
                if key[0] == name:
                    rows.append(_measured(key, model, features, empty, params.runs, target))
                    advance()
    found = {
        "device": devices.describe(target),
        "threads": threads,
        "torch": torch.__version__,
        "classes": len(classes),
        "paper_device": PAPER_DEVICE,
        "rows": [asdict(row) for row in rows],
    }
    with replacing(table) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, list(Row.__dataclass_fields__))
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
        write_json(out, found)


def _measured(
    key: tuple[str, int, tuple[int, int] | None],
    model: Model,
    features: FeatureSet,
    empty: torch.Tensor,
    runs: int,
    device: torch.device,
) -> Row:
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
    paper = PAPER[key]
    return Row(
        model=name,
        frames=n_frames,
        configuration="exact" if sampled is None else f"m = {sampled[0]}, i = {sampled[1]}",
        seconds=statistics.fmean(taken),
        sd=statistics.stdev(taken) if runs > 1 else 0.0,
        runs=runs,
        paper_seconds=paper[0],
        paper_sd=paper[1],
    )


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    run(main)
