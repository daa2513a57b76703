"""Time writing and reading coalition stores, compared with plain ``np.save`` and ``np.load``.

    python -m benchmarks.store [--quick] [--json FILE]

The same tables of values are written one instance at a time, into a store and into one ``.npy``
file per instance. The store is planned, then played by ``pipeline.store.evaluation.play``, which
checks that values are finite, compresses them, adds checksums and writes each instance atomically;
plain files have none of this. Both are then read back: all instances into one array, which verifies
the store's checksums, and one instance after the other. All files are in a temporary directory, and
are read from the page cache. Values are random probabilities: float32 noise, which barely
compresses.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Timing, ratio_text, seconds_text, timed
from pipeline.store import CoalitionStore, GameRecord, open_store, plan
from pipeline.store.evaluation import play

Values = NDArray[np.float32]

SHAPES = [(500, 8, 17), (20, 16, 17)]
"""(instances, players, outputs)"""
QUICK_SHAPES = [(20, 6, 3)]


@dataclass(frozen=True)
class Task:
    """One operation on all instances, by the store and by plain files."""

    shape: tuple[int, int, int]
    """(instance, coalition, output)"""
    task: str
    store: Timing
    plain: Timing | None
    """None where plain files have no such step"""

    @property
    def megabytes(self) -> float:
        """Size of the values, uncompressed."""
        return 4e-6 * float(np.prod(self.shape))

    @property
    def ratio(self) -> float | None:
        """Time of the store relative to plain files."""
        return None if self.plain is None else self.store.median / self.plain.median


@dataclass(frozen=True)
class Bench:
    """Values in memory, and the paths of a store and of plain files with these values."""

    folder: Path
    values: Values
    record: GameRecord

    @property
    def ids(self) -> list[str]:
        """Names of the instances."""
        return [f"{i:05}" for i in range(len(self.values))]

    def plan(self) -> CoalitionStore:
        """Plan the store, without values."""
        shutil.rmtree(self.folder / "store", ignore_errors=True)
        return plan(self.folder / "store" / "game.zarr", self.record, self.ids, self.ids)

    def play(self) -> None:
        """Fill the planned store."""
        store = open_store(self.folder / "store" / "game.zarr", "r+")
        for i in np.flatnonzero(store.done()):
            store.erase(int(i))
        play(store, lambda some: self.values[list(some)], batch_size=16)

    def save(self) -> None:
        """Fill the plain files."""
        shutil.rmtree(self.folder / "plain", ignore_errors=True)
        (self.folder / "plain").mkdir()
        for path, values in zip(self.paths(), self.values, strict=True):
            np.save(path, values)

    def paths(self) -> Iterable[Path]:
        """The plain files."""
        return (self.folder / "plain" / f"{name}.npy" for name in self.ids)

    def opened(self) -> CoalitionStore:
        """The store, opened again."""
        return open_store(self.folder / "store" / "game.zarr")

    def read_all(self) -> Values:
        """Read everything from the store."""
        return self.opened().read_many(self.ids)

    def load_all(self) -> Values:
        """Read everything from the plain files."""
        return np.stack([np.load(path) for path in self.paths()])

    def read_each(self) -> None:
        """Read one instance after the other from the store."""
        store = self.opened()
        for name in self.ids:
            store.read(name)

    def load_each(self) -> None:
        """Read one instance after the other from the plain files."""
        for path in self.paths():
            np.load(path)


def bench(folder: Path, n_instances: int, n_players: int, n_outputs: int) -> Bench:
    """Random values, and a record of a game for them."""
    values = np.random.default_rng(0).random(
        (n_instances, 2**n_players, n_outputs), dtype=np.float32
    )
    record = GameRecord(
        study="benchmark",
        game="random",
        n_players=n_players,
        player="a player",
        outputs=tuple(f"class {i}" for i in range(n_outputs)),
        value="random numbers",
        specification={},
        weights_sha256="0" * 64,
        evaluator_version=1,
        versions={"numpy": np.__version__},
    )
    return Bench(folder, values, record)


def measure(n_instances: int, n_players: int, n_outputs: int, seconds: float) -> list[Task]:
    """Time all tasks on one shape, in a temporary directory; check the values read."""
    with tempfile.TemporaryDirectory() as folder:
        b = bench(Path(folder), n_instances, n_players, n_outputs)
        tasks: list[tuple[str, Callable[[], object], Callable[[], object] | None]] = [
            ("plan", b.plan, None),
            ("write", b.play, b.save),
            ("read all", b.read_all, b.load_all),
            ("read each", b.read_each, b.load_each),
        ]
        results = []
        for name, ours, plain in tasks:
            others = None if plain is None else timed(plain, seconds=seconds)
            timing = timed(ours, seconds=seconds)
            results.append(Task(b.values.shape, name, timing, others))
        if not (np.array_equal(b.read_all(), b.values) and np.array_equal(b.load_all(), b.values)):
            raise SystemExit("values read are not those that were written")
    return results


def table_of(tasks: list[Task]) -> Table:
    """The table that is printed."""
    table = Table(title="Coalition stores beside .npy files", box=box.SIMPLE_HEAD)
    table.add_column("instances × coalitions × outputs")
    table.add_column("task")
    for name in ("store", "min – max", "runs", "MB/s", ".npy", "min – max", "MB/s", "ratio"):
        table.add_column(name, justify="right")
    for task in tasks:
        cells = [*_cells(task.store), str(task.store.runs), _rate(task, task.store)]
        if task.plain is not None and task.ratio is not None:
            cells += [*_cells(task.plain), _rate(task, task.plain), ratio_text(task.ratio)]
        table.add_row(" × ".join(map(str, task.shape)), task.task, *cells)
    return table


def _cells(timing: Timing) -> list[str]:
    span = f"{seconds_text(timing.shortest)} – {seconds_text(timing.longest)}"
    return [seconds_text(timing.median), span]


def _rate(task: Task, timing: Timing) -> str:
    return "" if task.plain is None else f"{task.megabytes / timing.median:,.0f}"


def as_json(tasks: list[Task]) -> dict[str, Any]:
    """The figures, in types that JSON supports."""
    return {"tasks": [{**asdict(task), "ratio": task.ratio} for task in tasks]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.store",
        description="Time coalition stores beside plain .npy files.",
    )
    parser.add_argument("--quick", action="store_true", help="a small store only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args(arguments)
    seconds = 0.1 if given.quick else 2.0
    shapes = QUICK_SHAPES if given.quick else SHAPES
    tasks = [task for shape in shapes for task in measure(*shape, seconds)]
    console = Console()
    (console if console.is_terminal else Console(width=130)).print(table_of(tasks))
    if given.json:
        given.json.write_text(json.dumps(as_json(tasks), indent=2, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
