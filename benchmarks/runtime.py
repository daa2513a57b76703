"""Time exact Element Shapley Values, and compare with other libraries on the same games.

    python -m benchmarks.runtime [--quick] [--device auto|cpu|cuda] [--threads N] [--json FILE]

One run measures three tables:

1. the Element Shapley Values of one video for all classes at once, by
   ``pipeline.studies.frames.element_shapley``, for the multi-scale (TRN) and averaging (TSN)
   models, from features to values: every coalition is evaluated. Each row has its own process, so
   that the peak memory is that of the row (``--quick`` uses one process and shows no memory);
2. captum's ``ShapleyValues``, shapiq's ``ExactComputer`` and shap's exact explainer on the same
   model, features and v(∅), as ratios to the times of the first table. They are timed with values
   evaluated by a plain batched forward pass, and with a finished table of values (see
   ``benchmarks.others``). The run fails if they disagree with the pipeline;
3. many videos in one batch.

Beside each of the pipeline's times is its ratio to the machine's limit: the shortest time, divided
by the least time of the unavoidable parts at rates measured in the same process (see
``benchmarks.limits``). ``--json`` has the parts.

Weights and features are random. Times are medians of repeated calls after a first call, which
prepares what all videos of the same length share. A first call that takes long is the only
measurement. Measure small games on idle processors, or with ``--threads 1``: threads wait for each
other after every operation, so one delayed thread makes a small game many times slower.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import games, limits
from benchmarks.games import ModelName
from benchmarks.measuring import (
    Setting,
    Timing,
    in_own_process,
    machine,
    peak_bytes,
    ratio_text,
    seconds_text,
    size_text,
    timed,
)
from pipeline.models import devices
from pipeline.studies.frames.element_shapley import element_shapley_values

if TYPE_CHECKING:
    from benchmarks.others import Comparison

TOLERANCE = 1e-4
"""Largest absolute difference that counts as agreement between values of probabilities."""

FRAMES: dict[ModelName, list[int]] = {
    "TRN": [4, 5, 6, 8, 12, 16, 18, 20],
    "TSN": [4, 5, 6, 8, 16, 20, 24, 28],
}
QUICK_FRAMES: dict[ModelName, list[int]] = {"TRN": [5], "TSN": [5]}
MOST_COMPARED = 20
"""Frames up to which other libraries are run: the table of 24 frames has 11 GB."""
BATCHES = {"cpu": [(8, 16), (16, 2)], "cuda": [(8, 64), (16, 8)]}
QUICK_BATCHES = [(5, 4)]
"""(frames, videos)"""
LONGEST_S = 30.0
"""A library is not run if its extrapolated time exceeds so many seconds."""
QUICK_S, FULL_S = 0.02, 1.0
"""Seconds over which a measurement is repeated."""

NOTES = f"""\
limit: the shortest time / the sum of the unavoidable parts (products, memory, softmax), each at the
machine's best rate for it, measured in the same process. Parts: benchmarks/limits.py.
evaluated: each coalition's value by a plain batched forward pass, which is timed too.
table: the finished table of values is given; only the library's own work is timed.
The pipeline's time is from features to the values of all classes in both cases.
captum (ShapleyValues) and shapiq (ExactComputer) explain one class a call, shap (Exact) all.
captum walks all n! orders, the others all coalitions.
difference: the largest from the pipeline's values; of: the largest of the pipeline's values.
≈: not run since beyond {LONGEST_S:g} s; extrapolated from the same library's largest game above.
"""


@dataclass(frozen=True)
class Row:
    """Element Shapley Values of some videos at once."""

    model: ModelName
    n_frames: int
    n_videos: int
    timing: Timing
    peak_bytes: int | None
    own_bytes: int | None
    """the part of the peak in excess of a process with the model loaded"""
    limit: dict[str, float] = field(default_factory=dict)
    """least seconds of each unavoidable part"""

    @property
    def limit_ratio(self) -> float | None:
        """Shortest time relative to the machine's limit; None if the limit was not measured."""
        return self.timing.shortest / sum(self.limit.values()) if self.limit else None

    @property
    def evaluations_per_second(self) -> float:
        """Coalitions evaluated per second, each for all classes."""
        return self.n_videos * 2**self.n_frames / self.timing.median


@dataclass(frozen=True)
class Report:
    """All results of a run."""

    machine: dict[str, str | int]
    rows: list[Row]
    comparisons: "list[Comparison]"
    batches: list[Row]

    def seconds(self, model: ModelName, n_frames: int) -> float:
        """The pipeline's time for one video."""
        (row,) = [r for r in self.rows if (r.model, r.n_frames) == (model, n_frames)]
        return row.timing.median

    def ratio(self, comparison: "Comparison") -> float | None:
        """A library's time relative to the pipeline's; None if it was not run."""
        if comparison.timing is None:
            return None
        return comparison.timing.median / self.seconds(comparison.model, comparison.n_frames)

    def disagreements(self) -> "list[Comparison]":
        """Comparisons in which a library's values differ from the pipeline's."""
        compared = [c for c in self.comparisons if c.difference is not None]
        # Written so that NaN counts.
        return [c for c in compared if not (c.difference or 0.0) <= TOLERANCE]

    def as_json(self) -> dict[str, Any]:
        """The report with rates and ratios, in types that JSON supports."""
        return {
            "machine": self.machine,
            "tolerance": TOLERANCE,
            "rows": [_row_json(row) for row in self.rows],
            "comparisons": [{**asdict(c), "ratio": self.ratio(c)} for c in self.comparisons],
            "batches": [_row_json(row) for row in self.batches],
        }


def measure_row(model: ModelName, n_frames: int, n_videos: int, setting: Setting) -> Row:
    """Time the Element Shapley Values of some videos; call it in its own process."""
    device = setting.enter()
    game = games.make(model, n_frames, device, n_videos)
    before = peak_bytes(device)
    timing = timed(
        lambda: element_shapley_values(game.model, game.features, game.empty),
        device,
        seconds=setting.seconds,
    )
    peak = peak_bytes(device)
    least = limits.parts(model, n_frames, n_videos, device)
    return Row(model, n_frames, n_videos, timing, peak, peak - before, least)


def measure_libraries(frames: dict[ModelName, list[int]], setting: Setting) -> "list[Comparison]":
    """Time the libraries; call it in another process, because importing them takes memory."""
    from benchmarks.others import compare  # noqa: PLC0415

    device = setting.enter()
    return [
        comparison
        for name, numbers in frames.items()
        for comparison in compare(name, numbers, device, LONGEST_S, setting.seconds)
    ]


def measure(setting: Setting, quick: bool) -> Report:
    """Measure all tables, one row at a time."""
    device = setting.enter()
    frames = QUICK_FRAMES if quick else FRAMES
    batches = QUICK_BATCHES if quick else BATCHES[device.type]
    rows = [_row(name, n, 1, setting, quick) for name in frames for n in frames[name]]
    compared = {name: [n for n in frames[name] if n <= MOST_COMPARED] for name in frames}
    if quick:
        comparisons = measure_libraries(compared, setting)
    else:
        comparisons = in_own_process(measure_libraries, compared, setting)
    batch_rows = [_row(name, *batch, setting, quick) for name in frames for batch in batches]
    return Report(machine(device), rows, comparisons, batch_rows)


def _row(name: ModelName, n_frames: int, n_videos: int, setting: Setting, quick: bool) -> Row:
    if quick:
        row = measure_row(name, n_frames, n_videos, setting)
        return replace(row, peak_bytes=None, own_bytes=None)
    return in_own_process(measure_row, name, n_frames, n_videos, setting)


def show(report: Report, console: Console) -> None:
    """Print the tables."""
    about = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    console.print(f"\n{about}\nD = {games.FEATURE_DIM}, hidden {games.HIDDEN}, ", end="")
    console.print(f"C = {games.N_CLASSES}, n_max = {games.N_MAX}, random weights\n")
    console.print(_rows_table(report))
    console.print(_comparisons_table(report))
    console.print(NOTES)
    console.print(_batches_table(report))


def _row_json(row: Row) -> dict[str, Any]:
    return {
        **asdict(row),
        "limit_ratio": row.limit_ratio,
        "evaluations_per_second": row.evaluations_per_second,
    }


def _new_table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _timing_cells(timing: Timing) -> list[str]:
    span = f"{seconds_text(timing.shortest)} – {seconds_text(timing.longest)}"
    return [seconds_text(timing.median), span, str(timing.runs), seconds_text(timing.first)]


def _limit_cell(row: Row) -> str:
    return "" if row.limit_ratio is None else ratio_text(row.limit_ratio)


def _memory_cells(row: Row) -> list[str]:
    return ["" if size is None else size_text(size) for size in (row.peak_bytes, row.own_bytes)]


def _rows_table(report: Report) -> Table:
    table = _new_table(
        f"Exact Element Shapley Values of one video, all {games.N_CLASSES} classes",
        ["model"],
        ["n", "median", "min – max", "runs", "first", "limit", "coalitions/s", "peak", "own share"],
    )
    for row in report.rows:
        table.add_row(
            row.model,
            str(row.n_frames),
            *_timing_cells(row.timing),
            _limit_cell(row),
            f"{row.evaluations_per_second:,.0f}",
            *_memory_cells(row),
        )
    return table


def _comparisons_table(report: Report) -> Table:
    table = _new_table(
        "Other libraries on the same games: ratios are theirs / the pipeline's",
        ["model", "n", "library", "values", "classes"],
        ["median", "min – max", "runs", "pipeline", "ratio", "difference", "of"],
    )
    for c in report.comparisons:
        ours = seconds_text(report.seconds(c.model, c.n_frames))
        cells = [c.model, str(c.n_frames), c.library, c.values, str(c.classes)]
        if c.timing is None or c.difference is None:
            table.add_row(*cells, _about(c.extrapolated or 0.0), "", "–", ours)
            continue
        *timing, _ = _timing_cells(c.timing)
        ratio = ratio_text(report.ratio(c) or math.nan)
        table.add_row(*cells, *timing, ours, ratio, f"{c.difference:.0e}", f"{c.largest:.1g}")
    return table


def _about(seconds: float) -> str:
    text = seconds_text(seconds)
    return text if text.startswith(">") else f"≈ {text}"


def _batches_table(report: Report) -> Table:
    table = _new_table(
        "Many videos in one batch",
        ["model"],
        ["n", "videos", "median", "min – max", "runs", "first", "limit", "videos/s", "peak", "own"],
    )
    for row in report.batches:
        table.add_row(
            row.model,
            str(row.n_frames),
            str(row.n_videos),
            *_timing_cells(row.timing),
            _limit_cell(row),
            f"{row.n_videos / row.timing.median:,.1f}",
            *_memory_cells(row),
        )
    return table


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.runtime",
        description="Time exact Element Shapley Values beside other libraries on the same games.",
    )
    parser.add_argument("--quick", action="store_true", help="small games only: some seconds")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of torch (as it chooses; 1 with --quick)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and fail where values disagree."""
    given = _arguments(arguments)
    device = devices.resolve(given.device)
    seconds = QUICK_S if given.quick else FULL_S
    threads = given.threads or (1 if given.quick else torch.get_num_threads())
    report = measure(Setting(str(device), threads, seconds), given.quick)
    # Wide enough for the tables if the output is not a terminal.
    console = Console()
    show(report, console if console.is_terminal else Console(width=130))
    if given.json:
        given.json.write_text(json.dumps(report.as_json(), indent=2, allow_nan=False) + "\n")
    if wrong := report.disagreements():
        text = "; ".join(f"{c.library} on {c.model} n={c.n_frames}: {c.difference}" for c in wrong)
        raise SystemExit(f"values differ by more than {TOLERANCE}: {text}")


if __name__ == "__main__":
    main()
