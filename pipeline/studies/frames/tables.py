"""Complete tables of sequences, evaluated in batches of one size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.studies.frames.coalition_scores import Model, Score, table

Classes = NDArray[np.integer[Any]] | None

Scorer = Callable[[NDArray[np.float32], Classes], NDArray[np.float32]]
"""Scores of all coalitions of sequences (k, n, feature_dim) for their classes (k, output), or for
all classes: (k, 2**n, output)."""


def scorer(model: Model, empty: torch.Tensor, score: Score, at_once: int) -> Scorer:
    """Return a function that evaluates up to ``at_once`` sequences of any number of frames.

    Every batch has ``at_once`` sequences, some of them repeated if necessary: the last bits of a
    product depend on its shape, and a video's values should not depend on which other videos are
    left to do. (In layers of odd widths they may still depend, by one unit in the last place, on
    the place in the batch.)

    Args:
        model: in evaluation mode, on the device of the computation.
        empty: (class,) v(∅), in the unit of ``score``, on the same device.
        score: what v is.
        at_once: sequences in a batch.
    """

    def scores(sequences: NDArray[np.float32], classes: Classes) -> NDArray[np.float32]:
        filled = np.minimum(np.arange(at_once), len(sequences) - 1)
        batch = torch.from_numpy(sequences[filled]).to(empty.device)
        kept = None
        if classes is not None:
            kept = torch.from_numpy(classes[filled].astype(np.int64)).to(empty.device)
        return table(model, batch, empty, score, kept)[: len(sequences)].cpu().numpy()

    return scores
