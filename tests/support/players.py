"""A small game, and processes that play it, for tests that run several at once or kill them."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from pipeline.store import CoalitionStore, GameRecord, open_store, plan
from pipeline.store.claims import claiming
from pipeline.store.evaluation import play, write_receipt

# Forked from a server that has imported slow modules, so that one starts in milliseconds.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["pipeline.store.evaluation"])

RECORD = GameRecord(
    study="frames",
    game="trn",
    n_players=3,
    player="a frame of the video",
    outputs=("cat", "dog"),
    value="probability",
    specification={"score": "softmax"},
    weights_sha256="ab" * 32,
    evaluator_version=1,
    versions={},
)


def value_of(name: str) -> np.ndarray:
    """Values of an instance, different for each one: (8, 2) float32."""
    return (np.arange(16, dtype=np.float32).reshape(8, 2) + 100 * int(name[1:])) / 7


def check(path: Path) -> None:
    """Check that a store holds the right values for each instance."""
    store = open_store(path)
    for i in np.flatnonzero(store.done()):
        np.testing.assert_array_equal(store.read(int(i)), value_of(store.instances[i]))


def journal_of(path: Path) -> Path:
    """The file to which processes append the name of every instance that they evaluate."""
    return path.parent / "journal"


def evaluated(path: Path) -> list[str]:
    """Names of all instances that processes have evaluated, in order."""
    journal = journal_of(path)
    return journal.read_text().split() if journal.exists() else []


def noting(store: CoalitionStore, seconds: float) -> Callable[[Sequence[int]], np.ndarray]:
    """Tables that take some time, and first record what they evaluate."""

    def tables(indices: Sequence[int]) -> np.ndarray:
        names = [store.instances[i] for i in indices]
        descriptor = os.open(
            journal_of(Path(store.path)), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
        )
        os.write(descriptor, "".join(f"{name}\n" for name in names).encode())
        os.close(descriptor)
        time.sleep(seconds)
        return np.stack([value_of(name) for name in names])

    return tables


def play_once(
    path: Path, batch_size: int, partition: tuple[int, int], seconds: float, number: int
) -> None:
    """The work of one process."""
    store = open_store(path, "r+")
    receipt = play(store, noting(store, seconds), batch_size=batch_size, partition=partition)
    write_receipt(receipt, path.parent / f"{number}.json")


def plan_once(path: Path, names: Sequence[str], record: GameRecord) -> None:
    """The work of a process that only plans."""
    (path.parent / "began").touch()
    plan(path, record, names, names)


def take_part(path: Path, claimed: int | None = None) -> None:
    """The work of a process that plays and hangs; then ``there`` exists beside the store."""
    with claiming(path) as claims:
        if claimed is not None:
            claims.take(claimed)
        (path.parent / "there").touch()
        time.sleep(60)


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Run a function of this module in another process."""
    process = processes.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def player(
    path: Path,
    number: int = 0,
    *,
    batch_size: int = 2,
    partition: tuple[int, int] = (0, 1),
    seconds: float = 0.02,
) -> BaseProcess:
    """A process that plays a partition; its receipt is ``<number>.json`` beside the store."""
    return start(play_once, path, batch_size, partition, seconds, number)


def finished(*started: BaseProcess, within: float = 30) -> list[int | None]:
    """Exit codes of processes, once they have ended; None for one that has not."""
    deadline = time.monotonic() + within
    for process in started:
        process.join(max(0.0, deadline - time.monotonic()))
    return [process.exitcode for process in started]


def wait_until(condition: Callable[[], bool], what: str, within: float = 20) -> None:
    """Wait for other processes; fail if it takes too long."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.002)


@contextmanager
def ended(*started: BaseProcess) -> Iterator[None]:
    """End all processes, whatever a test finds."""
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.join()
