"""Reads a store's files, on a disk or from a URL that fsspec can read.

Errors of the disk or the network are OSErrors here: packages behind fsspec raise their own kinds,
which are translated.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore

from pipeline.core.errors import InputError
from pipeline.store.errors import UnreachableStore

WEB = ("http", "https")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs"}
"""Packages that read URLs of a protocol, where they are not installed with this project."""

URL_AS_PATH = re.compile(r"([a-z][a-z0-9+]+):/")
"""A URL, also one that pathlib has taken for a path, which joins its slashes."""

LONGEST_REASON = 300
"""Characters of a server's message that are shown."""

NOT_THERE = (404, 410)
"""Statuses of HTTP by which a server says that it has no such file."""

MOST_SIZES_ASKED = 100
"""Files whose sizes are requested one by one if a listing lacks them."""


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


def trimmed(url: str) -> str:
    """A URL without slashes at its end."""
    rest = url.rstrip("/")
    return f"{rest}//" if rest.endswith(":") else rest


def refuse_url(path: str | os.PathLike[str], what: str) -> None:
    """Raise InputError if a path is a URL. ``what``: what the path is, such as ``the new store``.

    As a path, a URL would be a directory of that name.
    """
    text = os.fspath(path)
    found = URL_AS_PATH.match(text)
    if found:
        raise InputError(
            f"{text}: {what} must be on a disk; URLs ({found[1]}://…) are only read, by `store "
            f"list`, `show`, `verify` and `export`"
        )


def unreachable(url: str, error: Exception) -> UnreachableStore:
    """The error for a URL that could not be read."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    todo = "check the address, the network and your rights there"
    if url.startswith("s3") and "credentials" in reason.lower():
        todo = (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or for a public "
            "bucket FSSPEC_S3_ANON=true"
        )
    return UnreachableStore(f"{url}: cannot be read: {reason[:LONGEST_REASON]}; {todo}")


class _Source(FsspecStore):
    """Reads files for zarr. All errors are OSErrors; a missing file is none."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        with _as_os_errors():
            return await super().get(key, prototype, byte_range)


def zarr_source(path: str) -> str | FsspecStore:
    """The source for zarr to read: a directory's path unchanged, a URL through fsspec.

    Raises InputError if no installed package reads such URLs.
    """
    if not is_remote(path):
        return path
    _files(path)
    return _Source.from_url(path, read_only=True)


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
        # Servers answer an address without the slash by sending the client to the one with it.
        listed = files.ls(f"{place}/" if _is_web(path) else place, detail=True)
    found = []
    for each in listed:
        whole = each["name"].rstrip("/")
        name = whole.rpartition("/")[2]
        # Some services list a directory as its own entry; index pages have links for sorting.
        if whole != place and not name.startswith("?"):
            found.append(Entry(name, each["type"] == "directory", each.get("size")))
    return sorted(found, key=lambda entry: entry.name)


def contents(path: str, arrays: Iterable[str]) -> dict[str, list[Entry]]:
    """List a store at once: its own entries under ``""``, those of each array under its name.

    Args:
        path: the store.
        arrays: arrays that it may have; those that it lacks are left out.

    Raises UnreachableStore for a URL whose files cannot be listed, such as on some web servers.
    """
    try:
        own = entries(path)
        known = {*arrays}
        found = {e.name: entries(path, e.name) for e in own if e.is_directory and e.name in known}
    except FileNotFoundError:
        if not is_remote(path):
            raise
        raise _unlisted(path) from None
    _refuse_other_listing(path, found.get("values", []))
    return {"": own, **found}


def array_names(path: str, array: str) -> list[str]:
    """Names of the files of a store's array.

    Raises UnreachableStore for a URL whose files cannot be listed, such as on some web servers.
    """
    if not is_remote(path):
        return [entry.name for entry in os.scandir(Path(path, array))]
    try:
        listed = entries(path, array)
    except FileNotFoundError:
        raise _unlisted(path) from None
    _refuse_other_listing(path, listed)
    return [entry.name for entry in listed]


def _refuse_other_listing(path: str, listed: list[Entry]) -> None:
    # Every array has this file. A listing without it shows something else, such as an empty page.
    if is_remote(path) and not any(entry.name == "zarr.json" for entry in listed):
        raise _unlisted(path)


def _unlisted(path: str) -> UnreachableStore:
    return UnreachableStore(
        f"{path}: its files cannot be listed, so it is unknown which instances are done; "
        f"single ones can be read by name. Serve it with directory listings, or copy it to a "
        f"disk"
    )


def exists(path: str, name: str) -> bool:
    """Whether a file below a path exists. Raises UnreachableStore if a URL does not say."""
    if not is_remote(path):
        return Path(path, name).exists()
    files, root = _files(path)
    with _told(path):
        try:
            files.info(f"{root}/{name}")
        except FileNotFoundError as error:
            # For HTTP, fsspec reports every failure as a missing file.
            cause = error.__cause__
            from_web = type(cause).__module__.partition(".")[0] == "aiohttp"
            if from_web and getattr(cause, "status", None) not in NOT_THERE:
                raise OSError(str(cause)) from cause
            return False
    return True


def read_bytes(path: str, name: str) -> bytes:
    """Content of a file below a path.

    Raises OSError for a local file, UnreachableStore or FileNotFoundError for a URL.
    """
    if not is_remote(path):
        return Path(path, name).read_bytes()
    files, root = _files(path)
    with _told(path):
        return bytes(files.cat_file(f"{root}/{name}"))


def tails(path: str, names: Sequence[str], length: int | None) -> list[bytes | None]:
    """The last bytes of files below a path, read at once from a URL; None for missing files.

    Not every server sends parts of files: then they are longer than ``length``. With None, the
    whole files are read.

    Raises OSError for a local file, UnreachableStore for a URL.
    """
    if not is_remote(path):
        return [_tail(Path(path, name), length) for name in names]
    files, root = _files(path)
    with _told(path):
        found = files.cat_ranges(
            [f"{root}/{name}" for name in names],
            [None if length is None else -length] * len(names),
            [None] * len(names),
            on_error="return",
        )
        if length is not None:
            found = [b"" if _is_past_the_end(content) else content for content in found]
        for content in found:
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
    return [None if isinstance(content, Exception) else bytes(content) for content in found]


def _is_past_the_end(answer: object) -> bool:
    """Whether a server refuses to send a part of a file, as many do if the file is empty."""
    # For S3, fsspec turns that status into EINVAL.
    of_s3 = isinstance(answer, OSError) and answer.errno == errno.EINVAL
    return of_s3 or (isinstance(answer, Exception) and getattr(answer, "status", None) == 416)


def _tail(path: Path, length: int | None) -> bytes | None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            count = size if length is None else length
            return os.pread(file.fileno(), count, max(0, size - count))
    except FileNotFoundError:
        return None


def size(path: str, listed: Mapping[str, list[Entry]] | None) -> int | None:
    """Bytes of a store's files.

    Args:
        path: the store.
        listed: for a URL, its :func:`contents`, or None if they cannot be listed.

    Returns:
        None where that would take too many requests: web servers' listings lack sizes.
    """
    if not is_remote(path):
        return sum(
            Path(folder, name).lstat().st_size
            for folder, _, names in os.walk(path)
            for name in names
        )
    if listed is None:
        return None
    files, root = _files(path)
    total, unsaid = 0, []
    for folder, found in listed.items():
        for entry in (entry for entry in found if not entry.is_directory):
            if entry.size is not None:
                total += entry.size
            else:
                unsaid.append("/".join(filter(None, (root, folder, entry.name))))
    if len(unsaid) > MOST_SIZES_ASKED:
        return None
    try:
        with _told(path):
            sizes = files.sizes(unsaid)
    except (UnreachableStore, FileNotFoundError):
        return None
    return None if None in sizes else total + sum(sizes)


def _files(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the URL's place in it."""
    protocol, _, rest = url.partition("://")
    if not rest.strip("/"):
        raise InputError(
            f"{url}: names no place. Give a URL such as https://host/store.zarr or "
            f"s3://bucket/store.zarr"
        )
    try:
        # Without the cache, what is stored meanwhile is seen.
        files, root = fsspec.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        todo = f"`pip install {package}`, " if package else ""
        extra = "in a clone `uv sync --extra s3`, " if package == "s3fs" else ""
        raise InputError(
            f"{url}: reading {protocol}:// needs a package that is not installed: "
            f"{str(error).splitlines()[0]}; {todo}{extra}or copy the store to a disk"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{url}: not a URL that can be read: {error}. Give a directory, or a URL such as "
            f"https://host/store.zarr or s3://bucket/store.zarr"
        ) from None
    return files, root.rstrip("/")


def _is_web(url: str) -> bool:
    return url.partition("://")[0] in WEB


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn errors into UnreachableStore, except FileNotFoundError."""
    try:
        with _as_os_errors():
            yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreachable(url, error) from error


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Turn errors into OSErrors, around code that reads files and looks at no content."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(str(error) or type(error).__name__) from error
