"""An open store: lists which instances are done, and reads and writes their values."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby, repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.store import shard_files
from pipeline.store.access import (
    Entry,
    array_names,
    contents,
    exists,
    is_remote,
    tails,
    unreachable,
)
from pipeline.store.errors import (
    DamagedShard,
    DamagedStore,
    MissingInstance,
    UnreachableStore,
    UnusableValues,
)
from pipeline.store.groups import (
    Stamp,
    array_of,
    first_line,
    refusing_full_disk,
    stamp_of,
    texts_of,
)
from pipeline.store.layout import (
    ARRAYS,
    coordinate_names,
    shard_indices,
    shard_name,
    small_chunk_name,
)
from pipeline.store.locking import locked
from pipeline.store.record import GameRecord
from pipeline.store.shard_files import UnreadableError

Values = NDArray[np.float32]

SHARDS_AT_ONCE = 32
"""Shards of several instances that are read from a URL at once: requests take long."""


class CoalitionStore:
    """A game's values on disk, in shards. Made by :func:`open_store` or ``plan``.

    Instances are given by id or by index. A shard holds ``per_shard`` instances with consecutive
    indices; in most stores that is one. A shard is written at once and whole; an instance is done
    if its shard exists and holds it. Any number of processes may read and write at the same time.

    Attributes:
        path: path of the store, as given.
        record: description of the game.
        per_shard: instances in a shard of values.
        format_version: version of the store's format.
        instances: the instances' ids.
        input_sha256: digest of the inputs that determine each instance's values.
        output_classes: (instance, output) int32, the class of an output in each instance; None if
            the outputs are the same in all instances.
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
        self.per_shard = int((self._values.shards or (1,))[0])
        self.format_version = int(str(group.attrs.get("format_version", 0)))
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
        """Number of listed instances, done or not."""
        return len(self.instances)

    def __repr__(self) -> str:
        """The path and the game."""
        return f"CoalitionStore({self.path!r}, {self.record.study}/{self.record.game})"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one instance's values: (coalition, output)."""
        return self.record.rows, len(self.record.outputs)

    @cached_property
    def coordinates(self) -> dict[str, NDArray[Any]]:
        """Further data about instances, by name: (instance, …) bool, integers or floats.

        They are read at the first access, so that values stay readable if coordinates are damaged.
        Raises DamagedStore if one of them cannot be read back.
        """
        return {name: self.read_coordinate(name) for name in self.coordinate_names}

    def read_coordinate(self, name: str) -> NDArray[Any]:
        """One of :attr:`coordinates`, read again. Raises DamagedStore if it cannot be read back."""
        try:
            array = array_of(self._group, name)
            # A lost chunk would read as zeros.
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
            mend = "copy it there again" if self._remote else "planning the store again mends it"
            raise DamagedStore(
                f"{self.path}: damaged coordinate {name!r}: {first_line(error)}; {mend}, and the "
                f"values stay unchanged"
            ) from error
        return content

    def index(self, instance: int | str) -> int:
        """Index of an instance, from its id or its index. Raises MissingInstance if not listed."""
        if isinstance(instance, str):
            if instance not in self._index:
                raise MissingInstance(
                    f"{self.path}: no instance {instance!r} among the {len(self)} listed; plan the "
                    f"store with it"
                )
            return self._index[instance]
        if not 0 <= instance < len(self):
            raise MissingInstance(
                f"{self.path}: no instance {instance}; there are {len(self)}, counted from 0"
            )
        return int(instance)

    def shards(self, array: Literal["values", "masks"] = "values") -> frozenset[int]:
        """Numbers of the shards that exist, even if out of range, from one directory listing.

        A shard of masks holds one instance, a shard of values ``per_shard``.

        Raises UnreachableStore for a URL whose files cannot be listed.
        """
        names = array_names(self.path, array)
        self._refuse_replanned()
        return shard_indices(names)

    def contents(self) -> dict[str, list[Entry]]:
        """The store's own entries, under ``""``, and those of each array, under its name.

        Raises UnreachableStore for a URL whose files cannot be listed.
        """
        found = contents(self.path, (*ARRAYS, *self.coordinate_names))
        self._refuse_replanned()
        return found

    @property
    def n_shards(self) -> int:
        """Number of shards of values if all instances are done."""
        return -(-len(self) // self.per_shard)

    def members(self, shard: int) -> range:
        """Indices of the instances of a shard of values."""
        first = shard * self.per_shard
        return range(first, min(first + self.per_shard, len(self)))

    def done(self, shards: Iterable[int] | None = None) -> NDArray[np.bool_]:
        """Whether each instance has values: (instance,) bool. Reads no values.

        Args:
            shards: numbers of the shards of values, from a listing; by default they are listed
                here. If a shard holds several instances, numbers of missing shards do no harm.

        Raises UnreachableStore for a URL whose files cannot be listed.
        """
        result = np.zeros(len(self), dtype=bool)
        listed = self.shards() if shards is None else shards
        present = sorted(number for number in listed if number < self.n_shards)
        for number, held in zip(present, self._held(present), strict=True):
            members = self.members(number)
            result[members.start : members.stop] = held[: len(members)]
        self._refuse_replanned()
        return result

    def done_in(self, shard: int) -> NDArray[np.bool_]:
        """Whether each of :meth:`members` of a shard has values. Reads no values."""
        members = self.members(shard)
        if self.per_shard == 1:
            held = np.array([exists(self.path, f"values/{shard_name(shard)}")])
        else:
            held = self._held([shard])[0][: len(members)]
        # Checked afterwards, so that the file was surely one of the plan that this index is from.
        self._refuse_replanned()
        return held

    def is_done(self, instance: int | str) -> bool:
        """Whether one instance has values."""
        number, place = divmod(self.index(instance), self.per_shard)
        return bool(self.done_in(number)[place])

    def strays(self, shards: Iterable[int] | None = None) -> frozenset[int]:
        """Numbers of the shards that hold values of no listed instance.

        ``shards``: as for :meth:`done`.
        """
        listed = self.shards() if shards is None else shards
        beyond = {number for number in listed if number >= self.n_shards}
        last = self.n_shards - 1
        if len(self) % self.per_shard:
            (held,) = self._held([last], unreadable=False)
            if held[len(self.members(last)) :].any():
                beyond.add(last)
        return frozenset(beyond)

    def _held(self, shards: Sequence[int], *, unreadable: bool = True) -> list[NDArray[np.bool_]]:
        """Which places of shards hold values: (place,) bool each.

        Shards that hold one instance must exist; others may be missing.

        ``unreadable``: the answer for a shard whose index is damaged. By default all its instances
        count as done: reading them tells what is wrong.
        """
        if self.per_shard == 1:
            return [np.ones(1, dtype=bool) for _ in shards]
        n_chunks = self._n_chunks
        found: list[NDArray[np.bool_]] = []
        for tail in self._files(shards, shard_files.index_bytes(n_chunks)):
            if tail is None:
                found.append(np.zeros(self.per_shard, dtype=bool))
                continue
            try:
                present = shard_files.are_present(shard_files.parse_index(tail, n_chunks))
            except UnreadableError:
                present = np.full(n_chunks, unreadable)
            found.append(np.asarray(present.reshape(self.per_shard, -1).any(axis=1)))
        return found

    def _files(self, shards: Sequence[int], length: int | None = None) -> Iterator[bytes | None]:
        """The last bytes of shards of values, or the whole; several at once from a URL."""
        for start in range(0, len(shards), SHARDS_AT_ONCE):
            some = shards[start : start + SHARDS_AT_ONCE]
            yield from tails(self.path, [f"values/{shard_name(n)}" for n in some], length)

    @property
    def _n_chunks(self) -> int:
        """Chunks in a shard."""
        return self.per_shard * self._chunks_each

    @property
    def _chunks_each(self) -> int:
        """Chunks of an instance."""
        return -(-self.record.rows // self._values.chunks[1])

    def shard(self, instance: int | str, array: Literal["values", "masks"] = "values") -> Path:
        """Path of the file that holds an instance's values or masks, even if it does not exist."""
        index = self.index(instance)
        if array == "values":
            return Path(self.path, array, shard_name(index // self.per_shard))
        return Path(
            self.path, array, shard_name(index, 3 if self._masks is None else self._masks.ndim)
        )

    def read(self, instance: int | str) -> Values:
        """The values of one instance: (coalition, output) float32, all finite.

        In a complete table, row r is the coalition with mask r. In a sampled game its mask is row r
        of :meth:`masks`.

        Raises MissingInstance if the instance is not listed or not evaluated, and DamagedShard if
        its stored values are damaged.
        """
        i = self.index(instance)
        if self.per_shard > 1:
            return self._read_chunks([i])[0]
        values = self._checked(i, self._values)
        if not _finite(values):
            self._refuse_missing(i)
            raise self._not_finite(i)
        return values

    def read_many(self, instances: Sequence[int | str]) -> Values:
        """The values of several instances: (len(instances), coalition, output) float32.

        Raises the error of :meth:`read` for the first instance that cannot be read.
        """
        indices = np.array([self.index(instance) for instance in instances], dtype=np.intp)
        if not len(indices):
            return np.empty((0, *self.shape), dtype=np.float32)
        if self.per_shard > 1:
            return self._read_chunks(indices.tolist())
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
            # Reading one by one below finds the damaged instance.
        return np.stack([self.read(int(i)) for i in indices])

    def _read_chunks(self, indices: Sequence[int]) -> Values:
        values = np.empty((len(indices), *self.shape), dtype=np.float32)
        each, row = self._chunks_each, 0
        groups = [(n, list(some)) for n, some in groupby(indices, lambda i: i // self.per_shard)]
        # Behind a URL whole files are read: not every server sends parts of them.
        contents = self._files([n for n, _ in groups]) if self._remote else repeat(None)
        for (_, some), content in zip(groups, contents, strict=self._remote):
            places = [i % self.per_shard * each for i in some]
            wanted = [place + k for place in places for k in range(each)]
            chunks = self._shard_chunks(some[0], wanted, content)
            tables = values[row : row + len(some)]
            for i, place, table in zip(some, places, tables, strict=True):
                self._decode(i, [chunks.get(place + k) for k in range(each)], table)
            row += len(some)
        self._refuse_replanned()
        return values

    def _shard_chunks(
        self, i: int, wanted: Iterable[int] | None, content: bytes | None = None
    ) -> dict[int, bytes]:
        """Encoded chunks of the shard of an instance; none if the shard does not exist.

        ``content``: of the whole file, if the store is behind a URL.
        """
        path, n_chunks = self.shard(i), self._n_chunks
        try:
            if self._remote:
                if content is None:
                    return {}
                return shard_files.chunks_in(content, n_chunks, wanted)
            return shard_files.read_chunks(path, n_chunks, wanted)
        except FileNotFoundError:
            return {}
        except UnreadableError as error:
            self._refuse_replanned()
            # Without its index, nothing in the shard can be read.
            raise self._damaged(i, error, "what this shard holds") from None

    def _decode(self, i: int, chunks: Sequence[bytes | None], table: NDArray[np.float32]) -> None:
        found = [chunk for chunk in chunks if chunk is not None]
        if not found:
            self._refuse_replanned()
            raise self._missing(i)
        try:
            shard_files.decode(found, table)
        except UnreadableError as error:
            self._refuse_replanned()
            raise self._damaged(i, error) from None
        if not _finite(table):
            raise self._not_finite(i)

    def masks(self, instance: int | str) -> NDArray[np.unsignedinteger[Any]]:
        """The masks of a sampled game's coalitions, in the order of the values' rows.

        (coalition,) uint64; past 64 players (coalition, byte) uint8, player i being bit i % 8 of
        byte i // 8. For an enumerated game: all masks, ascending.

        Raises DamagedShard if they are damaged, and InputError if the store does not list them.
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
        # A lost shard reads as zeros.
        name = f"masks/{shard_name(i, self._masks.ndim)}"
        if not masks.any() and not exists(self.path, name):
            mend = "copy it there again" if self._remote else "plan the store again"
            raise DamagedShard(f"{self._shard_text(i, 'masks')}: is gone; {mend}")
        return masks

    def write(self, instance: int | str, values: NDArray[np.floating[Any]]) -> None:
        """Store the values of one instance: (coalition, output), finite, stored as float32.

        The shard appears whole or not at all. Then the instance is done.

        Writes nothing and raises UnusableValues if values have another shape or are not finite in
        float32, InputError if the disk is full or the store was planned again since it was opened.
        """
        self.write_many({self.index(instance): values})

    def write_many(self, tables: Mapping[int, NDArray[np.floating[Any]]]) -> None:
        """:meth:`write` several instances, by index; each shard is written once."""
        by_shard: dict[int, dict[int, Values]] = defaultdict(dict)
        for i, values in tables.items():
            by_shard[i // self.per_shard][i] = self.usable(i, values)
        for kept in by_shard.values():
            with self._in_place(), refusing_full_disk(self.path):
                if self.per_shard == 1:
                    ((i, table),) = kept.items()
                    self._values[i] = table
                else:
                    self._rewrite(kept)

    def usable(self, instance: int | str, values: NDArray[np.floating[Any]]) -> Values:
        """Values of an instance as they are stored. Raises UnusableValues as :meth:`write`."""
        i = self.index(instance)
        name = f"{self.path}: values of instance {self.instances[i]!r}"
        if values.shape != self.shape:
            raise UnusableValues(
                f"{name} have shape {values.shape}; (coalition, output) must be {self.shape}"
            )
        with np.errstate(over="ignore"):
            kept = np.ascontiguousarray(values, dtype=np.float32)
        if not _finite(kept):
            row, output = np.argwhere(~np.isfinite(kept))[0]
            raise UnusableValues(
                f"{name} hold {values[row, output]} at coalition {row}, output "
                f"{self.record.outputs[output]!r}; only finite float32 values are stored. "
                f"Check the instance's input and the model"
            )
        return kept

    def erase(self, instance: int | str) -> None:
        """Remove the values of one instance, if there are any."""
        i = self.index(instance)
        with self._in_place(), refusing_full_disk(self.path):
            if self.per_shard == 1:
                self.shard(i).unlink(missing_ok=True)
            else:
                self._rewrite({i: None})

    def chunks_of(self, instance: int | str) -> list[bytes]:
        """Encoded chunks of an instance's values, as they stand in its shard.

        Raises MissingInstance and DamagedShard; the chunks' own checksums are not compared.
        """
        i = self.index(instance)
        first = i % self.per_shard * self._chunks_each
        content = next(self._files([i // self.per_shard])) if self._remote else None
        chunks = self._shard_chunks(i, range(first, first + self._chunks_each), content)
        if len(chunks) < self._chunks_each:
            raise self._damaged(i, "a chunk is gone") if chunks else self._missing(i)
        return list(chunks.values())

    def encoded(self, table: Values) -> list[bytes]:
        """Encoded chunks of an instance's values (coalition, output)."""
        return shard_files.encode(table, self._values.chunks[1])

    def put_chunks(self, chunks: Mapping[int, Sequence[bytes]]) -> None:
        """Write a new shard of encoded chunks of instances, by index, from :meth:`chunks_of`."""
        self._write_chunks(next(iter(chunks)), self._placed(chunks))

    def has_chunks_of(self, other: "CoalitionStore") -> bool:
        """Whether chunks of another store are as long as those of this one."""
        return self._values.chunks == other._values.chunks and self.shape == other.shape

    def _rewrite(self, tables: Mapping[int, Values | None]) -> None:
        """Replace values of instances of one shard, or remove them (None); keep the others."""
        first = next(iter(tables))
        # One process at a time, or one's values would be missing from what the other writes.
        with locked(Path(self.path, "values"), exclusive=True):
            self._refuse_replanned()
            try:
                chunks = self._shard_chunks(first, None)
            except DamagedShard:
                # Nothing in it can be read.
                chunks = {}
            for i, table in tables.items():
                place = i % self.per_shard * self._chunks_each
                for k in range(self._chunks_each):
                    chunks.pop(place + k, None)
                if table is not None:
                    chunks |= self._placed({i: self.encoded(table)})
            self._write_chunks(first, chunks)

    def _placed(self, chunks: Mapping[int, Sequence[bytes]]) -> dict[int, bytes]:
        each = self._chunks_each
        return {
            i % self.per_shard * each + k: chunk
            for i, of_instance in chunks.items()
            for k, chunk in enumerate(of_instance)
        }

    def _write_chunks(self, i: int, chunks: Mapping[int, bytes]) -> None:
        if chunks:
            shard_files.write_chunks(self.shard(i), self._n_chunks, chunks)
        else:
            self.shard(i).unlink(missing_ok=True)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """Ensure that the directory at ``path`` is still the opened one, and keep it there.

        A plan puts a new directory there, in which an index may mean another instance.
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
            f"{self.path}: was planned again, moved or removed since it was opened here; "
            f"start again: finished instances are kept"
        )

    def _checked(self, i: int, array: zarr.Array[Any]) -> NDArray[Any]:
        try:
            content = np.asarray(array[i])
            # Checked afterwards, so that the content is surely of the plan that this index is from.
            self._refuse_replanned()
            return content
        except InputError:
            # The store was planned again; the content may be fine.
            raise
        except Exception as error:
            self._refuse_access(error)
            which: Literal["values", "masks"] = "values" if array is self._values else "masks"
            raise DamagedShard(
                f"{self._shard_text(i, which)}: {first_line(error)}; {self._mend()}"
            ) from error

    def _refuse_access(self, error: Exception) -> None:
        """Raise an error that comes from the disk or the network rather than the content."""
        if isinstance(error, OSError):
            if self._remote:
                raise unreachable(self.path, error) from error
            raise error

    def _refuse_missing(self, i: int) -> None:
        if not self.is_done(i):
            raise self._missing(i)

    def _missing(self, i: int) -> MissingInstance:
        try:
            others = f"; {int(self.done().sum())} of {len(self)} have"
        except UnreachableStore:
            others = ""
        return MissingInstance(
            f"{self.path}: instance {self.instances[i]!r} has not been evaluated{others}. "
            f"Evaluate it first"
        )

    def _not_finite(self, i: int) -> DamagedShard:
        return DamagedShard(f"{self._shard_text(i)}: holds NaN or infinity; {self._mend()}")

    def _damaged(self, i: int, reason: object, lost: str = "this instance") -> DamagedShard:
        return DamagedShard(f"{self._shard_text(i)}: {first_line(reason)}; {self._mend(lost)}")

    def _shard_text(self, i: int, array: Literal["values", "masks"] = "values") -> str:
        number = i // self.per_shard if array == "values" else i
        name = self.instances[i]
        return f"{self.path}: damaged {array} of instance {name!r} ({array} shard {number})"

    def _mend(self, lost: str = "this instance") -> str:
        if self._remote:
            return "copy it there again from a sound store"
        return f"evaluating the store again recomputes only {lost}"


def _finite(values: NDArray[np.float32]) -> bool:
    # min and max pass NaN on, and need no memory of the values' size.
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))
