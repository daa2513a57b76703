"""Recognise picture files by name in a folder with one sub-folder per class."""

from pathlib import Path

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
"""Suffixes of files that are read."""


def could_be_picture(path: Path) -> bool:
    """Whether ``<class>/<name>`` is named like a picture; names that begin with a dot are not."""
    is_hidden = path.name[0] == "." or path.parent.name[:1] == "."
    return path.suffix.lower() in SUFFIXES and not is_hidden
