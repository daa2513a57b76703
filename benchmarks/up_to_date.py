"""Time `snakemake` and `dvc repro` when nothing has changed, with small and large stores.

    python -m benchmarks.up_to_date [--gib 1.0] [--json FILE]

A study of given features (random vectors) is built in a temporary copy of the project, first with
stores of a few clips, then with stores of the given total size. Then each command is called a few
times without any change. For comparison: the commands' own start (`--version`), and reading and
digesting the stores' files once (MD5), which a command that hashed them would need in addition.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Timing, machine, ratio_text, seconds_text, size_text, timed
from pipeline.studies.frames.feature_files import feature_writer

ROOT = Path(__file__).parent.parent
PLAYERS, CLASSES, FEATURE_DIM, SMALL_CLIPS = 10, 50, 8, 20
CLIP_BYTES = 4 * 2**PLAYERS * CLASSES
COMMANDS = (
    ("snakemake", "--version"),
    ("dvc", "--version"),
    ("snakemake", "--cores", "all"),
    ("snakemake", "--cores", "all", "-n"),
    ("dvc", "repro"),
    ("dvc", "status"),
)


@dataclass(frozen=True)
class Size:
    """Measurements with stores of one size."""

    clips: int
    store_bytes: int
    """size of both models' stores, on disk"""
    store_files: int
    first_build: float
    """in seconds"""
    digesting: Timing
    commands: dict[str, Timing]


def copy_project(folder: Path) -> None:
    """Copy tracked files, and untracked files that git does not ignore, into an empty folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def give_features(folder: Path, clips: int) -> None:
    """Write random feature files of so many validation clips, and parameters that name them."""
    rng = np.random.default_rng(0)
    files = {}
    for split, count in (("train", 2 * CLASSES), ("validation", clips)):
        files[split] = f"{split}.h5"
        with feature_writer(folder / files[split], backbone_sha256="0" * 8) as append:
            for clip in range(count):
                vectors = rng.normal(size=(PLAYERS, FEATURE_DIM))
                append(f"{split}{clip}", clip % CLASSES, vectors, np.arange(PLAYERS))
    file = folder / "params.yaml"
    params = yaml.safe_load(file.read_text())
    params["studies"] = ["frames"]
    params["frames"]["features"].update(trn=files, tsn=files)
    params["frames"]["scales"].update(n_max=2, epochs=2, hidden=8)
    params["frames"]["tsn"].update(epochs=2)
    params["frames"]["coalitions"].update(n=PLAYERS)
    file.write_text(yaml.safe_dump(params, sort_keys=False))


def run(folder: Path, *command: str) -> None:
    """Run one of the commands; show its output if it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "GIT_", "SNAKEMAKE"))}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, "PATH": path, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def measure(folder: Path, clips: int) -> Size:
    """Build the study with so many clips and time the commands on it."""
    give_features(folder, clips)
    run(folder, "python", "-m", "pipeline", "dvc-yaml")
    start = time.perf_counter()
    run(folder, "snakemake", "--cores", "all")
    built = time.perf_counter() - start
    files = [f for f in (folder / "results/coalitions").rglob("*") if f.is_file()]

    def digest() -> None:
        for file in files:
            hashlib.md5(file.read_bytes(), usedforsecurity=False).digest()

    return Size(
        clips=clips,
        store_bytes=sum(f.stat().st_size for f in files),
        store_files=len(files),
        first_build=built,
        digesting=timed(digest),
        commands={
            " ".join(command): timed(partial(run, folder, *command), most=3) for command in COMMANDS
        },
    )


def table_of(small: Size, large: Size) -> Table:
    """The measurements, side by side."""
    table = Table(title="Nothing has changed", title_style="bold", box=box.SIMPLE)
    table.add_column("")
    for size in (small, large):
        header = f"stores of {size_text(size.store_bytes)}\n{size.store_files:,} files"
        table.add_column(header, justify="right")
    table.add_column("large / small", justify="right")
    for command, timing in small.commands.items():
        other = large.commands[command]
        ratio = ratio_text(other.median / timing.median)
        table.add_row(command, seconds_text(timing.median), seconds_text(other.median), ratio)
    table.add_section()
    rows = (
        ("digesting the stores once", small.digesting.median, large.digesting.median),
        ("the first build", small.first_build, large.first_build),
    )
    for name, few, many in rows:
        table.add_row(name, seconds_text(few), seconds_text(many), ratio_text(many / few))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if requested."""
    parser = argparse.ArgumentParser(description="Time both commands where nothing has changed.")
    parser.add_argument("--gib", type=float, default=1.0, help="size of the large stores")
    parser.add_argument("--json", type=Path, help="write all that was measured there")
    given = parser.parse_args(arguments)
    clips = max(SMALL_CLIPS, round(given.gib * 2**30 / (2 * CLIP_BYTES)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_project(folder)
        small = measure(folder, SMALL_CLIPS)
        large = measure(folder, clips)
    Console(width=100).print(table_of(small, large))
    where = machine(torch.device("cpu"))
    print(", ".join(f"{k}: {v}" for k, v in where.items()))
    if given.json:
        sizes = {"small": asdict(small), "large": asdict(large), "machine": where}
        given.json.write_text(json.dumps(sizes, indent=1))


if __name__ == "__main__":
    main()
