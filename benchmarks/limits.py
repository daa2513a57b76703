"""The least time that exact values can take on this machine: the sum of their unavoidable parts.

Each part is an amount of work divided by the machine's rate for it. Rates are the best of repeated
measurements in the process that times the values, with as many threads, and at the shapes that the
values use.

* TRN: the output layer's products, for all subsequences of up to n_max frames; per coalition a row
  of a table is read and a row is written, at the rate of a triad (a = b + s c) over arrays as
  large as the tables, whether or not these fit a cache; a softmax over classes; and the products
  that sum scores by player.
* TSN by halves, in float64: three products and sums per coalition and class; the exponentials of
  the halves' factors; and the products that sum the halves by player.
* TSN with few coalitions: a softmax, and the products that sum scores by player.

What else the values need is left out: first layers, sums of hidden rows, all parents of a coalition
but one, and the start of operations, which is most of the time of a small game.
"""

import time
from collections.abc import Callable
from math import comb

import torch
from torch import Tensor

from benchmarks import games
from benchmarks.games import ModelName
from pipeline.core.blocks import map_blocks, row_blocks
from pipeline.studies.frames import halves

_BLOCKS = 16
_REPEATS = 8


def parts(name: ModelName, n_frames: int, n_videos: int, device: torch.device) -> dict[str, float]:
    """Least seconds of each unavoidable part of the values of some videos.

    Args:
        name: the model, with the sizes of :mod:`benchmarks.games`.
        n_frames, n_videos: of the game.
        device: where the rates are measured, with torch's number of threads.
    """
    columns = n_videos * games.N_CLASSES
    coalitions = 2**n_frames
    if name == "TSN" and coalitions * games.N_CLASSES >= halves.LEAST_VALUES:
        products = 6 * coalitions * columns / halves_product_rate(n_frames, device)
        factors = _factor_rows(n_frames) * columns
        return {
            "products": products,
            "exponentials": factors * exponential_seconds(device),
            "sums by player": n_frames * factors / halves_sums_rate(n_frames, device),
        }
    found = {
        "softmax": coalitions * columns * softmax_seconds(device),
        "sums by player": 2 * n_frames * coalitions * columns / sums_rate(n_frames, device),
    }
    if name == "TRN":
        sizes = range(1, min(n_frames, games.N_MAX) + 1)
        rows = n_videos * sum(comb(n_frames, size) for size in sizes)
        flop = 2 * rows * games.HIDDEN * games.N_CLASSES
        found["output layer"] = flop / output_layer_rate(device)
        values = comb(n_frames, n_frames // 2) * columns
        found["memory"] = 2 * 4 * coalitions * columns / triad_rate(values, device)
    return found


def output_layer_rate(device: torch.device) -> float:
    """Multiplications and additions per second of the output layer, on blocks of hidden rows."""
    rows, weight = _rand(_block_rows(device), games.HIDDEN), _rand(games.N_CLASSES, games.HIDDEN)
    rows, weight = rows.to(device), weight.to(device)
    return 2 * rows.numel() * len(weight) / _seconds(lambda: rows @ weight.t(), device)


def sums_rate(n_frames: int, device: torch.device) -> float:
    """Multiplications and additions per second of the sums of a block's scores by player."""
    membership = _rand(n_frames, _block_rows(device)).to(device)
    scores = _rand(_block_rows(device), games.N_CLASSES).to(device)
    return 2 * membership.numel() * games.N_CLASSES / _seconds(lambda: membership @ scores, device)


def halves_product_rate(n_frames: int, device: torch.device) -> float:
    """The same of float64 matrices of the two halves' subsets, of the size of most subsets.

    Larger matrices than fit a cache are multiplied in blocks.
    """
    size = n_frames // 2
    rows = _rand(min(comb(size, size // 2), 512), games.N_CLASSES).double().to(device)
    return 2 * rows.numel() * len(rows) / _seconds(lambda: rows @ rows.t(), device)


def halves_sums_rate(n_frames: int, device: torch.device) -> float:
    """Multiplications and additions per second of the sums of a half's subsets by player."""
    size = n_frames // 2
    membership = _rand(size, 2**size).double().to(device)
    sums = _rand(2**size, games.N_CLASSES).double().to(device)
    return 2 * membership.numel() * games.N_CLASSES / _seconds(lambda: membership @ sums, device)


def softmax_seconds(device: torch.device) -> float:
    """Seconds per score of the softmax of a block of coalitions."""
    logits = _rand(_block_rows(device), games.N_CLASSES).to(device)
    return _seconds(lambda: logits.softmax(dim=1), device) / logits.numel()


def exponential_seconds(device: torch.device) -> float:
    """Seconds per exponential in float64, in cache."""
    values = _rand(_block_rows(device), games.N_CLASSES // 2).double().to(device)
    return _seconds(values.exp, device) / values.numel()


def triad_rate(values: int, device: torch.device) -> float:
    """Bytes read and written per second by a = b + s c, over arrays of so many float32 each."""
    a, b, c = (torch.ones(values, device=device) for _ in range(3))
    blocks = row_blocks(values, 4, device)

    def step(part: slice) -> None:
        torch.add(b[part], c[part], alpha=2.0, out=a[part])

    return 3 * 4 * values / _best(lambda: list(map_blocks(step, blocks, device)), device)


def _factor_rows(n_frames: int) -> int:
    """Rows of factors that the sums by halves exponentiate, over all sizes of coalitions."""
    first, second = n_frames // 2, n_frames - n_frames // 2
    return sum(
        comb(first, in_first) + comb(second, size - in_first)
        for size in range(1, n_frames + 1)
        for in_first in range(max(0, size - second), min(size, first) + 1)
    )


def _block_rows(device: torch.device) -> int:
    blocks = row_blocks(1 << 20, 4 * max(games.HIDDEN, games.N_CLASSES), device)
    return blocks[0].stop


def _rand(*shape: int) -> Tensor:
    return torch.rand(shape)


def _seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of one call, where threads call it at once as they process blocks."""
    blocks = [slice(i, i + 1) for i in range(_BLOCKS)]

    def step(_: slice) -> None:
        work()

    return _best(lambda: list(map_blocks(step, blocks, device)), device) / _BLOCKS


def _best(work: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken)
