"""Element Shapley Values of every frame: computed from stores, written to and read from files."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
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
from pipeline.studies.frames.feature_rows import ranges
from pipeline.studies.frames.summaries import pick_output

TRUE_CLASS = ("true class",)
TRUE_AND_PREDICTED = ("true class", "predicted class")
"""Outputs of games that are not scored for all classes."""

BYTES_AT_ONCE = 1 << 25
"""Approximate memory for the tables, or the rows of a file, that are read at once."""

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


def tables_at_once(store: CoalitionStore) -> int:
    """How many tables of a store are read at once; those of whole shards, if several fit."""
    fitting = max(1, BYTES_AT_ONCE // (4 * store.record.rows * len(store.record.outputs)))
    return fitting - fitting % store.per_shard or fitting


def table_blocks(
    store: CoalitionStore, description: str = ""
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """All tables of a store, some videos at a time: (video, 2**n, output), and which videos.

    Shows progress if there is a description.
    """
    showing = progress(description, len(store), "videos") if description else nullcontext()
    with showing as advance:
        for some in ranges(len(store), tables_at_once(store)):
            tables = store.read_many(some)
            yield slice(some.start, some.stop), tables
            if advance is not None:
                advance(len(some))


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
    at_once = tables_at_once(store)
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
        first = _true_outputs(file)
        second = np.ones_like(true) if _kept_two(file) else predicted
        return FrameValues(
            tuple(uid.decode() for uid in file["uids"][:]),
            file["frames"][:],
            file["frames"].attrs["meaning"] == MEANINGS[IN_VIDEO],
            true,
            predicted,
            _picked(file["esv"], first),
            _picked(file["esv"], second),
            _picked(file["whole"], first),
            _picked(file["whole"], second),
            str(file.attrs["unit"]),
            str(file.attrs["game"]),
            str(file.attrs["explained"]),
        )


def mean_marginals(path: Path) -> NDArray[np.float64]:
    """Mean marginal contributions for the true class over frames: (video, size)."""
    with h5py.File(path, "r") as file:
        outputs = _true_outputs(file)
        parts = [
            pick_output(file["marginals"][some.start : some.stop], outputs[some.start : some.stop])
            .mean(axis=2, dtype=np.float64)
            for some in _blocks(file["marginals"])
        ]  # fmt: skip
    return np.concatenate(parts)


def _true_outputs(file: h5py.File) -> NDArray[np.int64]:
    true = file["true_class"][:]
    return np.zeros_like(true) if _kept_two(file) else true


def _kept_two(file: h5py.File) -> bool:
    """Whether a file of values holds the true and the predicted class alone."""
    return tuple(name.decode() for name in file["outputs"][:]) == TRUE_AND_PREDICTED


def _blocks(dataset: h5py.Dataset) -> Iterator[range]:
    row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
    return ranges(len(dataset), max(1, BYTES_AT_ONCE // row_bytes))


def _picked(dataset: h5py.Dataset, outputs: NDArray[np.int64]) -> NDArray[np.float32]:
    """One output of each video, (video, …), from a dataset (video, …, output)."""
    found = np.empty(dataset.shape[:-1], dtype=dataset.dtype)
    for some in _blocks(dataset):
        chosen = slice(some.start, some.stop)
        found[chosen] = pick_output(dataset[chosen], outputs[chosen])
    return found


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


def write_values(path: Path, store: CoalitionStore) -> None:
    """Write the values of a store's instances, with their classes and frames, as HDF5.

    ``esv`` (video, frame, output), ``marginals`` (video, size, frame, output), ``whole`` and
    ``empty`` (video, output), the scores of all frames and of none: float32 each.

    Args:
        path: the file.
        store: of complete tables; its coordinates hold the players' frames, and the true classes
            unless these are unknown.

    Raises:
        InputError: the store lacks the frames.
    """
    frames_are = IN_VIDEO if IN_VIDEO in store.coordinates else IN_FEATURES
    n, n_outputs = store.record.n_players, len(store.record.outputs)
    classes, text = store.output_classes, h5py.string_dtype()
    predicted = np.empty(len(store), np.int64) if classes is None else classes[:, 1]
    shapes = {"esv": (n, n_outputs), "marginals": (n, n, n_outputs)}
    shapes |= {"whole": (n_outputs,), "empty": (n_outputs,)}
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, shape in shapes.items():
            file.create_dataset(name, (len(store), *shape), np.float32)
        for some, tables in table_blocks(store, f"frames_values {store.record.game}"):
            marginals = marginals_by_size(tables)
            file["marginals"][some], file["esv"][some] = marginals, marginals.mean(axis=1)
            file["empty"][some], file["whole"][some] = tables[:, 0], tables[:, -1]
            if classes is None:
                predicted[some] = tables[:, -1].argmax(axis=1)
        is_known = "true_class" in store.coordinates
        others = {
            "frames": coordinate(store, frames_are),
            "true_class": store.coordinates["true_class"] if is_known else predicted,
            "predicted_class": predicted,
        }
        for name, content in others.items():
            kept = content if name == "frames" else content.astype(np.int64)
            file.create_dataset(name, data=kept)
        for name in (*shapes, *others):
            for axis, label in enumerate(AXES.get(name, ("video",))):
                file[name].dims[axis].label = label
        file.create_dataset("uids", data=list(store.instances), dtype=text)
        file.create_dataset("outputs", data=list(store.record.outputs), dtype=text)
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
