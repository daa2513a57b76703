"""How well attributions find the action: the frames in which what the class names happens.

Some data sets tell from which to which frame a video's action lasts. A method finds it if frames
inside have higher attributions than frames outside. The measure is the area under the ROC curve of
each video: the share of pairs of a frame inside and a frame outside in which the frame inside has
the higher attribution, where equal ones count as half. It is 0.5 by chance.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.files import replacing
from pipeline.core.statistics import mean_and_error
from pipeline.store import CoalitionStore
from pipeline.studies.frames.approximation import approximate_element_shapley_values
from pipeline.studies.frames.params import LocalisationParams
from pipeline.studies.frames.players import Players, Setting
from pipeline.studies.frames.summaries import pick_output
from pipeline.studies.frames.values import FrameValues, table_blocks

Floats = NDArray[np.float64]

COLUMNS = (
    "model",
    "method",
    "videos",
    "area",
    "standard_error",
    "less_than_esv",
    "less_than_esv_error",
)


def left_out(store: CoalitionStore, outputs: NDArray[np.int64]) -> Floats:
    """What the score loses without each frame, v(N) − v(N∖i): (video, frame).

    Args:
        store: of complete tables.
        outputs: (video,) numbers of the outputs that are explained.
    """
    n = store.record.n_players
    everyone = 2**n - 1
    rows = everyone - (1 << np.arange(n))
    found = np.empty((len(store), n))
    for some, tables in table_blocks(store):
        scores = pick_output(tables, outputs[some]).astype(np.float64)
        found[some] = scores[:, [everyone]] - scores[:, rows]
    return found


def sampled_values(
    setting: Setting, players: Players, params: LocalisationParams, *, at_once: int = 64
) -> Floats:
    """Values of the true class by Algorithm 1: (instance, frame)."""
    found = np.empty(players.frames.shape)
    for start in range(0, len(found), at_once):
        inputs = torch.from_numpy(players.inputs[start : start + at_once]).to(setting.device)
        values = approximate_element_shapley_values(
            setting.network,
            inputs,
            setting.empty,
            setting.score,
            m=params.m,
            iterations=params.iterations,
            seed=params.seed,
        ).values.cpu().numpy()  # fmt: skip
        rows = np.arange(len(values))
        found[start : start + at_once] = values[rows, :, players.labels[start : start + at_once]]
    return found


def write_attributions(
    path: Path, of_models: Mapping[str, tuple[FrameValues, Mapping[str, Floats]]]
) -> None:
    """Write the attributions (video, frame) of every model and method for the true class."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for model, (values, found) in of_models.items():
            group = file.create_group(model)
            group.create_dataset("uids", data=list(values.uids), dtype=h5py.string_dtype())
            for method, attributions in found.items():
                group.create_dataset(method, data=attributions)


def interaction_sizes(matrices: Floats) -> Floats:
    """Mean size of each frame's interactions with the others: (video, n, n) → (video, n)."""
    n = matrices.shape[1]
    sizes = np.where(np.eye(n, dtype=bool), 0, np.abs(matrices))
    return sizes.sum(axis=2) / max(1, n - 1)


def positions(n_videos: int, n: int) -> dict[str, Floats]:
    """Attributions that know nothing but the position: (video, frame) each."""
    place = np.arange(n, dtype=np.float64)
    centre = -np.abs(place - (n - 1) / 2)
    rows = {"centre": centre, "early": -place}
    return {name: np.tile(row, (n_videos, 1)) for name, row in rows.items()}


def areas(attributions: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Area under the ROC curve of each video: (video,).

    Args:
        attributions: (video, frame).
        inside: (video, frame) whether the frame lies inside the action. NaN where all frames are
            inside or all are outside.
    """
    higher = attributions[:, :, None] > attributions[:, None, :]
    equal = attributions[:, :, None] == attributions[:, None, :]
    pairs = inside[:, :, None] & ~inside[:, None, :]
    won = ((higher + 0.5 * equal) * pairs).sum(axis=(1, 2))
    count = pairs.sum(axis=(1, 2))
    return np.divide(won, count, out=np.full(len(inside), np.nan), where=count > 0)


def compared(
    model: str, attributions: Mapping[str, Floats], inside: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Mean areas of all methods, one row each, over videos with frames inside and outside.

    Args:
        model: name, for the rows.
        attributions: (video, frame) by method, ``esv`` among them.
        inside: (video, frame).
    """
    split = inside.any(axis=1) & ~inside.all(axis=1)
    of_videos = {name: areas(a[split], inside[split]) for name, a in attributions.items()}
    rows = []
    for name, found in of_videos.items():
        mean, error = mean_and_error(found)
        less, less_error = mean_and_error(of_videos["esv"] - found)
        numbers = (int(split.sum()), float(mean), float(error), float(less), float(less_error))
        rows.append(dict(zip(COLUMNS, (model, name, *numbers), strict=True)))
    return rows
