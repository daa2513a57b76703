"""A store in use: which instances are done, their values read and written."""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.store.access import (
    array_names,
    exists,
    is_access_error,
    is_remote,
    unreachable,
    zarr_source,
)
from pipeline.store.errors import (
    DamagedShard,
    DamagedStore,
    MissingInstance,
    UnreachableStore,
    UnusableValues,
)
from pipeline.store.layout import coordinate_names, shard_index, shard_name, small_chunk_name
from pipeline.store.locking import locked
from pipeline.store.record import FORMAT, FORMAT_VERSION, GameRecord

Values = NDArray[np.float32]

Stamp = tuple[int, int, int]
"""Device, inode and time of a store's metadata."""


class CoalitionStore:
    """A game's values on disk, one shard an instance. Made by :func:`open_store` or ``plan``.

    An instance is named by its id or by its index. A shard is written once and whole, and its
    presence says that the instance is done. Any number of processes may read and write at once.

    Attributes:
        path: where the store is, as given.
        record: what the values are.
        instances: the instances' ids.
        input_sha256: digest of what each instance's values are computed from.
        output_classes: (instance, output) int32, the class that an output is in each instance;
            None where the outputs are the same in all of them.
        coordinate_names: names of :attr:`coordinates`.
    """

    def __init__(
        self, path: str, group: zarr.Group, record: GameRecord, stamp: Stamp | None
    ) -> None:
        """Use :func:`open_store`, which checks what it opens."""
        self.path = path
        self.record = record
        self._group = group
        self._values = array_of(group, "values")
        self._masks = array_of(group, "masks") if "masks" in group else None
        self.instances = texts_of(group, "instance")
        self.input_sha256 = texts_of(group, "input_sha256")
        self.output_classes: NDArray[np.int32] | None = None
        if "output_class" in group:
            self.output_classes = np.asarray(array_of(group, "output_class")[:])
        self.coordinate_names = coordinate_names(group.attrs)
        self._index = {instance: i for i, instance in enumerate(self.instances)}
        self._remote = is_remote(path)
        self._stamp = stamp

    def __len__(self) -> int:
        """Instances listed, done or not."""
        return len(self.instances)

    def __repr__(self) -> str:
        """Path and game."""
        return f"CoalitionStore({self.path!r}, {self.record.study}/{self.record.game})"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one instance's values: (coalition, output)."""
        return self.record.rows, len(self.record.outputs)

    @cached_property
    def coordinates(self) -> dict[str, NDArray[Any]]:
        """What was planned beside the values, by name: (instance, …) bool, integers or floats.

        They are read when they are first asked for, so that damage to them costs no values. Raises
        DamagedStore if one of them cannot be read back.
        """
        return {name: self.read_coordinate(name) for name in self.coordinate_names}

    def read_coordinate(self, name: str) -> NDArray[Any]:
        """One of :attr:`coordinates`, read anew. Raises DamagedStore if it cannot be read back."""
        try:
            array = array_of(self._group, name)
            # A chunk that was lost reads as zeros.
            if not exists(self.path, f"{name}/{small_chunk_name(array.ndim)}"):
                raise ValueError("its chunk is gone")
            content = np.asarray(array[:])
            if content.shape[:1] != (len(self),):
                raise ValueError(f"has shape {content.shape} for {len(self)} instances")
            self._refuse_replanned()
        except InputError:
            raise
        except Exception as error:
            self._refuse_access(error)
            self._refuse_replanned()
            mend = "copy it there anew" if self._remote else "planning the store anew mends it"
            raise DamagedStore(
                f"{self.path}: damaged coordinate {name!r}: {_first_line(error)}; {mend}, and the "
                f"values are not touched"
            ) from error
        return content

    def index(self, instance: int | str) -> int:
        """Index of an instance given by its id or its index. Raises InputError if not listed."""
        if isinstance(instance, str):
            if instance not in self._index:
                raise MissingInstance(
                    f"{self.path}: no instance {instance!r} among the {len(self)} that are listed; "
                    f"plan the store with it"
                )
            return self._index[instance]
        if not 0 <= instance < len(self):
            raise MissingInstance(
                f"{self.path}: no instance {instance}; there are {len(self)}, counted from 0"
            )
        return int(instance)

    def shards(self, array: Literal["values", "masks"] = "values") -> frozenset[int]:
        """Indices of the shards that are there, out of range or not, by one directory listing.

        Raises UnreachableStore for a URL whose files cannot be listed.
        """
        names = array_names(self.path, array)
        self._refuse_replanned()
        return frozenset(i for i in map(shard_index, names) if i is not None)

    def done(self) -> NDArray[np.bool_]:
        """Which instances have values: (instance,) bool. No values are read."""
        result = np.zeros(len(self), dtype=bool)
        result[[i for i in self.shards() if i < len(self)]] = True
        return result

    def is_done(self, instance: int | str) -> bool:
        """Whether one instance has values."""
        i = self.index(instance)
        done = exists(self.path, f"values/{shard_name(i)}")
        # After looking: what was looked at is of the plan that this index was taken from.
        self._refuse_replanned()
        return done

    def shard(self, instance: int | str, array: Literal["values", "masks"] = "values") -> Path:
        """The file of an instance's values or masks, there or not."""
        dimensions = 3 if array == "values" or self._masks is None else self._masks.ndim
        return Path(self.path, array, shard_name(self.index(instance), dimensions))

    def read(self, instance: int | str) -> Values:
        """The values of one instance: (coalition, output) float32, all finite.

        In a complete table row r is the coalition with mask r, otherwise the one with the mask in
        row r of :meth:`masks`.

        Raises MissingInstance if they have not been evaluated, DamagedShard if what is stored
        cannot be trusted.
        """
        i = self.index(instance)
        values = self._checked(i, self._values)
        if not _finite(values):
            self._refuse_missing(i)
            raise DamagedShard(f"{self._shard_text(i)}: holds NaN or infinity; {self._mend()}")
        return values

    def read_many(self, instances: Sequence[int | str]) -> Values:
        """The values of several instances: (len(instances), coalition, output) float32.

        Raises as :meth:`read` does, for the first instance that cannot be given.
        """
        indices = np.array([self.index(instance) for instance in instances], dtype=np.intp)
        if not len(indices):
            return np.empty((0, *self.shape), dtype=np.float32)
        consecutive = bool((np.diff(indices) == 1).all())
        try:
            if consecutive:
                values = np.asarray(self._values[indices[0] : indices[-1] + 1])
            else:
                values = np.asarray(self._values.oindex[indices])
            self._refuse_replanned()
            if _finite(values):
                return values
        except InputError:
            raise
        except Exception as error:
            self._refuse_access(error)
            # Which of them it was is found by reading them one by one.
        return np.stack([self.read(int(i)) for i in indices])

    def masks(self, instance: int | str) -> NDArray[np.unsignedinteger[Any]]:
        """The masks of a sampled game's coalitions, in the order of the values' rows.

        (coalition,) uint64; past 64 players (coalition, byte) uint8, player i being bit i % 8 of
        byte i // 8. Of a game that is not sampled: all masks, ascending.

        Raises DamagedShard if they cannot be trusted, and InputError if they are not listed.
        """
        i = self.index(instance)
        if self._masks is None:
            if self.record.n_coalitions is not None:
                raise InputError(
                    f"{self.path}: lists no masks; its coalitions are drawn: "
                    f"{self.record.specification['drawn']}"
                )
            return np.arange(self.record.rows, dtype=np.uint64)
        masks = self._checked(i, self._masks)
        if not self._remote and not self.shard(i, "masks").exists():
            raise DamagedShard(f"{self._shard_text(i, 'masks')}: is gone; plan the store anew")
        return masks

    def write(self, instance: int | str, values: NDArray[np.floating[Any]]) -> None:
        """Keep the values of one instance: (coalition, output), finite, kept as float32.

        The shard appears whole or not at all, and the instance is done with it.

        Raises, and writes nothing: UnusableValues if they have another shape or hold NaN or
        infinity; InputError if the disk is full or the store was planned anew since it was opened.
        """
        i = self.index(instance)
        name = f"{self.path}: values of instance {self.instances[i]!r}"
        if values.shape != self.shape:
            raise UnusableValues(
                f"{name} have shape {values.shape}; (coalition, output) is {self.shape} here"
            )
        with np.errstate(over="ignore"):
            kept = np.ascontiguousarray(values, dtype=np.float32)
        if not _finite(kept):
            row, output = np.argwhere(~np.isfinite(kept))[0]
            raise UnusableValues(
                f"{name} hold {values[row, output]} at coalition {row}, output "
                f"{self.record.outputs[output]!r}; only finite float32 values are stored. "
                f"Look at the instance's input and at the model"
            )
        with self._in_place(), refusing_full_disk(self.path):
            self._values[i] = kept

    def erase(self, instance: int | str) -> None:
        """Forget the values of one instance, if there are any."""
        i = self.index(instance)
        with self._in_place():
            self.shard(i).unlink(missing_ok=True)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """Make sure that the directory at ``path`` is, and stays, the one that was opened.

        A plan puts another directory there, in which an index can mean another instance.
        """
        if self._remote or self._group.read_only:
            raise InputError(f"{self.path}: opened for reading only; open it with mode 'r+'")
        try:
            with locked(Path(self.path), exclusive=False):
                self._refuse_replanned()
                yield
        except FileNotFoundError:
            raise self._replanned() from None

    def _refuse_replanned(self) -> None:
        if not self._remote and stamp_of(Path(self.path)) != self._stamp:
            raise self._replanned()

    def _replanned(self) -> InputError:
        return InputError(
            f"{self.path}: was planned anew, moved or removed since it was opened here; "
            f"start again, what was finished is kept"
        )

    def _checked(self, i: int, array: zarr.Array[Any]) -> NDArray[Any]:
        try:
            content = np.asarray(array[i])
            # After reading: what was read is of the plan that this index was taken from.
            self._refuse_replanned()
            return content
        except InputError:
            # A new plan: not the content.
            raise
        except Exception as error:
            self._refuse_access(error)
            which: Literal["values", "masks"] = "values" if array is self._values else "masks"
            raise DamagedShard(
                f"{self._shard_text(i, which)}: {_first_line(error)}; {self._mend()}"
            ) from (error)

    def _refuse_access(self, error: Exception) -> None:
        """Raise an error that is of the disk or the network, and not of the content."""
        if is_access_error(error):
            if self._remote:
                raise unreachable(self.path, error) from error
            raise error

    def _refuse_missing(self, i: int) -> None:
        if not self.is_done(i):
            try:
                others = f"; {int(self.done().sum())} of {len(self)} have"
            except UnreachableStore:
                others = ""
            raise MissingInstance(
                f"{self.path}: instance {self.instances[i]!r} has not been evaluated{others}. "
                f"Evaluate it first"
            )

    def _shard_text(self, i: int, array: Literal["values", "masks"] = "values") -> str:
        return f"{self.path}: damaged {array} of instance {self.instances[i]!r} ({array} shard {i})"

    def _mend(self) -> str:
        if self._remote:
            return "copy it there anew from a sound store"
        return "evaluating the store again computes this instance anew and nothing else"


def open_store(path: str | os.PathLike[str], mode: Literal["r", "r+"] = "r") -> CoalitionStore:
    """Open a coalition store, for reading or (``"r+"``) for writing values into it.

    ``path`` is a directory, or for reading an fsspec URL such as ``s3://bucket/store.zarr``.

    Raises DamagedStore if its metadata cannot be read back, UnreachableStore if a URL cannot be
    read, InputError if there is no store, or something else, or a store of a later format, or if
    a package is missing that reads such URLs.
    """
    text = os.fspath(path)
    if is_remote(text):
        text = text.rstrip("/")
        if mode != "r":
            raise InputError(f"{text}: a store behind a URL can be read only; copy it to a disk")
    else:
        _refuse_no_store(Path(text))
    source = zarr_source(text)
    with _telling_damage(text):
        try:
            # Before anything else is read, so that whatever is read later belongs to this plan.
            stamp = None if is_remote(text) else stamp_of(Path(text))
            there = stamp is not None or is_remote(text)
            group = zarr.open_group(source, mode=mode, zarr_format=3) if there else None
        except (zarr.errors.GroupNotFoundError, FileNotFoundError):
            group = None
    if group is None:
        raise InputError(f"{text}: no zarr group there; a coalition store is one")
    attributes = dict(group.attrs)
    found = (attributes.get("format"), attributes.get("format_version"))
    if found[0] != FORMAT:
        raise InputError(
            f"{text}: a zarr group, but no coalition store: its attribute 'format' is "
            f"{found[0]!r}, not {FORMAT!r}. Give another path"
        )
    if not isinstance(found[1], int) or found[1] > FORMAT_VERSION:
        raise InputError(
            f"{text}: a coalition store of format version {found[1]!r}; versions up to "
            f"{FORMAT_VERSION} can be read here. Use the version of this program that wrote it, "
            f"a later one, or another path"
        )
    with _telling_damage(text):
        store = CoalitionStore(text, group, GameRecord.from_attributes(attributes), stamp)
        _check_lists(store)
    return store


@contextmanager
def _telling_damage(path: str) -> Iterator[None]:
    """Turn errors that are not of the disk or the network into one that says what is damaged."""
    try:
        yield
    except Exception as error:
        if not is_access_error(error):
            raise damaged(path, error) from error
        if is_remote(path):
            raise unreachable(path, error) from error
        raise


def _refuse_no_store(path: Path) -> None:
    if not path.exists():
        aside = sorted((path.parent / "set-aside").glob(f"{glob_escaped(path.stem)}-*"))
        hint = f" ({len(aside)} of that name set aside in {aside[0].parent})" if aside else ""
        raise InputError(f"{path}: there is no store{hint}; plan it first")
    if not path.is_dir():
        raise InputError(f"{path}: a file; a coalition store is a directory")
    metadata = path / "zarr.json"
    if metadata.exists():
        try:
            json.loads(metadata.read_bytes())
        except ValueError as error:
            raise damaged(str(path), f"zarr.json is no JSON: {error}") from error
    elif (path / "values" / "zarr.json").exists() and (path / "input_sha256").is_dir():
        raise damaged(str(path), "zarr.json is gone")
    else:
        raise InputError(f"{path}: a directory, but no zarr group; a coalition store is one")


def _check_lists(store: CoalitionStore) -> None:
    """Raise ValueError if lists do not fit each other: a lost chunk reads as its fill value."""
    n = len(store)
    if len(store._index) < n or "" in store.instances:
        raise ValueError("the ids in 'instance' are empty or repeated")
    if len(store.input_sha256) != n or "" in store.input_sha256:
        raise ValueError("the digests in 'input_sha256' are left out")
    if texts_of(store._group, "output") != store.record.outputs:
        raise ValueError("'output' is not what the attributes say")
    classes = store.output_classes
    if classes is not None and (classes.shape != (n, store.shape[1]) or (classes < 0).any()):
        raise ValueError("'output_class' is left out")
    if store._values.shape != (n, *store.shape) or store._values.dtype != np.float32:
        raise ValueError(f"'values' are {store._values.shape} {store._values.dtype}")
    if (store._masks is not None) != store.record.lists_masks:
        raise ValueError("'masks' are for sampled games that list them, and only for them")


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a group. Raises KeyError or TypeError if it is not one."""
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{name!r} is no array")
    return array


def texts_of(group: zarr.Group, name: str) -> tuple[str, ...]:
    """The texts of a string array of a group."""
    return tuple(str(text) for text in np.asarray(array_of(group, name)[:]))


def damaged(path: str, reason: object) -> DamagedStore:
    """The error for a store whose metadata or lists cannot be trusted."""
    mend = "Planning it anew sets it aside and begins an empty one; or restore it from a copy"
    if is_remote(path):
        mend = "Copy it there anew from a sound store"
    return DamagedStore(f"{path}: damaged coalition store: {_first_line(reason)}. {mend}")


@contextmanager
def refusing_full_disk(path: str) -> Iterator[None]:
    """Turn the system's error for a full disk into one that says what is still good."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{path}: the disk is full ({error.strerror}); what was finished is kept. Make room "
            f"and run again: only what is left is computed"
        ) from error


def glob_escaped(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def stamp_of(path: Path) -> Stamp | None:
    """Tells the directory of one plan from that of another at the same path; None without one."""
    try:
        status = (path / "zarr.json").stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _finite(values: NDArray[np.float32]) -> bool:
    # NaN goes through min and max, and neither needs memory of the values' size.
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))


def _first_line(reason: object) -> str:
    text = str(reason).strip() or type(reason).__name__
    return text.splitlines()[0].rstrip(".")
