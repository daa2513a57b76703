"""Stage: the class distribution of the training set, the score of a video without frames."""

from pathlib import Path

import numpy as np

from pipeline.core.errors import InputError
from pipeline.core.files import write_json
from pipeline.data.something import classes_from, read_classes
from pipeline.studies.frames.feature_files import read_features

VERSION = 1


def main(
    *,
    features: Path,
    out: Path,
    classes: Path | None = None,
    root: Path | None = None,
    label: str | None = None,
) -> None:
    """Count the classes of the training clips in ``features``.

    The class names come from the labels.json file ``classes`` or from the dataset below ``root``.
    Without either, classes are numbered.
    """
    found = read_features(features, label=label)
    if classes is not None:
        names = classes_from(classes)
    elif root is not None:
        names = read_classes(root)
    else:
        names = tuple(f"class {number}" for number in range(int(found.labels.max()) + 1))
    if found.labels.max() >= len(names):
        raise InputError(
            f"{features}: has class {found.labels.max()}, but only {len(names)} classes have names"
        )
    counts = np.bincount(found.labels, minlength=len(names))
    prior = counts / counts.sum()
    write_json(out, {"classes": names, "counts": counts.tolist(), "prior": prior.tolist()})
