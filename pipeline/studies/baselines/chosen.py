"""Which pictures there are, and which of them are explained.

The pictures come from the test split in an order that does not depend on how many are asked for:
class after class in turn, and within a class spread over the split. So whoever asks for more gets
those that are there and others. Every second partner in a pair is of the same class.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.data import pictures as datasets
from pipeline.data.pictures import Pictures
from pipeline.studies.baselines.areas import Areas, square_areas
from pipeline.studies.baselines.integrated import baseline_pictures
from pipeline.studies.baselines.params import PictureSourceParams, PicturesParams


def load_pictures(params: PictureSourceParams, split: str) -> Pictures:
    """The pictures of a split, as the parameters describe them: of training pictures a part."""
    return datasets.load(
        params.source,
        split,
        root=params.root,
        download=params.download,
        size=params.size,
        most=params.train if split == "train" else None,
    )


def load_both(params: PictureSourceParams) -> tuple[Pictures, Pictures]:
    """The training and the test pictures.

    Raises InputError, besides what the datasets' own functions do, if their classes or their sizes
    differ.
    """
    train, test = (load_pictures(params, split) for split in ("train", "test"))
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes))
        raise InputError(
            f"{params.root}: train and test have different classes: {', '.join(differing[:8])}"
        )
    sizes = [f"{p.pixels.shape[2]} × {p.pixels.shape[3]}" for p in (train, test)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{params.root}: the pictures of train have {sizes[0]} pixels, those of test "
            f"{sizes[1]}; set baselines.pictures.size, to which all are resized"
        )
    return train, test


def mean_picture(pictures: Pictures) -> Tensor:
    """The mean of pictures: (channel, height, width) float32."""
    return baseline_pictures("mean", torch.from_numpy(pictures.pixels))[0]


def players_of(pictures: Pictures, params: PicturesParams) -> Areas:
    """The areas of the pictures, (height, width).

    Raises InputError if there is one alone, or more than complete games can be played with.
    """
    height, width = pictures.pixels.shape[2:]
    params.check_areas(height, width)
    return square_areas(height, width, params.area)


def choose(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pictures of a split, class after class in turn, within a class spread over the split.

    The first of more are those of fewer.

    Args:
        labels: (picture,) of the split.
        count: how many are chosen.

    Returns:
        (count,) places in the split.

    Raises:
        InputError: more than there are.
    """
    if not 1 <= count <= len(labels):
        raise InputError(
            f"baselines.coalitions.explained: {count} pictures; the test split has {len(labels)}"
        )
    return datasets.in_turns(labels)[:count]


def pair(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each chosen picture another one, in turn of the same class and of a different one.

    A picture's partner does not depend on which others are chosen. Where no other picture is of
    the class, or all are, what there is is taken.

    Args:
        labels: (picture,) of the split.
        chosen: (explained,) places in the split, as :func:`choose` gives them.

    Returns:
        (explained,) places in the split.

    Raises:
        InputError: there is one picture alone.
    """
    if len(labels) < 2:
        raise InputError("the test split has one picture; a distance needs two")
    of = np.unique(labels, return_inverse=True)[1]
    turns = np.zeros(len(of.ravel()), dtype=np.int64)
    partners = []
    for number in chosen:
        own = of == of[number]
        is_same = (of[number] + turns[of[number]]) % 2 == 0
        turns[of[number]] += 1
        wanted = own if is_same else ~own
        others = np.arange(len(labels)) != number
        among = np.flatnonzero(wanted & others)
        if not len(among):
            among = np.flatnonzero(others)
        partners.append(int(np.random.default_rng([0, int(number)]).choice(among)))
    return np.array(partners, dtype=np.int64)
