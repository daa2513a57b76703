"""Images of the study, prepared for the networks (App. I.3.2).

Images are padded, cropped at random in training, and then normalised. So the padding looks like the
rest of a dark background, which is not 0 after normalisation: the background differs from its
reference, and may count for or against a class.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.core.errors import InputError
from pipeline.data import moving_digits, pictures
from pipeline.data.pictures import Pictures, in_turns
from pipeline.studies.shapnets.params import ImagesParams


@dataclass(frozen=True)
class Preparation:
    """How images are padded and normalised."""

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    """of each channel, of pixels in 0…1"""
    margin: int
    """pixels of padding on each side of test images"""
    shift: int
    """largest number of pixels that training images are moved by, in either direction"""
    flips: bool
    """whether half of the training images are mirrored"""

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels of padded images, (image, channel, height, width) in 0…1, less mean, over sd."""
        mean, sd = (torch.tensor(each)[:, None, None] for each in (self.mean, self.sd))
        return (pixels - mean) / sd

    def shown(self, images: Tensor) -> Tensor:
        """The inverse of :meth:`normalised`, for pictures."""
        mean, sd = (torch.tensor(each)[:, None, None] for each in (self.mean, self.sd))
        return images * sd + mean


MNIST = Preparation((0.1307,), (0.3081,), margin=2, shift=2, flips=False)
PREPARATIONS = {
    "mnist": MNIST,
    "fashion_mnist": MNIST,
    "cifar10": Preparation(
        (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), margin=0, shift=4, flips=True
    ),
}
"""The paper's, by source; the digits are normalised by their own mean and standard deviation."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images to train on and images to test on."""

    train: Pictures
    test: Pictures
    preparation: Preparation

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.train.classes

    @property
    def own_pixels(self) -> int:
        """Number of pixels of an image without padding."""
        return self.test.pixels.shape[2] * self.test.pixels.shape[3]

    def tested(self, places: NDArray[np.integer] | slice = slice(None)) -> Tensor:
        """Some test images, padded and normalised: (image, channel, height, width)."""
        return self._plain(self.test.pixels[places])

    def references(self, count: int, seed: int) -> Tensor:
        """Some training images, not cropped, spread over the classes."""
        rng = np.random.default_rng(seed)
        mixed = rng.permutation(len(self.train.labels))
        places = mixed[in_turns(self.train.labels[mixed])[:count]]
        return self._plain(self.train.pixels[places])

    def trained_on(self, rows: NDArray[np.integer], rng: np.random.Generator) -> Tensor:
        """Some training images, each moved at random and perhaps mirrored."""
        how = self.preparation
        pixels = self.train.pixels[rows]
        room = how.margin + how.shift
        padded = np.pad(pixels, ((0, 0), (0, 0), (room, room), (room, room)))
        height, width = (side + 2 * how.margin for side in pixels.shape[2:])
        views = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        tops, lefts = rng.integers(0, 2 * how.shift + 1, (2, len(rows)))
        found = views[np.arange(len(rows)), :, tops, lefts]
        if how.flips:
            mirrored = rng.random(len(rows)) < 0.5
            found = np.where(mirrored[:, None, None, None], found[..., ::-1], found)
        return how.normalised(torch.from_numpy(np.ascontiguousarray(found)))

    def _plain(self, pixels: NDArray[np.float32]) -> Tensor:
        margin = self.preparation.margin
        return self.preparation.normalised(
            functional.pad(torch.from_numpy(pixels), (margin, margin, margin, margin))
        )


def read_images(params: ImagesParams) -> Images:
    """The images of a source.

    Raises:
        InputError: as :func:`pipeline.data.pictures.load`; a class without a test image.
    """
    if params.source == "digits":
        train = pictures.digits("train", most=params.train)
        test = _spread(_held_out_digits(), params.test)
        mean, sd = float(train.pixels.mean()), float(train.pixels.std())
        preparation = Preparation((mean,), (sd,), margin=0, shift=1, flips=False)
    else:
        train, test = (
            pictures.load(
                params.source, split, root=params.root, download=params.download, most=most
            )
            for split, most in (("train", params.train), ("test", params.test))
        )
        preparation = PREPARATIONS[params.source]
    for part in (train, test):
        missing = set(range(len(train.classes))) - set(part.labels.tolist())
        if missing:
            raise InputError(
                f"shapnets.images: no {part.split} image is of class "
                f"{train.classes[min(missing)]}; ask for more"
            )
    return Images(train, test, preparation)


def _held_out_digits() -> Pictures:
    """All digits that are not trained on: the validation and the test split together."""
    parts = [pictures.digits(split) for split in moving_digits.SPLITS if split != "train"]
    pixels = np.concatenate([part.pixels for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    return Pictures(pixels, labels, parts[0].classes, "test")


def _spread(found: Pictures, most: int | None) -> Pictures:
    kept = np.sort(in_turns(found.labels)[:most])
    return replace(found, pixels=found.pixels[kept], labels=found.labels[kept])
