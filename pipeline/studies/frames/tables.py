"""Complete tables of sequences, evaluated in batches of one size."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import TooLittleMemory
from pipeline.studies.frames.coalition_scores import Model, Score, table

log = logging.getLogger(__name__)

Classes = NDArray[np.integer[Any]] | None

Scorer = Callable[[NDArray[np.float32], Classes], NDArray[np.float32]]
"""Scores of all coalitions of sequences (k, n, feature_dim) for their classes (k, output), or for
all classes: (k, 2**n, output)."""


LACKING = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
"""What errors say when a library finds too little memory on a GPU."""


class Batches:
    """Evaluates sequences in batches of one size, which is halved when memory does not suffice.

    Every batch is filled up with repeated sequences if necessary: the last bits of a product depend
    on its shape, and a video's values should not depend on which other videos are left to do. (In
    layers of odd widths they may still depend, by one unit in the last place, on the place in the
    batch.) Values from batches of different sizes agree within 1e-6, but not in the last bits.

    Attributes:
        size: sequences in a batch from now on.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def evaluate(
        self, count: int, tables: Callable[[NDArray[np.intp]], torch.Tensor]
    ) -> NDArray[np.float32]:
        """Tables of ``count`` sequences: (count, …).

        Args:
            count: how many; at least one.
            tables: takes numbers of sequences (size,) and returns their tables (size, …).

        Raises:
            TooLittleMemory: the table of one sequence does not fit.
        """
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < count:
            chosen = np.minimum(np.arange(done, done + self.size), count - 1)
            try:
                found = tables(chosen)[: count - done].cpu().numpy()
            except (RuntimeError, TooLittleMemory) as error:
                is_last = self.size == 1 and isinstance(error, TooLittleMemory)
                if is_last or not _lacks_memory(error):
                    raise
                # Advice on PyTorch's settings follows the first sentences.
                problem = ". ".join(str(error).split(". ")[:3])
            else:
                parts.append(found)
                done += len(found)
                continue
            # The error holds the tensors of the attempt until it is left.
            self._halve(problem)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _halve(self, problem: str) -> None:
        if self.size == 1:
            raise TooLittleMemory(
                f"the coalitions of a single sequence do not fit into memory ({problem}). Use "
                "fewer frames, or wait until other processes have freed memory"
            )
        self.size //= 2
        log.warning(
            "memory does not suffice (%s): from here on, %d sequences are evaluated at once. "
            "Values of batches of another size agree within 1e-6, not in the last bits",
            problem,
            self.size,
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _lacks_memory(error: Exception) -> bool:
    is_known = isinstance(error, torch.OutOfMemoryError | TooLittleMemory)
    # Libraries that take memory beside PyTorch have errors of no type of their own.
    return is_known or any(text in str(error) for text in LACKING)


def scorer(model: Model, empty: torch.Tensor, score: Score, at_once: int) -> Scorer:
    """Return a function that evaluates sequences of any number of frames.

    Args:
        model: in evaluation mode, on the device of the computation.
        empty: (class,) v(∅), in the unit of ``score``, on the same device.
        score: what v is.
        at_once: sequences in a batch, see :class:`Batches`.
    """
    batches = Batches(at_once)

    def scores(sequences: NDArray[np.float32], classes: Classes) -> NDArray[np.float32]:
        def tables(chosen: NDArray[np.intp]) -> torch.Tensor:
            batch = torch.from_numpy(sequences[chosen]).to(empty.device)
            kept = None
            if classes is not None:
                kept = torch.from_numpy(classes[chosen].astype(np.int64)).to(empty.device)
            return table(model, batch, empty, score, kept)

        return batches.evaluate(len(sequences), tables)

    return scores
