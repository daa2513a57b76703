"""Time exact values by this code and by another checkout's, in turns, and compare the values.

    python -m benchmarks.against DIR [--games TRN:16 …] [--rounds N] [--threads N] [--json FILE]

DIR is a checkout of another commit (``git worktree add DIR COMMIT``). Each side has its own
process, which imports its own ``benchmarks.runtime``, and calls alternate, so that other work on
the machine slows both. A ratio is the median over rounds of (time there / time here). The
processor's time is compared as well: if other processes take the cores, it changes much less.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast, get_args

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.games import ModelName
from benchmarks.measuring import ratio_text, seconds_text, size_text

GAMES = ["TRN:16", "TRN:20", "TSN:20", "TSN:24"]
ROOT = Path(__file__).parents[1]

# It imports only what every checkout has. A request is a line, and so is its answer.
_SIDE = """
import json, sys, time
import torch
from benchmarks import games, measuring, runtime

name, n_frames, threads, file = sys.argv[1:]
torch.set_num_threads(int(threads))
cpu = torch.device("cpu")
game = games.make(name, int(n_frames), cpu)
before = measuring.peak_bytes(cpu)
for _ in sys.stdin:
    start = time.perf_counter(), time.process_time()
    values = runtime.element_shapley_values(game.model, game.features, game.empty)
    taken = time.perf_counter() - start[0], time.process_time() - start[1]
    torch.save(values, file)
    print(json.dumps([*taken, measuring.peak_bytes(cpu) - before]), flush=True)
"""


@dataclass(frozen=True)
class Row:
    """One game by both sides; seconds are per round, after a first call."""

    model: ModelName
    n_frames: int
    here_s: list[float]
    there_s: list[float]
    here_cpu_s: list[float]
    there_cpu_s: list[float]
    here_bytes: int
    there_bytes: int
    same_bits: bool
    difference: float
    """largest absolute difference of values"""

    @property
    def ratio(self) -> float:
        """Time there relative to here."""
        return _ratio(self.there_s, self.here_s)

    @property
    def cpu_ratio(self) -> float:
        """Processor's time there relative to here."""
        return _ratio(self.there_cpu_s, self.here_cpu_s)


def compare(model: ModelName, n_frames: int, there: Path, rounds: int, threads: int) -> Row:
    """Time both sides in turns."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files = [Path(folder, "here.pt"), Path(folder, "there.pt")]
        sides = [
            stack.enter_context(_started(root, model, n_frames, threads, file))
            for root, file in zip((ROOT, there), files, strict=True)
        ]
        found = [[_asked(side) for side in sides] for _ in range(rounds + 1)][1:]
        here, there_values = (torch.load(file) for file in files)
    (here_s, here_cpu, here_bytes), (there_s, there_cpu, there_bytes) = (
        [list(column) for column in zip(*answers, strict=True)]
        for answers in zip(*found, strict=True)
    )
    return Row(
        model,
        n_frames,
        here_s,
        there_s,
        here_cpu,
        there_cpu,
        here_bytes[-1],
        there_bytes[-1],
        same_bits=torch.equal(here, there_values),
        difference=float((here - there_values).abs().max()),
    )


def show(rows: Sequence[Row], console: Console) -> None:
    """Print a table; times are medians."""
    table = Table(title="there / here", title_justify="left", box=box.SIMPLE_HEAD)
    right = ["n", "here", "there", "ratio", "of processor's time", "memory here", "there", "values"]
    for name in ["model", *right]:
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in rows:
        table.add_row(
            row.model,
            str(row.n_frames),
            seconds_text(statistics.median(row.here_s)),
            seconds_text(statistics.median(row.there_s)),
            ratio_text(row.ratio),
            ratio_text(row.cpu_ratio),
            size_text(row.here_bytes),
            size_text(row.there_bytes),
            "same bits" if row.same_bits else f"differ by {row.difference:.0e}",
        )
    console.print(table)


def _ratio(there: Sequence[float], here: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(there, here, strict=True))


def _started(
    root: Path, model: str, n_frames: int, threads: int, file: Path
) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _SIDE, model, str(n_frames), str(threads), str(file)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=root, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1
    )


def _asked(side: "subprocess.Popen[str]") -> Any:
    cast(IO[str], side.stdin).write("\n")
    answer = cast(IO[str], side.stdout).readline()
    if not answer:
        raise SystemExit("one of the two checkouts failed; see its message above")
    return json.loads(answer)


def _game(text: str) -> tuple[ModelName, int]:
    name, _, n_frames = text.partition(":")
    if name not in get_args(ModelName) or not n_frames.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: write a model and frames, such as TRN:16")
    return cast(ModelName, name), int(n_frames)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against",
        description="Time exact values by this code and by another checkout's, in turns.",
    )
    parser.add_argument("checkout", type=Path, metavar="DIR", help="the other checkout")
    parser.add_argument(
        "--games", nargs="+", type=_game, default=[_game(g) for g in GAMES], help="such as TRN:16"
    )
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="timed calls (7)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args(arguments)
    if not (given.checkout / "benchmarks/runtime.py").exists():
        parser.error(f"{given.checkout} has no benchmarks/runtime.py: give a checkout's folder")
    rows = [
        compare(name, n_frames, given.checkout.resolve(), given.rounds, given.threads)
        for name, n_frames in given.games
    ]
    console = Console()
    show(rows, console if console.is_terminal else Console(width=130))
    if given.json:
        figures = [{**asdict(r), "ratio": r.ratio, "cpu_ratio": r.cpu_ratio} for r in rows]
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
