"""Long tables in blocks of rows, and the threads that work on them."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import psutil  # type: ignore[import-untyped]
import torch

Result = TypeVar("Result")

BLOCK_BYTES = {"cpu": 1 << 21, "cuda": 1 << 28}


def row_blocks(n_rows: int, row_bytes: int, device: torch.device) -> list[slice]:
    """Cut rows into blocks that stay in a processor's cache, or fill a GPU.

    They are of about one size, and one alone or a multiple of four, so that threads finish
    together. How many threads there are does not matter: it must not, for results to be the same.
    """
    most = max(64, BLOCK_BYTES.get(device.type, 1 << 26) // row_bytes)
    count = -(-n_rows // most)
    if count > 1:
        count = min(-(-count // 4) * 4, n_rows)
    bounds = [n_rows * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def available_bytes(device: torch.device) -> int:
    """Bytes of memory that are free on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    # Not the pages that are free, which are few where the system caches files.
    return int(psutil.virtual_memory().available)


@lru_cache(maxsize=2)
def _pool(count: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Threads that stay: what they have allocated once they use again.

    ``process`` tells a forked process, which has no threads, from the one that had them.
    """
    return ThreadPoolExecutor(count, "blocks", torch.set_num_threads, (1,))


def map_blocks(
    step: Callable[[slice], Result], blocks: list[slice], device: torch.device
) -> Iterator[Result]:
    """What ``step`` returns for each block, in their order; no gradients are kept.

    On the CPU each of as many threads as PyTorch has takes whole blocks. With PyTorch's own threads
    all cores would meet after every operation, a few thousand times at 20 frames: if another
    process keeps one of them waiting, each time all of them wait.
    """
    count = torch.get_num_threads()
    if device.type != "cpu" or count == 1 or len(blocks) == 1:
        with torch.no_grad():
            yield from (step(rows) for rows in blocks)
        return
    # Some of PyTorch's libraries keep one count for all threads: it has to be 1 meanwhile.
    torch.set_num_threads(1)
    futures = [_pool(count, os.getpid()).submit(torch.no_grad()(step), rows) for rows in blocks]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
        torch.set_num_threads(count)
