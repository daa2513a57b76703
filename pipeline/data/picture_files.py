"""Which files of a folder with a sub-folder a class are pictures, told from their names."""

from pathlib import Path

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
"""Kinds of files that are read."""


def could_be_picture(path: Path) -> bool:
    """Whether ``<class>/<name>`` is named like a picture; what begins with a dot is left out."""
    is_hidden = path.name[0] == "." or path.parent.name[:1] == "."
    return path.suffix.lower() in SUFFIXES and not is_hidden
