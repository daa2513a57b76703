"""Attributions of the frames by gradients: Integrated Gradients and GradCAM.

They belong to the same sequences of frames whose coalitions are in the store, for the true and the
predicted class. Element Shapley Values are compared with them.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.files import replacing
from pipeline.core.progress import progress
from pipeline.models.gradients import gradcam, integrated_gradients
from pipeline.models.sequences import MultiScale
from pipeline.studies.frames.line_gradients import gradients_on_lines
from pipeline.studies.frames.params import GradientsParams
from pipeline.studies.frames.players import Sequences
from pipeline.studies.frames.values import TRUE_AND_PREDICTED
from pipeline.studies.frames.whole_model import WholeModel

BYTES_AT_ONCE = 1 << 28
POINTS_AT_ONCE = 8
"""Points of each line evaluated at once, if many lines are."""
MOST_AT_ONCE = {"cpu": 512, "cuda": 8192}


@dataclass(frozen=True)
class FrameGradients:
    """Attributions of some videos' frames for the true and the predicted class."""

    uids: tuple[str, ...]
    integrated_gradients: NDArray[np.float64]
    """(video, frame, 2) for the true and the predicted class"""
    gradcam: NDArray[np.float64]
    """(video, frame, 2)"""


def attributions(
    module: WholeModel,
    inputs: NDArray[np.float32] | Sequences,
    classes: NDArray[np.int64],
    baseline: torch.Tensor,
    steps: int,
    *,
    description: str = "",
) -> dict[str, NDArray[np.float64]]:
    """Both attributions of every frame.

    Args:
        module: in evaluation mode, on the device of ``baseline``.
        inputs: (video, frame, feature_dim).
        classes: (video, 2) true and predicted class.
        baseline: of Integrated Gradients.
        steps: of Integrated Gradients.
        description: text of the progress bar.

    Returns:
        ``integrated_gradients`` and ``gradcam`` (video, frame, 2); ``gap`` (video, 2): the sum of
        the former over frames, minus the difference of scores.
    """
    n_videos, n = inputs.shape[:2]
    at_once = min(
        module.sequences_at_once(n, BYTES_AT_ONCE), MOST_AT_ONCE.get(baseline.device.type, 512)
    )
    shape = (n_videos, n, 2)
    found = {name: np.empty(shape) for name in ("integrated_gradients", "gradcam")}
    found["gap"] = np.empty((n_videos, 2))
    # If both classes are the same, their attributions are computed once and copied.
    wrong = np.flatnonzero(classes[:, 0] != classes[:, 1])
    videos = np.concatenate([np.arange(n_videos), wrong])
    which = np.repeat([0, 1], [n_videos, len(wrong)])
    is_multi_scale = isinstance(module.model, MultiScale)
    integrate = gradients_on_lines if is_multi_scale else integrated_gradients
    # One call computes many lines, which share some of the work.
    step = max(1, at_once // min(steps, POINTS_AT_ONCE) if is_multi_scale else at_once // steps)
    with progress(description, len(videos), "attributions") as advance:
        for start in range(0, len(videos), step):
            place = videos[start : start + step], which[start : start + step]
            some = torch.from_numpy(inputs[place[0]]).to(baseline.device)
            chosen = torch.from_numpy(classes[place].astype(np.int64))
            integrated = integrate(
                module, some, chosen, baseline=baseline, steps=steps, internal_batch=at_once
            )
            cam = gradcam(module, some, chosen, internal_batch=at_once)
            of_frames = place[0], slice(None), place[1]
            found["integrated_gradients"][of_frames] = integrated.values.cpu().numpy()
            found["gradcam"][of_frames] = cam.cpu().numpy()
            found["gap"][place] = integrated.gap.cpu().numpy()
            advance(len(some))
    right = classes[:, 0] == classes[:, 1]
    for values in found.values():
        values[right, ..., 1] = values[right, ..., 0]
    return found


def write_gradients(
    path: Path,
    uids: tuple[str, ...],
    classes: NDArray[np.int64],
    found: dict[str, NDArray[np.float64]],
    params: GradientsParams,
) -> None:
    """Write the results of :func:`attributions` as HDF5.

    Args:
        path: the file.
        uids: ids of the videos.
        classes: (video, 2) true and predicted class.
        found: the attributions.
        params: how they were computed.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        text = h5py.string_dtype()
        file.create_dataset("uids", data=list(uids), dtype=text)
        file.create_dataset("outputs", data=list(TRUE_AND_PREDICTED), dtype=text)
        file.create_dataset("classes", data=classes)
        for name in ("integrated_gradients", "gradcam"):
            dataset = file.create_dataset(name, data=found[name])
            for axis, of_axis in enumerate(("video", "frame", "output")):
                dataset.dims[axis].label = of_axis
        file.create_dataset("gap", data=found["gap"])
        file["gap"].attrs["meaning"] = (
            "sum over frames of the integrated gradients, less f(X) − f(baseline)"
        )
        file.attrs["baseline"], file.attrs["steps"] = params.baseline, params.steps


def read_gradients(path: Path) -> FrameGradients:
    """Read a file of :func:`write_gradients`."""
    with h5py.File(path, "r") as file:
        return FrameGradients(
            tuple(uid.decode() for uid in file["uids"][:]),
            file["integrated_gradients"][:],
            file["gradcam"][:],
        )
