"""Measurement for the benchmarks: repeated timings, peak memory of a process, the machine."""

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
"""If the first call takes more than so many seconds, it is the only measurement."""


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated calls of one function; the first call is reported separately."""

    median: float
    shortest: float
    longest: float
    runs: int
    first: float


@dataclass(frozen=True)
class Setting:
    """Device, threads and duration of a process's measurements."""

    device: str
    threads: int
    seconds: float
    """approximate time over which a measurement is repeated"""

    def enter(self) -> torch.device:
        """Set torch's number of threads in this process; return the device."""
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
    """Call a function in a fresh interpreter, so that the peak memory is that of the call alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()


def peak_bytes(device: torch.device) -> int:
    """Peak memory so far: of tensors on the GPU, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        # A process started from a larger one inherits the parent's ru_maxrss, but not its VmHWM.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine(device: torch.device) -> dict[str, str | int]:
    """Description of the machine and of the software."""
    return {
        "cpu": devices.cpu_name(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "device": devices.describe(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def seconds_text(seconds: float) -> str:
    """A time in a suitable unit, to three digits."""
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
    """A ratio, to three digits."""
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.3g} ×"


def size_text(size: float) -> str:
    """Bytes, in MiB."""
    return f"{size / 2**20:,.0f} MiB"
