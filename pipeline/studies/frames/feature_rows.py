"""Features of frames that stay in their file, and are read when they are needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

VIDEOS_AT_ONCE = 64
"""Videos that are read at once where all are read in order."""


class StoredRows:
    """The rows of a feature file, one video after the other, without their content.

    Attributes:
        shape: (frame of any video, feature_dim).
    """

    def __init__(self, path: Path, starts: NDArray[np.int64], feature_dim: int) -> None:
        """Use ``read_features``, which checks the file.

        Args:
            path: of the feature file.
            starts: (video + 1,) first row of each video, and their number.
            feature_dim: length of a row.
        """
        self.shape = (int(starts[-1]), feature_dim)
        self._starts = starts
        self._dataset = h5py.File(path, "r")["features"]

    def __len__(self) -> int:
        return self.shape[0]

    def of_videos(self, first: int, stop: int) -> NDArray[np.float32]:
        """All rows of consecutive videos: (frame, feature_dim)."""
        return joined(self._dataset[first:stop], self.shape[1])

    def gather(self, videos: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Chosen rows of videos: videos (v,), frames (v, f) → (v, f, feature_dim)."""
        if not len(videos):
            return np.empty((*frames.shape, self.shape[1]), dtype=np.float32)
        # HDF5 reads in ascending order, and a range of videos faster than scattered ones.
        wanted, which = np.unique(videos, return_inverse=True)
        first, last = int(wanted[0]), int(wanted[-1])
        is_range = last - first == len(wanted) - 1
        flat = self._dataset[first : last + 1] if is_range else self._dataset[wanted]
        lengths = self._starts[wanted + 1] - self._starts[wanted]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        return joined(flat, self.shape[1])[starts[which][:, None] + frames]


def copy_dataset(source: h5py.Group, name: str, target: h5py.Group) -> None:
    """Copy what a group holds under a name to another file, with its attributes.

    HDF5's own copy keeps all numbers of a dataset (video,) of variable length in memory. So these
    are copied a few videos at a time.
    """
    found = source[name]
    lists = isinstance(found, h5py.Dataset) and found.ndim == 1
    if not lists or not isinstance(h5py.check_vlen_dtype(found.dtype), np.dtype):
        source.copy(name, target)
        return
    copied = target.create_dataset_like(name, found)
    kind = h5py.h5t.py_create(found.dtype)
    for some in ranges(len(found)):
        place = copied.id.get_space()
        place.select_hyperslab((some.start,), (len(some),))
        # `copied[...] = numbers` would refuse lists of equal lengths.
        numbers = found[some.start : some.stop]
        copied.id.write(h5py.h5s.create_simple((len(some),)), place, numbers, kind)
    for attribute, value in found.attrs.items():
        copied.attrs[attribute] = value


def joined(flat: NDArray[Any], feature_dim: int) -> NDArray[np.float32]:
    """Flattened features of videos, one below the other: (frame of any video, feature_dim)."""
    with np.errstate(over="ignore"):
        return np.concatenate(flat, dtype=np.float32).reshape(-1, feature_dim)


def ranges(count: int, at_once: int | None = None) -> Iterator[range]:
    """Consecutive ranges of up to ``at_once`` (``VIDEOS_AT_ONCE``) numbers below ``count``."""
    step = at_once or VIDEOS_AT_ONCE
    for first in range(0, count, step):
        yield range(first, min(first + step, count))
