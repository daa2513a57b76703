"""Element Shapley Values of every frame: computed from stores, written to and read from files."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.core.progress import progress
from pipeline.shapley import marginals_by_size, shapley_values
from pipeline.store import CoalitionStore
from pipeline.store.vouching import believing

TRUE_CLASS = ("true class",)
TRUE_AND_PREDICTED = ("true class", "predicted class")
"""Outputs of games that are not scored for all classes."""

BYTES_AT_ONCE = 1 << 28
"""Approximate memory for the tables that are read at once."""

AXES = {
    "esv": ("video", "frame", "output"),
    "marginals": ("video", "size", "frame", "output"),
    "whole": ("video", "output"),
    "empty": ("video", "output"),
    "frames": ("video", "frame"),
}
IN_VIDEO = "frame_in_video"
IN_FEATURES = "row_in_features"
"""Coordinates of a store that identify the players' frames."""
MEANINGS = {
    IN_VIDEO: "numbers in the video file",
    IN_FEATURES: "numbers of rows in the feature file",
}
COLUMNS = (
    "video",
    "position",
    "frame_in_file",
    "true_class",
    "predicted_class",
    "esv_true_class",
    "esv_predicted_class",
)


@dataclass(frozen=True)
class FrameValues:
    """Values for the true and the predicted class of each video."""

    uids: tuple[str, ...]
    frames: np.ndarray
    """(video, frame) numbers in the video file, or of rows of the feature file"""
    frames_are_numbered: bool
    """whether they are numbers in the video file"""
    true_class: np.ndarray
    """(video,) the predicted class if the true one is unknown"""
    predicted_class: np.ndarray
    """(video,)"""
    esv_true: np.ndarray
    """(video, frame)"""
    esv_predicted: np.ndarray
    """(video, frame)"""
    whole_true: np.ndarray
    """(video,) score of the true class with all frames"""
    whole_predicted: np.ndarray
    """(video,)"""
    unit: str
    """of the class score"""
    game: str
    """name of the store's game, which is that of the model"""
    explained: str = "true class"
    """what ``true_class`` is: the true class, or the predicted class"""


def stored_values(store: CoalitionStore) -> dict[str, np.ndarray]:
    """Values of every instance of a store of complete tables.

    Returns:
        float32 each: ``esv`` (video, frame, output), ``marginals`` (video, size, frame, output),
        ``whole`` and ``empty`` (video, output), the scores of all frames and of none.
    """
    n, n_videos, n_outputs = store.record.n_players, len(store), len(store.record.outputs)
    shapes = {"marginals": (n, n, n_outputs), "whole": (n_outputs,), "empty": (n_outputs,)}
    arrays = {k: np.empty((n_videos, *shape), np.float32) for k, shape in shapes.items()}
    at_once = max(1, BYTES_AT_ONCE // (4 * store.record.rows * n_outputs))
    esv = np.empty((n_videos, n, n_outputs), np.float32)
    with progress(f"frames_values {store.record.game}", n_videos, "videos") as advance:
        for start in range(0, n_videos, at_once):
            chosen = slice(start, min(start + at_once, n_videos))
            tables = store.read_many(range(chosen.start, chosen.stop))
            marginals = marginals_by_size(tables)
            arrays["marginals"][chosen], esv[chosen] = marginals, marginals.mean(axis=1)
            arrays["empty"][chosen], arrays["whole"][chosen] = tables[:, 0], tables[:, -1]
            advance(len(tables))
    return {"esv": esv, **arrays}


def stored_shapley_values(
    store: CoalitionStore,
    instances: Sequence[int] | None = None,
    n_players: int | None = None,
) -> NDArray[np.float64]:
    """Exact values of stored instances: (instance, player, output) float64.

    Args:
        store: of complete tables.
        instances: indices of instances; by default all.
        n_players: number of players to keep, from the first; all others must be null players.
    """
    chosen = range(len(store)) if instances is None else instances
    n = store.record.n_players if n_players is None else n_players
    n_outputs = len(store.record.outputs)
    at_once = max(1, BYTES_AT_ONCE // (4 * store.record.rows * n_outputs))
    parts: list[NDArray[Any]] = [np.empty((0, n, n_outputs))]
    for start in range(0, len(chosen), at_once):
        tables = store.read_many(chosen[start : start + at_once])
        parts.append(shapley_values(tables[:, : 2**n]))
    return np.concatenate(parts)


def coordinate(store: CoalitionStore, name: str) -> NDArray[Any]:
    """A coordinate of a store's instances. Raises InputError if the store lacks it."""
    if name not in store.coordinates:
        raise InputError(
            f"{store.path}: has no coordinate {name}; remove its receipt and run the same command "
            "again"
        )
    return store.coordinates[name]


def unit_of(score: str) -> str:
    """Unit of a class score."""
    return score if score in ("logit", "score") else "probability"


def read_values(path: Path) -> FrameValues:
    """Read a file of :func:`write_hdf5`."""
    with h5py.File(path, "r") as file:
        true, predicted = file["true_class"][:], file["predicted_class"][:]
        names = tuple(name.decode() for name in file["outputs"][:])
        kept_two = names == TRUE_AND_PREDICTED
        videos = np.arange(len(true))
        first = np.zeros_like(true) if kept_two else true
        second = np.ones_like(true) if kept_two else predicted
        esv, whole = file["esv"][:], file["whole"][:]
        return FrameValues(
            tuple(uid.decode() for uid in file["uids"][:]),
            file["frames"][:],
            file["frames"].attrs["meaning"] == MEANINGS[IN_VIDEO],
            true,
            predicted,
            esv[videos, :, first],
            esv[videos, :, second],
            whole[videos, first],
            whole[videos, second],
            str(file.attrs["unit"]),
            str(file.attrs["game"]),
            str(file.attrs["explained"]),
        )


def read_marginals(path: Path) -> np.ndarray:
    """Mean marginal contributions for the true class, by size: (video, size, frame)."""
    with h5py.File(path, "r") as file:
        true = file["true_class"][:]
        names = tuple(name.decode() for name in file["outputs"][:])
        outputs = np.zeros_like(true) if names == TRUE_AND_PREDICTED else true
        return np.stack([file["marginals"][i][:, :, c] for i, c in enumerate(outputs)])


@contextmanager
def store_behind(receipt: Path, values: FrameValues) -> Iterator[CoalitionStore]:
    """The store of a receipt; as ``believing``.

    Raises:
        InputError: also if the store lists other videos than the values.
    """
    with believing(receipt) as store:
        if store.instances != values.uids:
            raise InputError(f"{store.path}: lists other videos than the values; run both again")
        yield store


def true_outputs(store: CoalitionStore, values: FrameValues) -> NDArray[np.int64]:
    """Number of the output that is the true class of each of a store's videos: (video,)."""
    return values.true_class if store.output_classes is None else np.zeros_like(values.true_class)


def write_hdf5(path: Path, store: CoalitionStore, arrays: dict[str, np.ndarray]) -> None:
    """Write the values of a store's instances, with their classes and frames.

    Args:
        path: the file.
        store: the store of the values; its coordinates hold the players' frames, and the true
            classes unless these are unknown.
        arrays: from :func:`stored_values`.

    Raises:
        InputError: the store lacks the frames.
    """
    frames_are = IN_VIDEO if IN_VIDEO in store.coordinates else IN_FEATURES
    classes = store.output_classes
    predicted = arrays["whole"].argmax(axis=1) if classes is None else classes[:, 1]
    is_known = "true_class" in store.coordinates
    known = {
        **arrays,
        "frames": coordinate(store, frames_are),
        "true_class": store.coordinates["true_class"] if is_known else predicted.astype(np.int64),
        "predicted_class": predicted.astype(np.int64),
    }
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        text = h5py.string_dtype()
        file.create_dataset("uids", data=list(store.instances), dtype=text)
        file.create_dataset("outputs", data=list(store.record.outputs), dtype=text)
        for name, values in known.items():
            dataset = file.create_dataset(name, data=values)
            for axis, label in enumerate(AXES.get(name, ("video",))):
                dataset.dims[axis].label = label
        file["frames"].attrs["meaning"] = MEANINGS[frames_are]
        file.attrs["game"] = store.record.game
        file.attrs["identity"] = store.record.identity
        file.attrs["value"] = store.record.value
        file.attrs["unit"] = unit_of(str(store.record.specification["score"]))
        file.attrs["explained"] = "true class" if is_known else "predicted class"


def write_csv(path: Path, values: FrameValues) -> None:
    """Write one row per frame, for people: only the true and the predicted class."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for i, uid in enumerate(values.uids):
            classes = (values.true_class[i], values.predicted_class[i])
            for k, frame in enumerate(values.frames[i]):
                esv = (f"{values.esv_true[i, k]:.7g}", f"{values.esv_predicted[i, k]:.7g}")
                number = frame if values.frames_are_numbered else ""
                writer.writerow([uid, k + 1, number, *classes, *esv])
