"""Pictures with one label each, as arrays: scikit-learn's digits, MNIST, Fashion-MNIST, CIFAR-10,
and files.

* ``digits``: scikit-learn's handwritten digits, 8 × 8 pixels, in the splits of
  :mod:`pipeline.data.moving_digits`. They need no download.
* ``mnist``: MNIST in torchvision's layout, ``<root>/MNIST/raw/train-images-idx3-ubyte``,
  ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``.
* ``fashion_mnist``: Fashion-MNIST, files of the same names in ``<root>/FashionMNIST/raw``.
* ``cifar10``: CIFAR-10's version "for C programs", ``<root>/cifar-10-batches-bin/`` with
  ``data_batch_1.bin`` … ``data_batch_5.bin``, ``test_batch.bin`` and ``batches.meta.txt``.
  Torchvision reads a pickled version instead.
* ``folder``: ``<root>/<class>/<picture>``, one sub-folder per class, which is named after it.

Each function can read a limited number of pictures. They are spread over the classes and, within
a class, over its pictures. From a folder, only these files are read.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.data import moving_digits
from pipeline.data.picture_files import SUFFIXES, could_be_picture

MNIST_FILES = tuple(
    f"{split}-{kind}-ubyte"
    for split in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
FASHION_CLASSES = (
    "T-shirt or top",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_FILES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
CIFAR10_NAMES = "batches.meta.txt"
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR10_SIDE = 32
CIFAR10_CLASSES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures of one split."""

    pixels: NDArray[np.float32]
    """(picture, channel, height, width) in 0…1"""
    labels: NDArray[np.int64]
    """(picture,) class numbers, counted from 0"""
    classes: tuple[str, ...]
    split: str


def in_turns(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order of pictures that alternates between classes, and is spread evenly within each.

    Args:
        labels: (picture,) classes.

    Returns:
        (picture,) a permutation of places. Its first places are spread evenly for any number.
    """
    turn, of = np.empty_like(labels), np.unique(labels, return_inverse=True)[1]
    for number in range(int(of.max(initial=-1)) + 1):
        places = np.flatnonzero(of == number)
        turn[places[_spread(len(places))]] = np.arange(len(places))
    return np.lexsort((of, turn))


def _spread(count: int) -> list[int]:
    """A permutation of 0 … count − 1 whose beginnings are spread evenly (van der Corput)."""
    width = max(1, (count - 1).bit_length())
    reversed_bits = (int(f"{number:0{width}b}"[::-1], 2) for number in range(1 << width))
    return list(dict.fromkeys(number * count >> width for number in reversed_bits))


def _kept(labels: NDArray[np.int64], most: int | None) -> slice | NDArray[np.int64]:
    """Which pictures are read, in ascending order; all if there are no more than ``most``."""
    if most is None or most >= len(labels):
        return slice(None)
    return np.sort(in_turns(labels)[:most])


def digits(split: str = "train", *, most: int | None = None) -> Pictures:
    """scikit-learn's handwritten digits: one channel, 8 × 8 pixels, ten classes.

    Args:
        split: ``train`` (70 % of 1797), ``validation`` (20 %) or ``test``; none share a picture.
        most: number of pictures, spread over the classes; None: all.

    Raises:
        InputError: the split does not exist, or ``most`` is less than 1.
    """
    _check_split(split, moving_digits.SPLITS)
    _check_most(most)
    found = moving_digits.split_digits(split)
    kept = _kept(found.numbers, most)
    classes = tuple(map(str, range(10)))
    return Pictures(found.images[kept, None], found.numbers[kept], classes, split)


def mnist(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    download: bool = False,
    most: int | None = None,
) -> Pictures:
    """MNIST: one channel, 28 × 28 pixels, ten classes.

    Args:
        root: the directory that holds ``MNIST/raw``.
        split: ``train`` (60 000 pictures) or ``test`` (10 000).
        download: whether missing files are downloaded into the root, by torchvision.
        most: number of pictures, spread over the classes; None: all.

    Raises:
        InputError: the split does not exist, ``most`` is less than 1, or files are missing, cannot
            be downloaded or are damaged.
    """
    return _idx("MNIST", "MNIST", tuple(map(str, range(10))), root, split, download, most)


def fashion_mnist(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    download: bool = False,
    most: int | None = None,
) -> Pictures:
    """Fashion-MNIST: one channel, 28 × 28 pixels, ten classes of clothes.

    Args:
        root: the directory that holds ``FashionMNIST/raw``.
        split: ``train`` (60 000 pictures) or ``test`` (10 000).
        download: as for :func:`mnist`.
        most: number of pictures, spread over the classes; None: all.

    Raises:
        InputError: as :func:`mnist`.
    """
    return _idx("Fashion-MNIST", "FashionMNIST", FASHION_CLASSES, root, split, download, most)


def _idx(
    title: str,
    kind: str,
    classes: tuple[str, ...],
    root: str | os.PathLike[str],
    split: str,
    download: bool,
    most: int | None,
) -> Pictures:
    """Pictures in files of MNIST's format, read by torchvision's class of that kind."""
    _check_split(split, ("train", "test"))
    _check_most(most)
    raw = Path(root) / kind / "raw"
    missing = [name for name in MNIST_FILES if not (raw / name).is_file()]
    if missing and not download:
        raise InputError(
            f"{raw}: {title} was looked for there, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; give as root the directory that "
            f"holds {kind}/raw with the four files, unpacked, or ask for the download"
        )
    from torchvision import datasets  # noqa: PLC0415  takes seconds to load

    try:
        read = getattr(datasets, kind)
        found = read(os.fspath(root), train=split == "train", download=download)
    except OSError as error:
        raise InputError(
            f"{raw}: {title} cannot be downloaded there, or not be read ({error}); give as root a "
            f"directory that holds {kind}/raw with its four files"
        ) from None
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        reason = str(error).strip().splitlines()
        raise InputError(
            f"{raw}: {title}'s files are damaged, or could not be downloaded "
            f"({reason[0] if reason else type(error).__name__}); remove them and provide them again"
        ) from None
    labels = found.targets.numpy().astype(np.int64)
    if len(found.data) != len(labels):
        raise InputError(f"{raw}: {len(found.data)} pictures have {len(labels)} labels ({split})")
    kept = _kept(labels, most)
    pixels = found.data.numpy()[kept, None].astype(np.float32) / np.float32(255)
    return Pictures(pixels, labels[kept], classes, split)


def cifar10(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    download: bool = False,
    most: int | None = None,
) -> Pictures:
    """CIFAR-10: three channels (RGB), 32 × 32 pixels, ten classes.

    Args:
        root: the directory that holds ``cifar-10-batches-bin``.
        split: ``train`` (50 000 pictures in five files) or ``test`` (10 000).
        download: whether missing files are downloaded into the root (162 MB; with a digest check).
        most: number of pictures, spread over the classes; None: all.

    Raises:
        InputError: the split does not exist, ``most`` is less than 1, or files are missing, cannot
            be downloaded or are damaged.
    """
    _check_split(split, tuple(CIFAR10_FILES))
    _check_most(most)
    where = Path(root) / CIFAR10_FOLDER
    names = [name for files in CIFAR10_FILES.values() for name in files] + [CIFAR10_NAMES]
    missing = [name for name in names if not (where / name).is_file()]
    if missing and not download:
        raise InputError(
            f"{where}: CIFAR-10 was looked for there, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; give as root the directory that "
            f"holds {CIFAR10_FOLDER} (of {CIFAR10_URL}, unpacked), or ask for the download"
        )
    if missing:
        _download_cifar10(Path(root))
    try:
        found = [_cifar10_batch(where / name) for name in CIFAR10_FILES[split]]
        classes = tuple((where / CIFAR10_NAMES).read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: CIFAR-10 cannot be read ({error}); provide it again") from None
    if len(classes) != CIFAR10_CLASSES:
        raise InputError(
            f"{where / CIFAR10_NAMES}: names {len(classes)} classes; CIFAR-10 has {CIFAR10_CLASSES}"
        )
    labels = np.concatenate([labels for _, labels in found]).astype(np.int64)
    kept = _kept(labels, most)
    pixels = np.concatenate([batch for batch, _ in found])[kept].astype(np.float32)
    return Pictures(pixels / np.float32(255), labels[kept], classes, split)


def _cifar10_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (picture, 3, 32, 32) and labels of one file: a byte of label, then the planes."""
    each = 1 + 3 * CIFAR10_SIDE**2
    content = np.fromfile(path, dtype=np.uint8)
    if not len(content) or len(content) % each:
        raise InputError(
            f"{path}: has {len(content)} bytes; pictures of CIFAR-10 have {each} each. Remove it, "
            "and provide it again"
        )
    rows = content.reshape(-1, each)
    if rows[:, 0].max() >= CIFAR10_CLASSES:
        raise InputError(
            f"{path}: has label {rows[:, 0].max()}; there are 0 to {CIFAR10_CLASSES - 1}. Remove "
            "it, and provide it again"
        )
    return rows[:, 1:].reshape(-1, 3, CIFAR10_SIDE, CIFAR10_SIDE), rows[:, 0]


def _download_cifar10(root: Path) -> None:
    from torchvision.datasets.utils import (  # noqa: PLC0415  takes seconds to load
        download_and_extract_archive,
    )

    try:
        download_and_extract_archive(CIFAR10_URL, os.fspath(root), md5=CIFAR10_MD5)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{root}: CIFAR-10 cannot be downloaded there from {CIFAR10_URL} ({error}); give as "
            f"root a directory that holds {CIFAR10_FOLDER}"
        ) from None


def folder(
    root: str | os.PathLike[str],
    split: str = "all",
    *,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    most: int | None = None,
) -> Pictures:
    """Picture files in one sub-folder per class; classes and files in the order of their names.

    Args:
        root: the directory of the sub-folders. Files next to them, names that begin with a dot and
            other kinds of files (see SUFFIXES) are left out.
        split: name of the split in the result.
        size: (height, width) to resize all pictures to; None: all must have one size.
        channels: 3 (RGB) or 1 (grey); files are converted.
        most: number of files to read, spread over the classes; None: all.

    Raises:
        InputError: the directory does not exist or has no classes, a class has no pictures, a file
            cannot be read, pictures differ in size, or ``most`` is less than 1.
    """
    where = Path(root)
    _check_most(most)
    if channels not in (1, 3):
        raise InputError(f"channels {channels}: must be 1 (grey) or 3 (RGB)")
    if size is not None and min(size) < 1:
        raise InputError(f"size {size}: (height, width), each at least 1")
    if not where.is_dir():
        raise InputError(
            f"{where}: there is no such directory; give one with a sub-folder of pictures per class"
        )
    by_class = _files_by_class(where)
    files = [path for own in by_class.values() for path in own]
    counts = [len(own) for own in by_class.values()]
    labels = np.repeat(np.arange(len(by_class), dtype=np.int64), counts)
    kept = np.arange(len(files))[_kept(labels, most)]
    first = _read(files[kept[0]], size, channels)
    pixels = np.empty((len(kept), *first.shape), dtype=np.float32)
    for row, number in enumerate(kept):
        array = _read(files[number], size, channels)
        if array.shape != first.shape:
            raise InputError(
                f"{files[number]}: {_size(array)} pixels, and {files[kept[0]]} has {_size(first)}; "
                "give a size to resize all to"
            )
        pixels[row] = array
    return Pictures(pixels, labels[kept], tuple(by_class), split)


def _files_by_class(where: Path) -> dict[str, list[Path]]:
    """Picture files of each sub-folder, sorted by name; raises InputError where there are none."""
    classes = sorted(
        entry.name for entry in where.iterdir() if entry.is_dir() and entry.name[0] != "."
    )
    if not classes:
        raise InputError(
            f"{where}: has no sub-folders; put the pictures of each class into one of its own"
        )
    found = {}
    for name in classes:
        paths = sorted((where / name).iterdir())
        found[name] = [path for path in paths if could_be_picture(path) and path.is_file()]
        if not found[name]:
            raise InputError(
                f"{where / name}: this class has no pictures ({', '.join(SUFFIXES)}); add some, or "
                "remove the folder"
            )
    return found


def load(
    source: str,
    split: str = "train",
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    size: int | None = None,
    most: int | None = None,
) -> Pictures:
    """Pictures by the name of their source, as in the parameters.

    Args:
        source: ``digits``, ``mnist``, ``fashion_mnist``, ``cifar10`` or ``folder``.
        split: name of the split; for a folder, ``<root>/<split>`` is read.
        root: directory of the files; the digits need none.
        download: whether MNIST, Fashion-MNIST and CIFAR-10 may be downloaded.
        size: height and width in pixels to resize to; None: no change.
        most: number of pictures, spread over the classes; None: all.

    Raises:
        InputError: the source is unknown, a needed root is missing, the size is less than 1, or as
            the source's own function.
    """
    if size is not None and size < 1:
        raise InputError(f"size {size}: pixels per side, must be at least 1")
    if source == "digits":
        return resized(digits(split, most=most), size)
    if source not in (*_READERS, "folder"):
        names = ", ".join(["digits", *_READERS])
        raise InputError(f"pictures {source!r}: must be {names} or folder")
    if root is None:
        raise InputError(f"pictures {source!r} need a root, the directory that holds them")
    if source in _READERS:
        return resized(_READERS[source](root, split, download=download, most=most), size)
    both = None if size is None else (size, size)
    return folder(Path(root) / split, split, size=both, most=most)


_READERS = {"mnist": mnist, "fashion_mnist": fashion_mnist, "cifar10": cifar10}


def resized(pictures: Pictures, size: int | None) -> Pictures:
    """The same pictures with ``size`` × ``size`` pixels, bilinear and antialiased; None: as is."""
    if size is None or pictures.pixels.shape[2:] == (size, size):
        return pictures
    import torch  # noqa: PLC0415  not needed for arrays

    parts = [
        torch.nn.functional.interpolate(
            part, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
        for part in torch.from_numpy(pictures.pixels).split(1024)
    ]
    return replace(pictures, pixels=torch.cat(parts).clamp(0, 1).numpy())


def _check_split(split: str, allowed: tuple[str, ...]) -> None:
    if split not in allowed:
        raise InputError(f"split {split!r} does not exist; choose one of {', '.join(allowed)}")


def _check_most(most: int | None) -> None:
    if most is not None and most < 1:
        raise InputError(f"most {most}: must be at least 1, or None for all")


def _read(path: Path, size: tuple[int, int] | None, channels: int) -> NDArray[np.float32]:
    from PIL import Image  # noqa: PLC0415  not needed for arrays

    try:
        with Image.open(path) as file:
            image = file.convert("RGB" if channels == 3 else "L")
            if size is not None and image.size != (size[1], size[0]):
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            array = np.asarray(image, dtype=np.float32) / np.float32(255)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error}); remove it") from None
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _size(array: NDArray[np.float32]) -> str:
    return f"{array.shape[1]} × {array.shape[2]}"
