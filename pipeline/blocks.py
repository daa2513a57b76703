"""Long tables in blocks of rows, and the threads that work on them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

BLOCK_BYTES = {"cpu": 1 << 21, "cuda": 1 << 28}


def row_blocks(n_rows: int, row_bytes: int, device: torch.device) -> list[slice]:
    """Cut rows into blocks that stay in a processor's cache, or fill a GPU."""
    step = max(64, BLOCK_BYTES.get(device.type, 1 << 26) // row_bytes)
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


class Workers:
    """Threads that each take whole blocks.

    With PyTorch's own threads all cores would meet after every operation, a few thousand times
    at 20 frames: if another process keeps one of them waiting, each time all of them wait.
    """

    def __init__(self, device: torch.device) -> None:
        """As many as PyTorch has threads; on a GPU there is just the caller."""
        self.count = torch.get_num_threads() if device.type == "cpu" else 1
        self.pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        """Threads are started when there is work for several."""
        return self

    def __exit__(self, *_: object) -> None:
        """Work that has not begun is dropped."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def map(self, step: Callable[[slice], Result], blocks: list[slice]) -> Iterator[Result]:
        """What ``step`` returns for each block, in their order; no gradients are kept."""
        if self.count == 1 or len(blocks) == 1:
            with torch.no_grad():
                yield from (step(rows) for rows in blocks)
            return
        if self.pool is None:
            self.pool = ThreadPoolExecutor(self.count, "blocks", torch.set_num_threads, (1,))
        # Some of PyTorch's libraries keep one count for all threads: it has to be 1 meanwhile.
        torch.set_num_threads(1)
        try:
            yield from self.pool.map(torch.no_grad()(step), blocks)
        finally:
            torch.set_num_threads(self.count)
