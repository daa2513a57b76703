"""Layout of a store on disk: its arrays, its chunks, the names of its files.

Chunk keys hold dots instead of slashes (``values/c.12.0.0``), so the shards of an array are the
entries of one directory. In most stores a shard holds one instance, and one listing shows which
instances are done. In stores of many small instances, a shard holds several. Then each of them has
chunks of its own, and the index at the shard's end, 16 bytes a chunk, shows which are done.
"""

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from pipeline.store.record import FORMAT_VERSION, GameRecord

CHUNK_BYTES = 1 << 20
"""Upper limit of a chunk inside a shard, before compression."""

ZSTD_LEVEL = 3

SHARD_BYTES = 4 << 20
"""Upper limit of a shard of several instances, before compression."""

FEW_SHARDS = 1024
"""Instances share shards if there are more of them than this."""

MANY_SHARDS = 4096
"""A store that would have more shards than this is repacked if its instances are small."""

PER_SHARD = "instances_per_shard"
"""Attribute of a group whose shards hold several instances."""

ARRAYS = ("values", "instance", "input_sha256", "output", "output_class", "masks")
"""All arrays that a store may hold besides coordinates; the game decides which it holds."""

COORDINATES = "coordinates"
"""Attribute of the group that names the arrays of coordinates, separated by blanks, as in the
conventions for climate and forecast data. xarray turns these arrays into coordinates."""

SHARD = re.compile(r"c\.(0|[1-9]\d*)\.0(?:\.0)?")
DEBRIS = ".partial"
NO_CLASS = -1


@dataclass(frozen=True)
class Lists:
    """What a store lists, instance by instance."""

    instances: tuple[str, ...]
    input_sha256: tuple[str, ...]
    output_classes: NDArray[np.int32] | None
    """(instance, output)."""
    masks: NDArray[np.unsignedinteger[Any]] | None
    """(instance, coalition) uint64, or past 64 players (instance, coalition, byte) uint8."""
    coordinates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Further data about instances, by name: (instance, …) bool, integers or floats."""


def instances_per_shard(record: GameRecord, n_instances: int, before: int | None = None) -> int:
    """How many instances share a shard in a store that is to be made.

    Few instances have a shard each. So a killed process loses one at most, and partitions can be
    small. More share shards of up to ``SHARD_BYTES``, so that there are about ``FEW_SHARDS`` files.

    Args:
        record: the game.
        n_instances: number of instances.
        before: the number in a store whose values are kept. It stays, as long as it does not make
            more than ``MANY_SHARDS`` files: then whole shards can be linked, not copied.
    """
    # Sampled pages are planned again whenever there are new ones.
    if record.lists_masks:
        return 1
    fitting = max(1, SHARD_BYTES // (4 * record.rows * len(record.outputs)))
    best = min(fitting, -(-n_instances // FEW_SHARDS))
    if before is not None and (before >= best or -(-n_instances // before) <= MANY_SHARDS):
        return before
    return best


def create(path: Path, record: GameRecord, lists: Lists, per_shard: int = 1) -> None:
    """Write a store without values; ``per_shard``: instances in a shard of values."""
    output_classes, masks = lists.output_classes, lists.masks
    n_instances, n_outputs = len(lists.instances), len(record.outputs)
    attributes = record.attributes()
    if per_shard > 1:
        attributes |= {"format_version": FORMAT_VERSION, PER_SHARD: per_shard}
    if lists.coordinates:
        attributes[COORDINATES] = " ".join(lists.coordinates)
    group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    _create_sharded(
        group,
        "values",
        shape=(n_instances, record.rows, n_outputs),
        dtype="float32",
        fill_value=float("nan"),
        dimensions=("instance", "coalition", "output"),
        per_shard=per_shard,
    )
    for name, dimension, texts in (
        ("instance", "instance", lists.instances),
        ("input_sha256", "instance", lists.input_sha256),
        ("output", "output", record.outputs),
    ):
        array = _create_plain(
            group, name, shape=(len(texts),), dtype="string", fill_value="", dimensions=(dimension,)
        )
        array[:] = np.array(texts, dtype=np.dtypes.StringDType())
    if output_classes is not None:
        array = _create_plain(
            group,
            "output_class",
            shape=output_classes.shape,
            dtype="int32",
            fill_value=NO_CLASS,
            dimensions=("instance", "output"),
        )
        array[:] = output_classes
    _write_coordinates(group, lists.coordinates, record.n_players)
    if masks is not None:
        dimensions = ("instance", "coalition", "byte")[: masks.ndim]
        array = _create_sharded(
            group,
            "masks",
            shape=masks.shape,
            dtype=masks.dtype.name,
            fill_value=0,
            dimensions=dimensions,
        )
        # A shard must exist even if all its masks equal the fill value.
        array.with_config({"write_empty_chunks": True})[:] = masks
    with warnings.catch_warnings():
        # Inline consolidated metadata are not in the zarr 3 specification yet. Other readers
        # ignore them; xarray needs them to open a store without a warning.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(group.store)
    _flush(path)


def _write_coordinates(
    group: zarr.Group, coordinates: Mapping[str, NDArray[Any]], n_players: int
) -> None:
    for name, content in coordinates.items():
        array = _create_plain(
            group,
            name,
            shape=content.shape,
            dtype=content.dtype.name,
            fill_value=0,
            dimensions=coordinate_dimensions(name, content.shape, n_players),
        )
        # Always write the chunk: an array of zeros must differ from one whose chunk was lost.
        array.with_config({"write_empty_chunks": True})[:] = content


def coordinate_names(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of a store's coordinates, from the attributes of its group.

    Raises ValueError unless they are text.
    """
    names = attributes.get(COORDINATES, "")
    if not isinstance(names, str):
        raise ValueError(f"attribute {COORDINATES!r} is {names!r}, not names split by blanks")
    return tuple(names.split())


def coordinate_dimensions(name: str, shape: tuple[int, ...], n_players: int) -> tuple[str, ...]:
    """Names of the dimensions of a coordinate."""
    if len(shape) == 2 and shape[1] == n_players:
        return ("instance", "player")
    return ("instance", *(f"{name}_{i}" for i in range(1, len(shape))))


def unusable_coordinate_names(names: Iterable[str]) -> list[str]:
    """Names that coordinates cannot have.

    A coordinate's name is also that of its directory, beside those of the other arrays, and of a
    variable of a dataset, where names of dimensions are reserved.
    """
    taken = {*ARRAYS, "coalition", "player", "byte"}
    return [n for n in names if n in taken or not n.isidentifier() or not n.isascii()]


def _create_sharded(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: str,
    fill_value: float,
    dimensions: tuple[str, ...],
    per_shard: int = 1,
) -> zarr.Array[Any]:
    """An array with shards of one or several instances, chunked along the coalitions."""
    _, rows, *rest = shape
    row_bytes = int(np.prod(rest)) * np.dtype(dtype).itemsize
    # A power of two divides a complete table. The shard of a sampled one is rounded up to whole
    # chunks.
    chunk_rows = min(1 << max(0, (CHUNK_BYTES // row_bytes).bit_length() - 1), rows)
    shard_rows = -(-rows // chunk_rows) * chunk_rows
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(1, chunk_rows, *rest),
        shards=(per_shard, shard_rows, *rest),
        fill_value=fill_value,
        compressors=(ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec()),
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=dimensions,
    )


def _create_plain(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: str,
    fill_value: int | str,
    dimensions: tuple[str, ...],
) -> zarr.Array[Any]:
    """A small array, in one chunk."""
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=shape,
        fill_value=fill_value,
        compressors=(ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec()),
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=dimensions,
    )


def _flush(path: Path) -> None:
    """Sync the metadata and lists of a store to the disk, without its shards.

    A shard that a power cut emptied fails its checksum and is evaluated again. Emptied lists would
    lose all shards.
    """
    for folder, folders, names in os.walk(path):
        folders[:] = [f for f in folders if f != "masks"]
        for name in names:
            descriptor = os.open(Path(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def shard_name(number: int, dimensions: int = 3) -> str:
    """File name of a shard in its array's directory."""
    return ".".join(("c", str(number), *["0"] * (dimensions - 1)))


def small_chunk_name(dimensions: int) -> str:
    """File name of the only chunk of a small array in its directory."""
    return ".".join(("c", *["0"] * dimensions))


def shard_index(name: str) -> int | None:
    """Number of the shard that has this file name; None if the file is not a shard."""
    match = SHARD.fullmatch(name)
    return int(match[1]) if match else None


def shard_indices(names: Iterable[str]) -> frozenset[int]:
    """Numbers of the shards that have these file names; other files are passed over."""
    return frozenset(i for i in map(shard_index, names) if i is not None)
