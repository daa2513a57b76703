"""Reads a store's files, on a disk or from a URL that fsspec can read."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
from zarr.storage import FsspecStore

from pipeline.core.errors import InputError
from pipeline.store.errors import UnreachableStore
from pipeline.store.layout import ARRAYS, coordinate_names

DRIVERS = frozenset({"aiohttp", "azure", "botocore", "gcsfs", "google", "requests"})
"""Packages behind fsspec whose network and permission errors are not OSErrors."""


@dataclass(frozen=True)
class Entry:
    """A file or a directory in a listing."""

    name: str
    """Last part of its path."""
    is_directory: bool
    size: int | None
    """Bytes; None where the listing does not say."""


def is_remote(path: str) -> bool:
    """Whether a path is a URL."""
    return "://" in path


def is_access_error(error: Exception) -> bool:
    """Whether an error comes from the disk or the network, rather than from the content."""
    origins = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or not origins.isdisjoint(DRIVERS)


def unreachable(url: str, error: Exception) -> UnreachableStore:
    """The error for a URL that could not be read."""
    reason = str(error).strip() or type(error).__name__
    return UnreachableStore(
        f"{url}: cannot be read: {reason.splitlines()[0]}; check the address, the network and "
        f"your rights there"
    )


def zarr_source(path: str) -> str | FsspecStore:
    """The source for zarr to read: a directory's path unchanged, a URL through fsspec.

    Raises InputError if no installed package reads such URLs.
    """
    if not is_remote(path):
        return path
    _files(path)
    return FsspecStore.from_url(path, read_only=True)


def entries(path: str, folder: str = "") -> list[Entry]:
    """List a directory, or ``folder`` below it, sorted by name.

    Raises FileNotFoundError if it does not exist, and UnreachableStore if a URL cannot be read.
    """
    if not is_remote(path):
        return sorted(
            (
                Entry(e.name, e.is_dir(), e.stat(follow_symlinks=False).st_size)
                for e in os.scandir(Path(path, folder))
            ),
            key=lambda entry: entry.name,
        )
    files, root = _files(path)
    place = f"{root}/{folder}".rstrip("/")
    with _told(path):
        files.invalidate_cache(place)
        listed = files.ls(place, detail=True)
    found = []
    for each in listed:
        whole = each["name"].rstrip("/")
        name = whole.rpartition("/")[2]
        # Some services list a directory as its own entry; index pages have links for sorting.
        if whole != place and not name.startswith("?"):
            found.append(Entry(name, each["type"] == "directory", each.get("size")))
    return sorted(found, key=lambda entry: entry.name)


def array_names(path: str, array: str) -> list[str]:
    """Names of the files of a store's array.

    Raises UnreachableStore for a URL whose files cannot be listed, such as on some web servers.
    """
    if not is_remote(path):
        return [entry.name for entry in os.scandir(Path(path, array))]
    try:
        names = [entry.name for entry in entries(path, array)]
    except FileNotFoundError:
        names = []
    # Every array has this file. A listing without it shows something else, such as an empty page.
    if "zarr.json" not in names:
        raise UnreachableStore(
            f"{path}: its files cannot be listed, so it is unknown which instances are done; "
            f"single ones can be read by name. Serve it with directory listings, or copy it to a "
            f"disk"
        )
    return names


def exists(path: str, name: str) -> bool:
    """Whether a file below a path exists."""
    if not is_remote(path):
        return Path(path, name).exists()
    files, root = _files(path)
    with _told(path):
        return bool(files.exists(f"{root}/{name}"))


def read_bytes(path: str, name: str) -> bytes:
    """Content of a file below a path.

    Raises OSError for a local file, UnreachableStore or FileNotFoundError for a URL.
    """
    if not is_remote(path):
        return Path(path, name).read_bytes()
    files, root = _files(path)
    with _told(path):
        return bytes(files.cat_file(f"{root}/{name}"))


def size(path: str) -> int | None:
    """Bytes of a store's files; None where they cannot be listed."""
    if not is_remote(path):
        return sum(
            Path(folder, name).lstat().st_size
            for folder, _, names in os.walk(path)
            for name in names
        )
    files, root = _files(path)
    total, unsaid = 0, []
    try:
        for folder in ("", *_arrays(path)):
            for entry in entries(path, folder):
                if entry.size is not None:
                    total += 0 if entry.is_directory else entry.size
                elif not entry.is_directory:
                    unsaid.append("/".join(filter(None, (root, folder, entry.name))))
        with _told(path):
            sizes = files.sizes(unsaid)
    except (UnreachableStore, FileNotFoundError):
        return None
    return None if None in sizes else total + sum(sizes)


def _arrays(path: str) -> list[str]:
    attributes = json.loads(read_bytes(path, "zarr.json"))["attributes"]
    known = {*ARRAYS, *coordinate_names(attributes)}
    return [e.name for e in entries(path) if e.is_directory and e.name in known]


def _files(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the URL's place in it."""
    protocol = url.partition("://")[0]
    try:
        files, root = fsspec.url_to_fs(url)
    except ImportError as error:
        raise InputError(
            f"{url}: reading {protocol}:// needs a package that is not installed: "
            f"{str(error).splitlines()[0]}; or copy the store to a disk"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{url}: not a URL that can be read: {error}. Give a directory, or a URL such as "
            f"https://host/store.zarr or s3://bucket/store.zarr"
        ) from None
    return files, root.rstrip("/")


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        if is_access_error(error):
            raise unreachable(url, error) from error
        raise
