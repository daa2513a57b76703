"""Stage: copy external features from a group of an HDF5 file into a file of their own."""

from pathlib import Path

import h5py

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.studies.frames.feature_rows import copy_dataset

VERSION = 1


def main(*, source: Path, given: str, out: Path) -> None:
    """Copy a group of an HDF5 file; ``given`` is the file and the group, as in file.h5::train."""
    name = given.partition("::")[2]
    try:
        with h5py.File(source, "r") as file:
            group = file.get(name)
            if not isinstance(group, h5py.Group):
                raise InputError(f"{source}: has no group {name!r}, only {sorted(file)}")
            with replacing(out) as temporary, h5py.File(temporary, "w") as copied:
                for part in group:
                    copy_dataset(group, part, copied)
    except OSError as error:
        raise InputError(f"{source}: cannot be read as HDF5: {error}") from None
