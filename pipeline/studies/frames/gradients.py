"""Stage: what gradients say of the frames: Integrated Gradients and GradCAM.

Of the same sequences of frames whose coalitions are in the store, for the true and the predicted
class, as the other attributions that Element Shapley Values are compared with.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

BYTES_AT_ONCE = 1 << 28
MOST_AT_ONCE = {"cpu": 512, "cuda": 8192}
CLASSES = ("true class", "predicted class")


@dataclass(frozen=True)
class FrameGradients:
    """What the stage writes."""

    uids: tuple[str, ...]
    integrated_gradients: NDArray[np.float64]
    """(video, frame, 2) for the true and the predicted class"""
    gradcam: NDArray[np.float64]
    """(video, frame, 2)"""


def read_gradients(path: Path) -> FrameGradients:
    """Read back what the stage wrote."""
    with h5py.File(path, "r") as file:
        return FrameGradients(
            tuple(uid.decode() for uid in file["uids"][:]),
            file["integrated_gradients"][:],
            file["gradcam"][:],
        )
