"""The pictures, and the choice of those that are explained.

The pictures come from the test split in an order that does not depend on their number: the classes
take turns, and within a class the pictures are spread over the split. A larger number therefore
keeps the pictures of a smaller one and adds others. Every second partner in a pair has the same
class.
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
    """The pictures of a split that the parameters select; of training pictures a part."""
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

    Raises InputError if their classes or their sizes differ, and as the datasets' own functions.
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

    Raises InputError if there is only one, or more than a complete game allows.
    """
    height, width = pictures.pixels.shape[2:]
    params.check_areas(height, width)
    return square_areas(height, width, params.area)


def choose(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Choose pictures of a split: the classes take turns, and each class is spread over the split.

    A larger ``count`` keeps the pictures of a smaller one.

    Args:
        labels: (picture,) of the split.
        count: how many are chosen.

    Returns:
        (count,) indices in the split.

    Raises:
        InputError: more pictures than the split has.
    """
    if not 1 <= count <= len(labels):
        raise InputError(
            f"baselines.coalitions.explained: {count} pictures; the test split has {len(labels)}"
        )
    return datasets.in_turns(labels)[:count]


def pair(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """A partner for each chosen picture, alternately of the same class and of a different one.

    A picture's partner does not depend on the pictures chosen after it. If no other picture has the
    wanted kind of class, any other picture is taken.

    Args:
        labels: (picture,) of the split.
        chosen: (explained,) indices in the split, as :func:`choose` returns them.

    Returns:
        (explained,) indices in the split.

    Raises:
        InputError: there is only one picture.
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
