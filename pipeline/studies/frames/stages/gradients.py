"""Stage: what gradients say of the frames: Integrated Gradients and GradCAM.

Of the same sequences of frames whose coalitions are in the store, for the true and the predicted
class, as the other attributions that Element Shapley Values are compared with.
"""

from pathlib import Path

import h5py
import numpy as np
import torch

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.core.progress import progress
from pipeline.models import devices
from pipeline.models.gradients import baseline_features, gradcam, integrated_gradients
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.game import predict, read_game
from pipeline.studies.frames.gradients import BYTES_AT_ONCE, CLASSES, MOST_AT_ONCE
from pipeline.studies.frames.params import CoalitionsParams, GameParams, GradientsParams
from pipeline.studies.frames.whole_model import WholeModel

VERSION = 1


def main(
    *,
    model: str,
    features: Path,
    train_features: Path,
    weights: list[Path],
    priors: Path,
    game: GameParams,
    params: GradientsParams,
    out: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Attributions of every frame of every video that the store lists; ``out`` is HDF5.

    ``train_features`` are those whose mean may be the baseline.
    """
    target = devices.resolve(device)
    coalitions = CoalitionsParams(**game.model_dump(), outputs="all")
    played = read_game(model, features, weights, priors, coalitions, label=label)
    if not played.instances:
        raise InputError(
            f"{features}: no video has {game.n} frames, and shorter ones are left out; lower "
            "frames.coalitions.n, or set frames.coalitions.short_videos: repeat"
        )
    predicted = predict(played, coalitions.score, target)
    classes = np.stack([played.labels, predicted], axis=1)
    module = WholeModel(played.network.to(target), coalitions.score).eval()
    # All training features are a lot to read where nothing is asked of them.
    known = played.inputs[:1, 0]
    if params.baseline == "mean":
        known = read_features(train_features, label=label).rows
    baseline = baseline_features(params.baseline, torch.from_numpy(known)).to(target)
    at_once = module.sequences_at_once(coalitions.n, BYTES_AT_ONCE)
    at_once = min(at_once, MOST_AT_ONCE.get(target.type, 512))
    shape = (len(played.instances), coalitions.n, len(CLASSES))
    found = {name: np.empty(shape) for name in ("integrated_gradients", "gradcam")}
    gaps = np.empty((shape[0], shape[2]))
    step = max(1, at_once // params.steps)
    # Where both classes are the same, so are the attributions.
    wrong = np.flatnonzero(predicted != played.labels)
    videos = np.concatenate([np.arange(shape[0]), wrong])
    which = np.repeat([0, 1], [shape[0], len(wrong)])
    with progress(f"frames_gradients {model}", len(videos), "attributions") as advance:
        for start in range(0, len(videos), step):
            some = slice(start, start + step)
            inputs = torch.from_numpy(played.inputs[videos[some]]).to(target)
            chosen = torch.from_numpy(classes[videos[some], which[some]].astype(np.int64))
            integrated = integrated_gradients(
                module,
                inputs,
                chosen,
                baseline=baseline,
                steps=params.steps,
                internal_batch=at_once,
            )
            cam = gradcam(module, inputs, chosen, internal_batch=at_once)
            place = videos[some], slice(None), which[some]
            found["integrated_gradients"][place] = integrated.values.cpu().numpy()
            found["gradcam"][place] = cam.cpu().numpy()
            gaps[videos[some], which[some]] = integrated.gap.cpu().numpy()
            advance(len(inputs))
    right = predicted == played.labels
    gaps[right, 1] = gaps[right, 0]
    for values in found.values():
        values[right, :, 1] = values[right, :, 0]
    with replacing(out) as temporary, h5py.File(temporary, "w") as file:
        text = h5py.string_dtype()
        file.create_dataset("uids", data=list(played.instances), dtype=text)
        file.create_dataset("outputs", data=list(CLASSES), dtype=text)
        file.create_dataset("classes", data=classes)
        for name, values in found.items():
            dataset = file.create_dataset(name, data=values)
            for axis, of_axis in enumerate(("video", "frame", "output")):
                dataset.dims[axis].label = of_axis
        file.create_dataset("gap", data=gaps)
        file["gap"].attrs["meaning"] = (
            "sum over frames of the integrated gradients, less f(X) − f(baseline)"
        )
        file.attrs["baseline"], file.attrs["steps"] = params.baseline, params.steps
