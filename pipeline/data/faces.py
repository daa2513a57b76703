"""Pictures with and without a face, included in scikit-image: a part of LFW."""

import numpy as np

from pipeline.data.pictures import Pictures, resized

CLASSES = ("no face", "face")

EACH = 100
"""Pictures per class."""


def faces(size: int) -> Pictures:
    """A hundred faces, then a hundred other pictures, in three equal channels.

    The pictures are from Labeled Faces in the Wild (Huang et al., 2007), 25 × 25 pixels, grey.

    Args:
        size: height and width in pixels that they are resized to.
    """
    from skimage.data import lfw_subset  # noqa: PLC0415  takes half a second to load

    grey = lfw_subset().astype(np.float32)[:, None]
    labels = np.repeat(np.array([1, 0], dtype=np.int64), EACH)
    return resized(Pictures(np.repeat(grey, 3, axis=1), labels, CLASSES, "all"), size)
