"""Opens stores, and says what is wrong with those that cannot be opened."""

import glob
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import zarr

from pipeline.core.errors import InputError
from pipeline.store.access import is_remote, trimmed, unreachable, zarr_source
from pipeline.store.errors import DamagedStore
from pipeline.store.groups import first_line, stamp_of, texts_of
from pipeline.store.layout import PER_SHARD
from pipeline.store.record import FORMAT, FORMAT_VERSION, GameRecord
from pipeline.store.shards import CoalitionStore


def open_store(path: str | os.PathLike[str], mode: Literal["r", "r+"] = "r") -> CoalitionStore:
    """Open a coalition store, for reading or (``"r+"``) for writing values into it.

    ``path`` is a directory or, for reading only, an fsspec URL such as ``s3://bucket/store.zarr``.

    Raises DamagedStore if its metadata cannot be read back, UnreachableStore if a URL cannot be
    read, InputError if ``path`` holds no store, anything else, or a store of a later format, or if
    no installed package reads such URLs.
    """
    text = os.fspath(path)
    if is_remote(text):
        text = trimmed(text)
        if mode != "r":
            raise InputError(f"{text}: a store behind a URL can be read only; copy it to a disk")
    else:
        _refuse_no_store(Path(text))
    source = zarr_source(text)
    with _telling_damage(text):
        try:
            # Taken before anything is read, so that later reads can be checked against this plan.
            stamp = None if is_remote(text) else stamp_of(Path(text))
            there = stamp is not None or is_remote(text)
            group = zarr.open_group(source, mode=mode, zarr_format=3) if there else None
        except (zarr.errors.GroupNotFoundError, FileNotFoundError):
            group = None
    if group is None:
        raise InputError(f"{text}: no zarr group there, so no coalition store. Give another path")
    attributes = dict(group.attrs)
    found = (attributes.get("format"), attributes.get("format_version"))
    if found[0] != FORMAT:
        raise InputError(
            f"{text}: a zarr group, but not a coalition store: its attribute 'format' is "
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
    """Turn errors of the content into DamagedStore, other errors of a URL into UnreachableStore."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError):
            raise _damaged(path, error) from error
        if is_remote(path):
            raise unreachable(path, error) from error
        raise


def _refuse_no_store(path: Path) -> None:
    if not path.exists():
        aside = sorted((path.parent / "set-aside").glob(f"{glob.escape(path.stem)}-*"))
        hint = f" ({len(aside)} of this name set aside in {aside[0].parent})" if aside else ""
        raise InputError(f"{path}: there is no store{hint}; plan it first")
    if not path.is_dir():
        raise InputError(f"{path}: a file; a coalition store is a directory")
    metadata = path / "zarr.json"
    if metadata.exists():
        try:
            json.loads(metadata.read_bytes())
        except ValueError as error:
            raise _damaged(str(path), f"zarr.json is not JSON: {error}") from error
    elif (path / "values" / "zarr.json").exists() and (path / "input_sha256").is_dir():
        raise _damaged(str(path), "zarr.json is gone")
    else:
        raise InputError(f"{path}: a directory, but no zarr group, so no coalition store")


def _check_lists(store: CoalitionStore) -> None:
    """Raise ValueError if lists do not fit together: a lost chunk reads as its fill value."""
    n = len(store)
    if len(store._index) < n or "" in store.instances:
        raise ValueError("the ids in 'instance' are empty or repeated")
    if len(store.input_sha256) != n or "" in store.input_sha256:
        raise ValueError("digests in 'input_sha256' are missing")
    if texts_of(store._group, "output") != store.record.outputs:
        raise ValueError("'output' differs from the attributes")
    classes = store.output_classes
    if classes is not None and (classes.shape != (n, store.shape[1]) or (classes < 0).any()):
        raise ValueError("classes in 'output_class' are missing")
    if store._values.shape != (n, *store.shape) or store._values.dtype != np.float32:
        raise ValueError(f"'values' are {store._values.shape} {store._values.dtype}")
    if store.per_shard > 1 and store._group.attrs.get(PER_SHARD) != store.per_shard:
        raise ValueError(f"'values' have shards of {store.per_shard} instances, unlike attributes")
    if (store._masks is not None) != store.record.lists_masks:
        raise ValueError("there must be 'masks' if and only if a sampled game lists them")


def _damaged(path: str, reason: object) -> DamagedStore:
    """The error for a store whose metadata or lists are damaged."""
    mend = "Plan it again, which sets it aside and begins an empty one, or restore it from a copy"
    if is_remote(path):
        mend = "Copy it there again from a sound store"
    return DamagedStore(f"{path}: damaged coalition store: {first_line(reason)}. {mend}")
