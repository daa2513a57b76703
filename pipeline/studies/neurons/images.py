"""Images of the study, in three parts: to train networks (``train``), to value filters
(``ranked``), and to report the effect of removing filters (``held_out``).

Each part's images are spread over the classes. If a source has a training split, the ranked and the
held-out images both come from its test split. The digits are divided among all three parts.
"""

import colorsys
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.data import moving_digits, pictures
from pipeline.data.pictures import Pictures, in_turns
from pipeline.studies.neurons.params import ImagesParams, TintParams

Part = Literal["train", "ranked", "held_out"]
PARTS: tuple[Part, ...] = ("train", "ranked", "held_out")
SEEN: tuple[Part, ...] = ("ranked", "held_out")
"""Parts that networks are not trained on."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one part."""

    pixels: NDArray[np.float32]
    """(image, channel, height, width) in 0…1"""
    labels: NDArray[np.int64]
    """(image,) classes"""
    classes: tuple[str, ...]
    conflicting: NDArray[np.bool_]
    """(image,) whether an image has the tint of another class; False without tints"""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, places: NDArray[np.integer] | slice) -> "Images":
        """Some of the images."""
        return replace(
            self,
            pixels=self.pixels[places],
            labels=self.labels[places],
            conflicting=self.conflicting[places],
        )

    def showing(self, pixels: NDArray[np.float32]) -> "Images":
        """The same images with other pixels, such as those of an attacker."""
        return replace(self, pixels=pixels)


def read_images(params: ImagesParams, part: Part, tint: TintParams | None = None) -> Images:
    """The images of a part, tinted if asked for.

    Raises:
        InputError: fewer images than are asked for, tints for images in colour, and as
            :func:`pipeline.data.pictures.load`.
    """
    found = _digits(params, part) if params.source == "digits" else _of_files(params, part)
    plain = Images(found.pixels, found.labels, found.classes, np.zeros(len(found.labels), bool))
    return plain if tint is None else tinted(plain, tint, PARTS.index(part))


def read_parts(params: ImagesParams, tint: TintParams | None = None) -> dict[str, Images]:
    """The images of all parts, by part."""
    return {part: read_images(params, part, tint) for part in PARTS}


def _digits(params: ImagesParams, part: Part) -> Pictures:
    """Images of a part from scikit-learn's 1797 digits."""
    every = [pictures.digits(split) for split in moving_digits.SPLITS]
    pixels = np.concatenate([split.pixels for split in every])
    labels = np.concatenate([split.labels for split in every])
    turns = in_turns(labels)
    first, second = params.ranked, params.ranked + params.held_out
    if second > len(labels) - 2 * len(every[0].classes):
        raise InputError(
            f"neurons.images: {params.ranked} ranked and {params.held_out} held-out images; there "
            f"are {len(labels)} digits, and some must be left to train on"
        )
    places = {"ranked": turns[:first], "held_out": turns[first:second], "train": turns[second:]}
    kept = places[part]
    if part == "train" and params.train is not None:
        kept = kept[: params.train]
    found = Pictures(pixels[kept], labels[kept], every[0].classes, part)
    return pictures.resized(found, params.size)


def _of_files(params: ImagesParams, part: Part) -> Pictures:
    split = "train" if part == "train" else "test"
    both = params.ranked + params.held_out
    found = pictures.load(
        params.source,
        split,
        root=params.root,
        download=params.download,
        size=params.size,
        most=params.train if part == "train" else both,
    )
    if part == "train":
        return found
    if len(found.labels) < both:
        raise InputError(
            f"neurons.images: {params.ranked} ranked and {params.held_out} held-out images; the "
            f"test split of {params.source} has {len(found.labels)}"
        )
    turns = in_turns(found.labels)
    kept = turns[: params.ranked] if part == "ranked" else turns[params.ranked : both]
    return replace(found, pixels=found.pixels[kept], labels=found.labels[kept])


def tinted(images: Images, tint: TintParams, number: int) -> Images:
    """Tint grey images in the colour of their class, and some in the colour of another class.

    Args:
        images: images of one channel.
        tint: ``share`` of the training images (part 0) get the colour of another class; in other
            parts it is half of the images.
        number: number of the part, for the seed.
    """
    if images.pixels.shape[1] != 1:
        raise InputError(
            f"neurons.images: pictures of {images.pixels.shape[1]} channels cannot be tinted; "
            "choose a source of grey images, or set neurons.networks.tinted to null"
        )
    rng = np.random.default_rng([tint.seed, number])
    n_classes = len(images.classes)
    # Exactly the share of all images.
    turns = in_turns(images.labels)
    conflicting = np.zeros(len(images), dtype=bool)
    share = tint.share if number == 0 else 0.5
    conflicting[turns[rng.permutation(len(turns))[: round(share * len(turns))]]] = True
    others = (images.labels + rng.integers(1, n_classes, len(images))) % n_classes
    shown = np.where(conflicting, others, images.labels)
    hues = [colorsys.hsv_to_rgb(c / n_classes, 1.0, 1.0) for c in range(n_classes)]
    colours = 1 - tint.strength * (1 - np.array(hues, dtype=np.float32)[shown])
    pixels = (images.pixels * colours[:, :, None, None]).astype(np.float32)
    return replace(images, pixels=pixels, conflicting=conflicting)
