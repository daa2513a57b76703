"""Measure a store of many videos: seconds, peak memory, files and bytes of every step.

    python -m benchmarks.many [--videos N] [--workers N] [--folder DIR] [--json FILE]

A feature file of other origin is made: random features of 16 frames a video. The averaging model
and a small multi-scale one are trained on it for one epoch. The game of 8 players of the averaging
model with two outputs, the true and the predicted class, is planned, evaluated and merged. Then all
analyses run that read a store or the features of all videos, the store is verified, and DVC adds it
in a repository of its own. The same follows with a tenth of the videos: the memory of a step should
not depend on their number.

Each step runs in a process of its own, which gives its peak memory. The files take some 35 KB a
video in a temporary directory below ``--folder``, which is removed at the end.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import in_own_process, machine, peak_bytes, seconds_text, size_text
from pipeline.core.errors import InputError
from pipeline.store import open_store, verify
from pipeline.store.evaluation import read_receipt
from pipeline.store.stages import evaluate, merge, plan
from pipeline.studies.frames import localisation, patterns
from pipeline.studies.frames.discard import read_attributions
from pipeline.studies.frames.interactions import pair_blocks
from pipeline.studies.frames.params import (
    AccuracyParams,
    DiscardParams,
    FiguresParams,
    GameParams,
    GradientsParams,
    InteractionsParams,
    LocalisationParams,
    PatternsParams,
    ScaleParams,
    ScalesParams,
    TsnParams,
)
from pipeline.studies.frames.players import read_setting, sample_players
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.stages import (
    accuracy,
    discard,
    figures,
    given,
    gradients,
    interactions,
    joint,
    priors,
    scales,
    tsn,
    values,
)
from pipeline.studies.frames.values import read_values, store_behind, true_outputs

VIDEOS = 200_000
FRAMES, FEATURE_DIM, PLAYERS, CLASSES = 16, 256, 8, 174
CPU = torch.device("cpu")

FEATURES = Path("features.h5")
PRIORS = Path("priors.json")
WEIGHTS = Path("tsn.pt")
RECEIPT = Path("receipts/tsn.json")
VALUES = Path("values.h5")
GRADIENTS = Path("gradients.h5")
JOINT = Path("joint.pt")
SCALES = [Path(f"{scale}.pt") for scale in range(1, 5)]
STORE = Path("results/coalitions/frames/tsn.zarr")


@dataclass(frozen=True)
class Step:
    """What one step took."""

    step: str
    videos: int
    seconds: float
    peak_bytes: int | None
    """of its process; of the largest one if there are several; None where it is not known"""


@dataclass(frozen=True)
class Size:
    """What a store takes on the disk."""

    videos: int
    files: int
    bytes: int
    instances_per_shard: int


def make_features(videos: int) -> None:
    """A feature file of other origin: a group of an HDF5 file, without numbers of frames."""
    rng = np.random.default_rng(0)
    with h5py.File("source.h5", "w") as file:
        group = file.create_group("validation")
        features = group.create_dataset("features", (videos,), h5py.vlen_dtype(np.float32))
        features.attrs["feature_dim"] = FEATURE_DIM
        for i in range(videos):
            features[i] = rng.standard_normal(FRAMES * FEATURE_DIM, dtype=np.float32)
        names = [f"video {i:06}" for i in range(videos)]
        group.create_dataset("uids", data=names, dtype=h5py.string_dtype())
        group.create_dataset("labels/class", data=rng.permutation(np.arange(videos) % CLASSES))


def copy_given() -> None:
    """Copy the group into a file of its own."""
    given.main(source=Path("source.h5"), given="source.h5::validation", out=FEATURES)


def count_classes() -> None:
    """Class distribution of the videos."""
    priors.main(features=FEATURES, out=PRIORS)


def _training(**more: int) -> dict[str, Any]:
    usual = {"frames": PLAYERS, "dropout": 0.1, "learning_rate": 1e-3, "batch": 512, "draws": 1}
    return {**usual, "epochs": 1, "least_steps": 0, "seed": 0, **more}


def train() -> None:
    """One epoch of the averaging model."""
    params = TsnParams.model_validate(_training())
    tsn.main(features=FEATURES, priors=PRIORS, params=params, out=WEIGHTS, device="cpu")


def train_scales() -> None:
    """One epoch of each single-scale model."""
    params = ScaleParams.model_validate(_training(hidden=64))
    for scale, out in enumerate(SCALES, start=1):
        scales.main(features=FEATURES, priors=PRIORS, scale=scale, params=params, out=out)


def train_jointly() -> None:
    """One epoch of the single-scale models together, on four draws of every video."""
    params = ScalesParams.model_validate(_training(hidden=64, draws=4, n_max=len(SCALES)))
    joint.main(features=FEATURES, priors=PRIORS, params=params, out=JOINT)


def measure_accuracy() -> None:
    """Accuracy of both models with one and two frames, of each scale, of a linear classifier."""
    accuracy.main(
        trn_features=FEATURES,
        tsn_features=FEATURES,
        trn_training=FEATURES,
        tsn_training=FEATURES,
        scales=SCALES,
        tsn=WEIGHTS,
        joint=JOINT,
        priors=PRIORS,
        params=AccuracyParams(max_frames=2),
        score="probability",
        out=Path("accuracy.json"),
        curve=Path("accuracy.csv"),
    )


GAME = {"n": PLAYERS, "score": "probability", "short_videos": "repeat", "clips": None}


def _game() -> dict[str, Any]:
    coalitions = {**GAME, "outputs": "true_and_predicted"}
    files = {"features": str(FEATURES), "weights": [str(WEIGHTS)], "priors": str(PRIORS)}
    return {"study": "frames", "game": "tsn", "given": {**files, "coalitions": coalitions}}


def plan_game() -> None:
    """List the videos in the store."""
    plan.main(**_game(), plan=Path("plan.json"), device="cpu")


def evaluate_part(part: int, parts: int) -> None:
    """Evaluate a partition."""
    receipt = Path(f"parts/{part}.json")
    evaluate.main(**_game(), receipt=receipt, part=part, parts=parts, device="cpu")


def merge_parts(parts: int) -> None:
    """Merge the receipts of the partitions."""
    of_parts = [Path(f"parts/{part}.json") for part in range(parts)]
    merge.main(**_game(), partitions=of_parts, receipt=RECEIPT)


def make_values() -> None:
    """Element Shapley Values of all frames."""
    values.main(model="tsn", receipt=RECEIPT, out=VALUES, table=Path("values.csv"))


def attribute() -> None:
    """Integrated Gradients and GradCAM of all frames."""
    gradients.main(
        model="tsn",
        features=FEATURES,
        train_features=FEATURES,
        weights=[WEIGHTS],
        priors=PRIORS,
        game=GameParams.model_validate(GAME),
        params=GradientsParams(baseline="mean", steps=8),
        out=GRADIENTS,
        device="cpu",
    )


def draw() -> None:
    """The summary of all videos, and pictures of two."""
    figures.main(
        values=[VALUES],
        classes=PRIORS,
        params=FiguresParams(clips=2),
        clips=Path("clips"),
        summary_figure=Path("summary.png"),
        summary=Path("summary.json"),
    )


def discard_frames() -> None:
    """Curves of discarded frames."""
    discard.main(
        receipts=[RECEIPT],
        values=[VALUES],
        gradients=[GRADIENTS],
        params=DiscardParams(random_orders=10, seed=0),
        out=Path("discard.json"),
        curves=Path("discard.csv"),
        areas=Path("discard_areas.csv"),
    )


def pairs() -> None:
    """Interactions of two frames."""
    interactions.main(
        receipts=[RECEIPT],
        values=[VALUES],
        classes=PRIORS,
        params=InteractionsParams(index="SII", videos=4),
        out=Path("interactions.json"),
        table=Path("interactions.csv"),
        figure=Path("interactions.png"),
    )


def find_patterns() -> None:
    """Marginal contributions by size, positions by class. The second model is made up here."""
    params = PatternsParams(classes=4, videos_at_least=5, draws=1000, seed=0)
    known = read_values(VALUES)
    patterns.by_size(known, VALUES, RECEIPT, params)
    models = {"trn": replace(known, esv_true=known.esv_predicted), "tsn": known}
    patterns.positions(models, read_priors(PRIORS)[0], params)


def localise() -> None:
    """Attributions of all methods; only their comparison with known actions is left out."""
    known = read_values(VALUES)
    read_attributions(known, GRADIENTS)
    setting = read_setting("tsn", FEATURES, [WEIGHTS], PRIORS, "probability", device=CPU)
    players = sample_players(setting.features, np.arange(len(setting.features)), PLAYERS)
    params = LocalisationParams(m=16, iterations=1, seed=0)
    localisation.sampled_values(setting, players, params)
    with store_behind(RECEIPT, known) as store:
        outputs = true_outputs(store, known)
        localisation.left_out(store, outputs)
        none = np.full(len(store), -1)
        for _, found in pair_blocks(store, outputs, none, "SII"):
            localisation.interaction_sizes(found["class"])


def verify_store() -> None:
    """Read and check everything in the store."""
    if found := verify(open_store(STORE)):
        raise InputError(found[0].reason)


def _measured(function: Callable[..., None], folder: Path, *arguments: Any) -> tuple[float, int]:
    os.chdir(folder)
    torch.set_num_threads(1)
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start, peak_bytes(CPU)


def _dvc(folder: Path) -> Iterator[tuple[str, float]]:
    """Add the store to DVC in a repository of its own; seconds of each command."""
    here = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    here |= {
        f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    python = [sys.executable, "-m", "dvc"]
    for name, command in (
        ("", ["git", "init", "-q"]),
        ("", [*python, "init", "-q"]),
        ("dvc add", [*python, "add", "-q", str(STORE)]),
        ("", ["git", "add", "results"]),
        ("git commit", ["git", "commit", "-qm", "store"]),
        ("dvc status", [*python, "status"]),
    ):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=here, check=True, capture_output=True)
        if name:
            yield name, time.perf_counter() - start


def measure(folder: Path, videos: int, workers: int) -> tuple[list[Step], Size]:
    """All steps with a number of videos, in an empty directory."""
    found: list[Step] = []

    def step(name: str, function: Callable[..., None], *arguments: Any) -> None:
        found.append(Step(name, videos, *in_own_process(_measured, function, folder, *arguments)))

    step("make the features", make_features, videos)
    step("copy the group", copy_given)
    (folder / "source.h5").unlink()
    step("count the classes", count_classes)
    step("train an epoch", train)
    step("train the scales", train_scales)
    step("train them jointly", train_jointly)
    step("accuracy", measure_accuracy)
    step("plan", plan_game)
    context = multiprocessing.get_context("spawn")
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        tasks = [
            pool.submit(_measured, evaluate_part, folder, part, workers) for part in range(workers)
        ]
        peaks = [task.result()[1] for task in tasks]
    found.append(Step(f"evaluate ({workers})", videos, time.perf_counter() - start, max(peaks)))
    step("merge", merge_parts, workers)
    receipt = read_receipt(folder / RECEIPT)
    if receipt.evaluations_made != videos * 2**PLAYERS:
        raise SystemExit(f"{receipt.evaluations_made} evaluations of {videos} videos were made")
    step("plan again", plan_game)
    step("evaluate again", evaluate_part, 0, 1)
    step("values", make_values)
    step("gradients", attribute)
    step("figures", draw)
    step("discard", discard_frames)
    step("interactions", pairs)
    step("patterns", find_patterns)
    step("localisation", localise)
    step("store verify", verify_store)
    found += [Step(name, videos, seconds, None) for name, seconds in _dvc(folder)]
    files = [path for path in (folder / STORE).rglob("*") if path.is_file()]
    taken = sum(path.stat().st_size for path in files)
    return found, Size(videos, len(files), taken, open_store(folder / STORE).per_shard)


def table_of(many: Sequence[Step], few: Sequence[Step]) -> Table:
    """The table that is printed: all steps with many videos, beside those with fewer."""
    table = Table(title="A store of many videos", box=box.SIMPLE_HEAD)
    table.add_column("step")
    for steps in (many, few):
        table.add_column(f"{steps[0].videos:,} videos", justify="right")
        table.add_column("memory", justify="right")
    for pair in zip(many, few, strict=True):
        cells = [text for each in pair for text in (seconds_text(each.seconds), _memory(each))]
        table.add_row(pair[0].step, *cells)
    return table


def _memory(step: Step) -> str:
    return "" if step.peak_bytes is None else size_text(step.peak_bytes)


@contextmanager
def _temporary(below: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=below))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many",
        description="Time every step of a store of many videos; measure memory, files and bytes.",
    )
    parser.add_argument("--videos", type=int, default=VIDEOS, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="processes that evaluate at once")
    parser.add_argument("--folder", type=Path, help="where temporary files are put")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    chosen = parser.parse_args(arguments)
    found: list[tuple[list[Step], Size]] = []
    for videos in (chosen.videos, max(1, chosen.videos // 10)):
        with _temporary(chosen.folder) as folder:
            found.append(measure(folder, videos, chosen.workers))
    (many, size), (few, small) = found
    console = Console()
    (console if console.is_terminal else Console(width=100)).print(table_of(many, few))
    for each in (size, small):
        console.print(
            f"store of {each.videos:,} videos: {each.files:,} files, {size_text(each.bytes)}, "
            f"{each.instances_per_shard} videos a shard"
        )
    if chosen.json:
        content = {
            "machine": machine(CPU),
            "steps": [asdict(step) for step in [*many, *few]],
            "stores": [asdict(size), asdict(small)],
        }
        chosen.json.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
