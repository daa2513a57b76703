"""Splits long tables into blocks of rows, and maps functions over blocks in threads."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any, TypeVar

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor

Result = TypeVar("Result")

BLOCK_BYTES = {"cpu": 1 << 21, "cuda": 1 << 28}


def most_rows(row_bytes: int, device: torch.device) -> int:
    """The most rows of a block."""
    return max(64, BLOCK_BYTES.get(device.type, 1 << 26) // row_bytes)


def row_blocks(n_rows: int, row_bytes: int, device: torch.device) -> list[slice]:
    """Cut rows into blocks that fit a processor's cache, or fill a GPU.

    Blocks are of about the same size. There is one block or a multiple of four, so that threads
    finish together. The blocks must not depend on the number of threads, so that results do not
    either.
    """
    count = -(-n_rows // most_rows(row_bytes, device))
    if count > 1:
        count = min(-(-count // 4) * 4, n_rows)
    bounds = [n_rows * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def on_cpu(tensor: Tensor) -> bool:
    """Whether the CPU processes a tensor; tests replace this to take the ways of a GPU there."""
    return tensor.device.type == "cpu"


def untouched(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A tensor of this shape whose values are undefined, of the type and on the device of another.

    On the CPU NumPy allocates it, since it asks Linux for large pages (where these are granted on
    request): the first write to 128 MiB then takes 7 ms instead of 45.
    """
    if like.device.type != "cpu":
        return like.new_empty(shape)
    memory = np.empty(prod(shape) * like.element_size(), dtype=np.uint8)
    return torch.from_numpy(memory).view(like.dtype).view(shape)


def moved(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on a device; on the CPU they share memory.

    On a GPU the copy is queued: the host waits neither for it nor for what was queued before.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        # Out of memory that is not pinned, the copy would first wait for the whole queue.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def available_bytes(device: torch.device) -> int:
    """Bytes of memory that are available on a device."""
    if device.type == "cuda":
        # PyTorch keeps what it has freed, and uses it again.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    # "available" counts pages of the file cache, "free" does not.
    return int(psutil.virtual_memory().available)


@lru_cache(maxsize=2)
def _pool(count: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """A pool of threads that stay alive, so that they reuse the memory they have allocated.

    ``process`` gives each forked process its own pool, since a fork does not copy threads.
    """
    return ThreadPoolExecutor(count, "blocks", torch.set_num_threads, (1,))


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Have the C library keep up to 64 MiB of freed memory per thread, instead of a few.

    Otherwise temporary tensors of a block come from fresh pages again and again, which takes up to
    half of the time of an operation. glibc raises its thresholds to the size of the largest piece
    that it has got from the system and given back, up to 32 MiB (``man mallopt``). The piece here
    is not touched, so it takes no memory. Other C libraries ignore this.
    """
    np.empty((1 << 25) - (1 << 13), dtype=np.uint8)


_own = threading.local()
"""``count``: threads of this thread's :func:`map_blocks`, while they replace PyTorch's."""


@contextmanager
def threads_for_blocks() -> Iterator[None]:
    """Leave the threads to :func:`map_blocks`: each other operation runs in the calling thread.

    After an operation, PyTorch's own threads wait for the next one in a loop, for milliseconds, on
    the cores where blocks run meanwhile. Use it around all operations between maps; it can be
    nested, and also decorates functions.
    """
    if hasattr(_own, "count"):
        yield
        return
    _own.count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(_own.count)
        del _own.count


def map_blocks(
    step: Callable[[slice], Result], blocks: list[slice], device: torch.device
) -> Iterator[Result]:
    """Results of ``step`` for each block, in the order of the blocks, without gradients.

    On the CPU, as many threads as PyTorch has each take whole blocks; the calling thread is one of
    them. PyTorch's own threads would synchronise after every operation, a few thousand times at 20
    frames. If another process then delayed one core, all cores would wait each time.
    """
    _keep_freed_memory()
    count = min(getattr(_own, "count", torch.get_num_threads()), len(blocks))
    if device.type != "cpu" or count <= 1:
        with torch.no_grad():
            yield from (step(rows) for rows in blocks)
        return
    yield from _in_threads(step, blocks, count)


def _in_threads(step: Callable[[slice], Result], blocks: list[slice], count: int) -> list[Result]:
    numbers = iter(range(len(blocks)))
    results: dict[int, Result] = {}

    @torch.no_grad()
    def work() -> None:
        try:
            # A step of the iterator is atomic, so each thread takes other blocks.
            for number in numbers:
                results[number] = step(blocks[number])
        except BaseException:
            for _ in numbers:  # the other threads stop after their block
                pass
            raise

    # Some of PyTorch's libraries share one count between all threads, so it is 1 in all of them.
    with threads_for_blocks():
        pool = _pool(_own.count, os.getpid())
        futures = [pool.submit(work) for _ in range(count - 1)]
        try:
            work()
        finally:
            wait(futures)
    for future in futures:
        future.result()
    return [results[number] for number in range(len(blocks))]
