"""How the benchmarks measure: repeated timings, peak memory of a process, the machine."""

import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

from pipeline.models import devices

P = ParamSpec("P")
R = TypeVar("R")

LONG_S = 5.0
"""Seconds of a first call beyond which it is itself the measurement, alone."""


@dataclass(frozen=True)
class Timing:
    """Seconds of some calls of one function, after a first one that is told apart."""

    median: float
    shortest: float
    longest: float
    runs: int
    first: float


@dataclass(frozen=True)
class Setting:
    """How a process measures."""

    device: str
    threads: int
    seconds: float
    """Over about how many a measurement is repeated."""

    def enter(self) -> torch.device:
        """Have torch use so many threads in this process; the device."""
        torch.set_num_threads(self.threads)
        return torch.device(self.device)


def timed(
    function: Callable[[], object],
    device: torch.device | None = None,
    *,
    seconds: float = 1.0,
    fewest: int = 3,
    most: int = 15,
) -> Timing:
    """Time a function over about so many seconds, after a first call to warm up."""
    first = _once(function, device)
    if first > LONG_S:
        return Timing(first, first, first, 1, first)
    runs = min(most, max(fewest, int(seconds / first)))
    taken = [_once(function, device) for _ in range(runs)]
    return Timing(statistics.median(taken), min(taken), max(taken), runs, first)


def _once(function: Callable[[], object], device: torch.device | None) -> float:
    start = time.perf_counter()
    function()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def in_own_process(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in a fresh interpreter, whose peak memory is that call's alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()


def peak_bytes(device: torch.device) -> int:
    """Most memory held so far: of the GPU by tensors, or of the machine by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        # A process started from a larger one inherits that one's ru_maxrss, but not its VmHWM.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine(device: torch.device) -> dict[str, str | int]:
    """What the figures were measured on."""
    return {
        "cpu": devices.cpu_name(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "device": devices.describe(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def seconds_text(seconds: float) -> str:
    """A time in the unit that suits it, to three digits."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    years = seconds / (365.25 * 86400)
    if years > 1e6:
        return "> 1,000,000 years"
    for unit, length in (("years", years), ("days", seconds / 86400), ("hours", seconds / 3600)):
        if length >= 2:
            return f"{_three_digits(length)} {unit}"
    return f"{_three_digits(seconds)} s" if seconds < 600 else f"{seconds / 60:.3g} min"


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def ratio_text(ratio: float) -> str:
    """How many times as long, to three digits."""
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.3g} ×"


def size_text(size: float) -> str:
    """Bytes, in MiB."""
    return f"{size / 2**20:,.0f} MiB"
