"""Features of videos' frames in HDF5, in the layout that Play Fair's users have.

``features``: (video,) variable-length float32, each (frames × feature_dim) flattened, with the
attribute ``feature_dim``; ``uids``: (video,) strings; ``labels/<name>``: (video,). Files made here
also have ``frame_indices``: (video,) variable-length int32, the frames' numbers in the video file.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.files import replacing

LABEL = "class"


@dataclass(frozen=True)
class FeatureSet:
    """Features of all frames of some videos, one below the other."""

    uids: tuple[str, ...]
    labels: NDArray[np.int64]
    """(video,) class numbers"""
    rows: NDArray[np.float32]
    """(frame of any video, feature_dim)"""
    starts: NDArray[np.int64]
    """(video + 1,): video v has rows starts[v] … starts[v + 1] − 1"""
    frame_indices: NDArray[np.int32] | None = None
    """(frame of any video,) number of the frame in its video file, where that is known"""

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(video,) frames of each video."""
        return np.diff(self.starts)

    @property
    def feature_dim(self) -> int:
        """Length of one frame's feature vector."""
        return self.rows.shape[1]

    def first(self, count: int | None) -> "FeatureSet":
        """The first ``count`` videos alone; all of them for None."""
        if count is None or count >= len(self):
            return self
        end = self.starts[count]
        frames = None if self.frame_indices is None else self.frame_indices[:end]
        return FeatureSet(
            self.uids[:count],
            self.labels[:count],
            self.rows[:end],
            self.starts[: count + 1],
            frames,
        )

    def gather(self, videos: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of chosen frames: videos (v,), frames (v, f) → (v, f, feature_dim)."""
        return self.rows[self.starts[videos][:, None] + frames]


@contextmanager
def feature_writer(path: Path) -> Iterator[Callable[[str, int, np.ndarray, np.ndarray], None]]:
    """Write features video by video; the file appears when the block has succeeded.

    Yields:
        ``append(uid, label, rows, numbers)``: rows (frame, feature_dim) float32, numbers (frame,)
        of the frames in the video file. It raises InputError, naming the video, on NaN or Inf.
    """
    uids: list[str] = []
    labels: list[int] = []
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        features, indices = (
            file.create_dataset(name, (0,), h5py.vlen_dtype(kind), maxshape=(None,), chunks=(64,))
            for name, kind in (("features", np.float32), ("frame_indices", np.int32))
        )

        def append(uid: str, label: int, rows: np.ndarray, numbers: np.ndarray) -> None:
            if not np.isfinite(rows).all():
                raise InputError(f"features of video {uid} hold NaN or Inf; {path} is not written")
            for dataset, values in ((features, rows), (indices, numbers)):
                dataset.resize((len(uids) + 1,))
                dataset[len(uids)] = values.astype(dataset.dtype.metadata["vlen"]).ravel()
            features.attrs["feature_dim"] = rows.shape[1]
            uids.append(uid)
            labels.append(label)

        yield append
        file.create_dataset("uids", data=uids, dtype=h5py.string_dtype())
        file.create_dataset(f"labels/{LABEL}", data=np.array(labels, dtype=np.int64))


def read_features(
    path: Path, *, n_classes: int | None = None, label: str | None = None
) -> FeatureSet:
    """Read a feature file, made here or elsewhere, into memory.

    Args:
        path: HDF5 file in the layout above.
        n_classes: if given, class numbers must lie below it.
        label: which dataset of the group ``labels``; by default the only one there.

    Raises:
        InputError: naming the file and what is missing; the video whose features are NaN, Inf,
            empty or of a length that feature_dim does not divide; a repeated or unusable uid; a
            label out of range.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file, n_classes, label)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such feature file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5: {error}") from None


def _read(path: Path, file: h5py.File, n_classes: int | None, label: str | None) -> FeatureSet:
    for name in ("features", "uids", "labels"):
        if name not in file:
            raise InputError(
                f"{path}: has no {name!r}, only {sorted(file)}; a feature file holds features, "
                "uids and labels/<name>"
            )
    labels = _labels(path, file["labels"], label)
    uids = tuple(u.decode() if isinstance(u, bytes) else str(u) for u in file["uids"][:])
    if "feature_dim" not in file["features"].attrs:
        raise InputError(f"{path}: its dataset 'features' has no attribute feature_dim")
    feature_dim = int(file["features"].attrs["feature_dim"])
    flat = file["features"][:]
    if not len(uids) == len(flat) == len(labels):
        raise InputError(
            f"{path}: {len(flat)} features, {len(uids)} uids and {len(labels)} labels; "
            "there must be one of each a video"
        )
    if not uids:
        raise InputError(f"{path}: holds no videos")
    _check_videos(path, uids, flat, labels, feature_dim, n_classes)
    starts = np.concatenate([[0], np.cumsum([len(f) // feature_dim for f in flat])])
    rows = np.concatenate(flat).astype(np.float32, copy=False).reshape(-1, feature_dim)
    frame_indices = None
    if "frame_indices" in file:
        frame_indices = np.concatenate(file["frame_indices"][:]).astype(np.int32, copy=False)
        if len(frame_indices) != len(rows):
            raise InputError(
                f"{path}: {len(frame_indices)} frame_indices for {len(rows)} frames' features"
            )
    return FeatureSet(uids, labels, rows, starts, frame_indices)


def _labels(path: Path, group: h5py.Group, name: str | None) -> NDArray[np.int64]:
    names = sorted(group)
    if name is None and len(names) != 1:
        raise InputError(
            f"{path}: has labels {names}; say by the parameter frames.features.label which of "
            "them holds class numbers"
        )
    chosen = names[0] if name is None else name
    if chosen not in group:
        raise InputError(f"{path}: has no labels/{chosen}, only {names}")
    values = group[chosen][:]
    if not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{path}: labels/{chosen} must hold class numbers, not {values.dtype}")
    return values.astype(np.int64)


def _check_videos(
    path: Path,
    uids: tuple[str, ...],
    flat: np.ndarray,
    labels: NDArray[np.int64],
    feature_dim: int,
    n_classes: int | None,
) -> None:
    seen: set[str] = set()
    for uid, features, label in zip(uids, flat, labels, strict=True):
        if not uid or uid in seen or "/" in uid or ".." in uid:
            problem = "stands twice" if uid in seen else "is no plain name"
            raise InputError(f"{path}: uid {uid!r} {problem}")
        seen.add(uid)
        if len(features) == 0 or len(features) % feature_dim:
            raise InputError(
                f"{path}: video {uid} has {len(features)} numbers, which are not one or more "
                f"frames of {feature_dim}"
            )
        if not np.isfinite(features).all():
            raise InputError(f"{path}: features of video {uid} hold NaN or Inf")
        if label < 0 or (n_classes is not None and label >= n_classes):
            allowed = f"0 to {n_classes - 1}" if n_classes is not None else "0 and above"
            raise InputError(f"{path}: video {uid} has class {label}; allowed are {allowed}")
