"""Reads and writes shards of several instances, chunk by chunk, without zarr.

A shard is a file as zarr lays it out (codec ``sharding_indexed``): encoded chunks one after the
other, then an index of 16 bytes per chunk, its offset and its size, and the index's checksum. A
chunk that is missing has both set to the largest number. zarr reads and writes such files, too, but
takes some 0.4 ms per chunk, which adds up if there are hundreds of thousands.
"""

import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd  # type: ignore[import-untyped]
from numpy.typing import NDArray

from pipeline.store.layout import DEBRIS, ZSTD_LEVEL

MISSING = (1 << 64) - 1
CHECKSUM_BYTES = 4
ENTRY_BYTES = 16

_zstd = Zstd(level=ZSTD_LEVEL)


class UnreadableError(ValueError):
    """A shard's index or one of its chunks cannot be read back."""


def index_bytes(n_chunks: int) -> int:
    """Length of the index, with its checksum, at the end of a shard of ``n_chunks`` chunks."""
    return ENTRY_BYTES * n_chunks + CHECKSUM_BYTES


def parse_index(tail: bytes, n_chunks: int) -> NDArray[np.uint64]:
    """The index at the end of a shard: (chunk, 2) uint64, offset and size of each.

    Args:
        tail: the last bytes of the file, at least :func:`index_bytes`.
        n_chunks: number of chunks of a shard, present or not.

    Raises UnreadableError unless the index fits its checksum.
    """
    index = _checked(tail[-index_bytes(n_chunks) :])
    if len(index) != ENTRY_BYTES * n_chunks:
        raise UnreadableError(f"its index is cut to {len(tail)} bytes")
    return np.frombuffer(index, dtype="<u8").reshape(n_chunks, 2).astype(np.uint64)


def are_present(index: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each chunk of an index is in the file: (chunk,) bool."""
    return np.asarray(index[:, 0] != np.uint64(MISSING))


def read_chunks(path: Path, n_chunks: int, wanted: Iterable[int] | None = None) -> dict[int, bytes]:
    """Encoded chunks of a shard by their number; chunks that are missing are left out.

    Args:
        path: the file.
        n_chunks: number of chunks of a shard, present or not.
        wanted: numbers of chunks; by default all.

    Raises UnreadableError if the index is damaged, and OSError.
    """
    with path.open("rb") as file:
        descriptor = file.fileno()
        size, length = os.fstat(descriptor).st_size, index_bytes(n_chunks)
        tail = os.pread(descriptor, length, max(0, size - length))
        places = _places(tail, n_chunks, wanted)
        return {i: os.pread(descriptor, count, start) for i, (start, count) in places.items()}


def chunks_in(
    content: bytes, n_chunks: int, wanted: Iterable[int] | None = None
) -> dict[int, bytes]:
    """:func:`read_chunks` of a file's content."""
    places = _places(content, n_chunks, wanted)
    return {i: content[start : start + count] for i, (start, count) in places.items()}


def _places(tail: bytes, n_chunks: int, wanted: Iterable[int] | None) -> dict[int, tuple[int, int]]:
    """Offset and size of those chunks that are there."""
    index = parse_index(tail, n_chunks).tolist()
    numbers = range(n_chunks) if wanted is None else wanted
    return {i: (index[i][0], index[i][1]) for i in numbers if index[i][0] != MISSING}


def write_chunks(path: Path, n_chunks: int, chunks: Mapping[int, bytes]) -> None:
    """Write a shard of encoded chunks, whole or not at all; the same chunks give the same bytes."""
    index = np.full((n_chunks, 2), MISSING, dtype="<u8")
    offset = 0
    for number in sorted(chunks):
        index[number] = offset, len(chunks[number])
        offset += len(chunks[number])
    temporary = path.with_suffix(f".{uuid.uuid4().hex}{DEBRIS}")
    try:
        with temporary.open("xb") as file:
            file.writelines(chunks[number] for number in sorted(chunks))
            file.write(_with_checksum(index.tobytes()))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def encode(table: NDArray[np.float32], chunk_rows: int) -> list[bytes]:
    """The encoded chunks of a table (coalition, output), which are padded with NaN."""
    chunks = []
    for first in range(0, len(table), chunk_rows):
        rows = np.ascontiguousarray(table[first : first + chunk_rows], dtype="<f4")
        if len(rows) < chunk_rows:
            padding = np.full((chunk_rows - len(rows), table.shape[1]), np.nan, dtype="<f4")
            rows = np.concatenate([rows, padding])
        chunks.append(_with_checksum(bytes(_zstd.encode(rows))))
    return chunks


def decode(chunks: Iterable[bytes], table: NDArray[np.float32]) -> None:
    """Decode the chunks of a table into ``table`` (coalition, output).

    Raises UnreadableError if a chunk is damaged.
    """
    row, (rows, outputs) = 0, table.shape
    for chunk in chunks:
        content = _checked(chunk)
        try:
            values = np.frombuffer(_zstd.decode(content), dtype="<f4").reshape(-1, outputs)
        except (RuntimeError, ValueError) as error:
            raise UnreadableError(f"a chunk cannot be decoded: {error}") from None
        end = min(row + len(values), rows)
        table[row:end] = values[: end - row]
        row = end
    if row < rows:
        raise UnreadableError(f"its chunks hold {row} of {rows} coalitions")


def _with_checksum(content: bytes) -> bytes:
    return content + google_crc32c.value(content).to_bytes(CHECKSUM_BYTES, "little")


def _checked(content: bytes) -> bytes:
    """The content without its checksum. Raises UnreadableError unless they fit."""
    kept, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    if google_crc32c.value(kept).to_bytes(CHECKSUM_BYTES, "little") != checksum:
        raise UnreadableError("stored and computed checksum do not match")
    return kept
