"""Features of videos' frames in HDF5, in the layout of Play Fair's feature files.

``features``: (video,) variable-length float32, each (frames × feature_dim) flattened, with the
attribute ``feature_dim``; ``uids``: (video,) strings; ``labels/<name>``: (video,). Files made here
also have ``frame_indices``: (video,) variable-length int32, the frames' numbers in the video file.
The attribute ``backbone_sha256`` of their ``features`` identifies the network that made them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.studies.frames.feature_rows import StoredRows, joined, ranges

LABEL = "class"
BACKBONE = "backbone_sha256"
IN_MEMORY_BYTES = 1 << 28
"""Size up to which a feature file is read into memory. Rows of larger files stay in the file."""


@dataclass(frozen=True)
class FeatureSet:
    """Features of all frames of some videos, one below the other."""

    uids: tuple[str, ...]
    labels: NDArray[np.int64]
    """(video,) class numbers"""
    rows: NDArray[np.float32] | StoredRows
    """(frame of any video, feature_dim), in memory or in the file"""
    starts: NDArray[np.int64]
    """(video + 1,): video v has rows starts[v] … starts[v + 1] − 1"""
    frame_indices: NDArray[np.int32] | None = None
    """(frame of any video,) number of the frame in its video file, if known"""
    backbone_sha256: str | None = None
    """digest of the network that made the features, if the file holds it"""

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

    def gather(self, videos: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of chosen frames: videos (v,), frames (v, f) → (v, f, feature_dim)."""
        if isinstance(self.rows, StoredRows):
            return self.rows.gather(videos, frames)
        return self.rows[self.starts[videos][:, None] + frames]

    def of_videos(self, first: int, stop: int) -> NDArray[np.float32]:
        """Features of all frames of consecutive videos: (frame, feature_dim)."""
        if isinstance(self.rows, StoredRows):
            return self.rows.of_videos(first, stop)
        return self.rows[self.starts[first] : self.starts[stop]]

    def mean(self) -> NDArray[np.float64]:
        """Mean features of all frames: (feature_dim,)."""
        total = np.zeros(self.feature_dim)
        for some in ranges(len(self)):
            total += self.of_videos(some.start, some.stop).sum(axis=0, dtype=np.float64)
        return total / len(self.rows)


@contextmanager
def feature_writer(
    path: Path, *, backbone_sha256: str | None = None
) -> Iterator[Callable[[str, int, np.ndarray, np.ndarray], None]]:
    """Write features video by video; the file appears when the block has succeeded.

    Args:
        path: the HDF5 file to write.
        backbone_sha256: digest of the network that made the features, kept in the file.

    Yields:
        ``append(uid, label, rows, numbers)``: rows (frame, feature_dim), kept as float32; numbers
        (frame,) of the frames in the video file. It raises InputError, naming the video, on NaN
        or Inf, and on values that become Inf as float32.
    """
    uids: list[str] = []
    labels: list[int] = []
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        features, indices = (
            file.create_dataset(name, (0,), h5py.vlen_dtype(kind), maxshape=(None,), chunks=(64,))
            for name, kind in (("features", np.float32), ("frame_indices", np.int32))
        )
        if backbone_sha256 is not None:
            features.attrs[BACKBONE] = backbone_sha256

        def append(uid: str, label: int, rows: np.ndarray, numbers: np.ndarray) -> None:
            with np.errstate(over="ignore"):
                kept = rows.astype(np.float32, copy=False)
            if not np.isfinite(kept).all():
                raise InputError(f"features of video {uid} hold NaN or Inf; {path} is not written")
            for dataset, values in ((features, kept), (indices, numbers.astype(np.int32))):
                dataset.resize((len(uids) + 1,))
                dataset[len(uids)] = values.ravel()
            features.attrs["feature_dim"] = rows.shape[1]
            uids.append(uid)
            labels.append(label)

        yield append
        file.create_dataset("uids", data=uids, dtype=h5py.string_dtype())
        file.create_dataset(f"labels/{LABEL}", data=np.array(labels, dtype=np.int64))


def read_features(
    path: str | Path, *, n_classes: int | None = None, label: str | None = None
) -> FeatureSet:
    """Read a feature file, made here or elsewhere; check all of it.

    Files of up to ``IN_MEMORY_BYTES`` are read into memory. The features of larger ones stay in the
    file, which must not change, and are read when they are needed.

    Args:
        path: HDF5 file in the layout above.
        n_classes: if given, class numbers must lie below it.
        label: which dataset of the group ``labels``; by default the only one there.

    Raises:
        InputError: names the file and the problem: something missing, or of the wrong kind or
            shape; a video whose features are NaN, Inf (as float32 too), empty or of a length that
            feature_dim does not divide; frame_indices that are negative or not one per frame; a
            repeated or unusable uid; a label out of range.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file, n_classes, label)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such feature file") from None
    except (OSError, KeyError, RuntimeError) as error:  # errors of h5py for damaged files
        raise InputError(f"{path}: cannot be read as HDF5: {error}; copy the file again") from None


def _read(path: Path, file: h5py.File, n_classes: int | None, label: str | None) -> FeatureSet:
    for name in ("features", "uids", "labels"):
        if name not in file:
            raise InputError(
                f"{path}: has no {name!r}, only {sorted(file)}; a feature file holds features, "
                "uids and labels/<name>. If they are in a group of it, name it: file.h5::train"
            )
    features = _dataset(path, file, "features", vlen_kinds="fiu")
    feature_dim = _feature_dim(path, features)
    labels = _labels(path, file["labels"], label)
    uids = _uids(path, _dataset(path, file, "uids"))
    if not len(uids) == len(features) == len(labels):
        raise InputError(
            f"{path}: {len(features)} features, {len(uids)} uids and {len(labels)} labels; "
            "there must be one of each per video"
        )
    if not uids:
        raise InputError(f"{path}: holds no videos")
    _check_labels(path, uids, labels, n_classes)
    rows, starts = _rows(path, uids, features, feature_dim)
    frame_indices = None
    if "frame_indices" in file:
        indices = _dataset(path, file, "frame_indices", vlen_kinds="iu")
        frame_indices = _frame_indices(path, uids, indices, np.diff(starts))
    return FeatureSet(uids, labels, rows, starts, frame_indices, _backbone(path, features))


def _dataset(
    path: Path, group: h5py.Group, name: str, *, vlen_kinds: str | None = None
) -> h5py.Dataset:
    """A dataset (video,); if ``vlen_kinds`` is given, of variable-length numbers of these numpy
    kinds."""
    found = group[name]
    shown = f"{group.name.strip('/')}/{name}".strip("/")
    expected = "(video,)" if vlen_kinds is None else "(video,) of variable-length numbers"
    if not isinstance(found, h5py.Dataset):
        kind = type(found).__name__.lower()
        raise InputError(f"{path}: {shown!r} is a {kind}; it must be a dataset {expected}")
    vlen = h5py.check_vlen_dtype(found.dtype)
    fits = vlen_kinds is None or (vlen is not None and np.dtype(vlen).kind in vlen_kinds)
    if found.shape is None or len(found.shape) != 1 or not fits:
        of = found.dtype if vlen is None else f"variable-length {vlen}"
        raise InputError(
            f"{path}: {shown!r} is of shape {found.shape} and type {of}; it must be {expected}"
        )
    return found


def _feature_dim(path: Path, features: h5py.Dataset) -> int:
    if "feature_dim" not in features.attrs:
        raise InputError(f"{path}: its dataset 'features' has no attribute feature_dim")
    value = features.attrs["feature_dim"]
    if not isinstance(value, int | np.integer) or value < 1:
        raise InputError(
            f"{path}: the attribute feature_dim of 'features' is {value!r}; it must be one whole "
            "number, 1 or above: the length of one frame's features"
        )
    return int(value)


def _backbone(path: Path, features: h5py.Dataset) -> str | None:
    value = features.attrs.get(BACKBONE)
    if value is None or isinstance(value, str):
        return value
    raise InputError(
        f"{path}: the attribute {BACKBONE} of 'features' is {value!r}; it must be a text, or left "
        "out"
    )


def _uids(path: Path, dataset: h5py.Dataset) -> tuple[str, ...]:
    try:
        uids = tuple(u.decode() if isinstance(u, bytes) else str(u) for u in dataset[:])
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: a uid is not valid UTF-8: {error}") from None
    seen: set[str] = set()
    for uid in uids:
        if not uid or uid in seen or "/" in uid or ".." in uid:
            problem = "occurs twice" if uid in seen else "is no plain name"
            raise InputError(f"{path}: uid {uid!r} {problem}")
        seen.add(uid)
    return uids


def _labels(path: Path, group: h5py.Group, name: str | None) -> NDArray[np.int64]:
    if not isinstance(group, h5py.Group):
        raise InputError(
            f"{path}: 'labels' is a {type(group).__name__.lower()}; it must be a group that holds "
            "the dataset labels/<name>"
        )
    names = sorted(group)
    if name is None and len(names) != 1:
        raise InputError(
            f"{path}: has labels {names}; name the one that holds class numbers with the "
            "parameter frames.features.label"
        )
    chosen = names[0] if name is None else name
    if chosen not in group:
        raise InputError(f"{path}: has no labels/{chosen}, only {names}")
    dataset = _dataset(path, group, chosen)
    if not np.issubdtype(dataset.dtype, np.integer):
        raise InputError(f"{path}: labels/{chosen} must hold class numbers, not {dataset.dtype}")
    return dataset[:].astype(np.int64)


def _check_labels(
    path: Path, uids: tuple[str, ...], labels: NDArray[np.int64], n_classes: int | None
) -> None:
    limit = np.inf if n_classes is None else n_classes
    bad = np.flatnonzero((labels < 0) | (labels >= limit))
    if len(bad):
        allowed = f"0 to {n_classes - 1}" if n_classes is not None else "0 and above"
        raise InputError(
            f"{path}: video {uids[bad[0]]} has class {labels[bad[0]]}; allowed are {allowed}"
        )


def _rows(
    path: Path, uids: tuple[str, ...], dataset: h5py.Dataset, feature_dim: int
) -> tuple[NDArray[np.float32] | StoredRows, NDArray[np.int64]]:
    """Rows and starts of a FeatureSet."""
    parts, lengths = [], []
    in_memory = path.stat().st_size <= IN_MEMORY_BYTES
    for some in ranges(len(uids)):
        flat = dataset[some.start : some.stop]
        sizes = np.array([len(values) for values in flat])
        bad = np.flatnonzero((sizes == 0) | (sizes % feature_dim != 0))
        if len(bad):
            raise InputError(
                f"{path}: video {uids[some[bad[0]]]} has {sizes[bad[0]]} numbers, which are not "
                f"one or more frames of {feature_dim}"
            )
        rows = joined(flat, feature_dim)
        lengths.append(sizes // feature_dim)
        finite = np.isfinite(rows)
        if not finite.all():
            row = int(np.flatnonzero(~finite.all(axis=1))[0])
            uid = uids[some[int(np.searchsorted(np.cumsum(lengths[-1]), row, side="right"))]]
            raise InputError(f"{path}: features of video {uid} hold NaN or Inf (as float32)")
        if in_memory:
            parts.append(rows)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    if not in_memory:
        return StoredRows(path, starts, feature_dim), starts
    return np.concatenate(parts), starts


def _frame_indices(
    path: Path, uids: tuple[str, ...], dataset: h5py.Dataset, lengths: NDArray[np.int64]
) -> NDArray[np.int32]:
    if len(dataset) != len(uids):
        raise InputError(
            f"{path}: {len(dataset)} frame_indices and {len(uids)} uids; there must be one of each "
            "per video"
        )
    parts = []
    for some in ranges(len(uids)):
        flat = dataset[some.start : some.stop]
        for i, numbers in zip(some, flat, strict=True):
            if len(numbers) != lengths[i]:
                raise InputError(
                    f"{path}: video {uids[i]} has {len(numbers)} frame_indices for {lengths[i]} "
                    "frames' features; there must be one for each"
                )
        parts.append(np.concatenate(flat))
    numbers = np.concatenate(parts)
    bad = np.flatnonzero((numbers < 0) | (numbers > np.iinfo(np.int32).max))
    if len(bad):
        uid = uids[int(np.searchsorted(np.cumsum(lengths), bad[0], side="right"))]
        raise InputError(
            f"{path}: video {uid} has the frame index {numbers[bad[0]]}; frames are counted from 0 "
            f"to at most {np.iinfo(np.int32).max}"
        )
    return numbers.astype(np.int32, copy=False)
