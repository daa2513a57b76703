"""Metrics of a network: weighted sums of its outputs over images.

Evaluations keep the network's outputs for each image, and a metric weighs them. So one set of
evaluated coalitions serves all metrics, and the Shapley values of a sum of metrics are the sums of
their Shapley values (additivity).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.studies.neurons.images import Images

Floats = NDArray[np.float64]

SAYS = ("right", "probability", "predicted", "target probability")
"""Outputs kept for an image: whether the network is right, the probability of the true class and
the predicted class; for attacked images also the probability of the attacker's target class."""


@dataclass(frozen=True, eq=False)
class Metric:
    """A weighted sum over images."""

    name: str
    of: str
    """the output that is weighed: ``right``, ``probability``, ``success`` (the attacker's target
    class is predicted) or ``target probability``"""
    weights: Floats
    """(image,)"""

    def per_image(self, said: NDArray[np.floating], targets: NDArray[np.integer] | None) -> Floats:
        """The output that is weighed: (image, …, output) and (image,) → (image, …)."""
        if self.of == "success":
            if targets is None:
                raise InputError(
                    f"metric {self.name}: needs target classes, but these images are not attacked"
                )
            if targets.shape != said.shape[:1]:
                raise InputError(
                    f"targets of shape {targets.shape}: one class for each of {len(said)} images "
                    "is needed"
                )
            wanted = targets.reshape(-1, *([1] * (said.ndim - 2)))
            return (said[..., SAYS.index("predicted")] == wanted).astype(np.float64)
        if self.of not in SAYS:
            raise InputError(f"metric of {self.of!r}: must be success, or one of {', '.join(SAYS)}")
        return said[..., SAYS.index(self.of)].astype(np.float64)

    def total(self, said: NDArray[np.floating], targets: NDArray[np.integer] | None) -> Floats:
        """The metric: (image, …, output) → (…)."""
        return np.tensordot(self.weights, self.per_image(said, targets), axes=1)


def mean_over(name: str, of: str, chosen: NDArray[np.bool_]) -> Metric:
    """The mean over some of the images.

    Raises InputError if there are none: the recall of a class without images is not defined.
    """
    if not chosen.any():
        raise InputError(
            f"metric {name}: none of the {len(chosen)} images is of that kind; give more images"
        )
    return Metric(name, of, chosen / chosen.sum())


def recall_of(images: Images, number: int) -> Metric:
    """The share of a class's images that the network recognises."""
    return mean_over(f"recall of {images.classes[number]}", "right", images.labels == number)


def metrics_of(subject: str, images: Images) -> list[Metric]:
    """All metrics that values are computed for.

    Args:
        subject: ``attacked`` adds the attacker's success, ``tinted`` the metrics of conflicting and
            aligned tints, any other subject the metrics of each class.
        images: in the order of the rows that the metrics weigh.
    """
    every = np.ones(len(images), dtype=bool)
    found = [mean_over("accuracy", "right", every), mean_over("probability", "probability", every)]
    if subject == "attacked":
        of = ("success", "target probability")
        return [*found, *(mean_over(name, name, every) for name in of)]
    if subject == "tinted":
        for name, chosen in (("conflicting", images.conflicting), ("aligned", ~images.conflicting)):
            found.append(mean_over(f"accuracy of {name}", "right", chosen))
            found.append(mean_over(f"probability of {name}", "probability", chosen))
        return found
    numbers = np.unique(images.labels)
    found += [recall_of(images, int(number)) for number in numbers]
    for number in numbers:
        name = f"probability of {images.classes[number]}"
        found.append(mean_over(name, "probability", images.labels == number))
    return found


def named(metrics: Sequence[Metric], name: str) -> Metric:
    """A metric by its name. Raises InputError for an unknown name."""
    for metric in metrics:
        if metric.name == name:
            return metric
    known = ", ".join(metric.name for metric in metrics)
    raise InputError(f"there is no metric {name!r} here; there are {known}")
