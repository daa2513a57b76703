"""Images turned into another class by removing pixels (Fig. 4, Fig. 11, Table 7).

As in Shrikumar et al. (2017), Section 4.1, pixels are removed by the difference between their
attributions to the two classes: the largest first, only positive ones, up to a share of all pixels.
The better the explanation, the more the log-odds between the classes change.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.arguments import whole, wholes
from pipeline.core.errors import InputError
from pipeline.core.statistics import mean_and_error
from pipeline.models.arguments import finite, tensor
from pipeline.studies.shapnets.image_attributions import METHODS, SHAPNET, Explainer
from pipeline.studies.shapnets.image_data import Images
from pipeline.studies.shapnets.image_networks import scores_of
from pipeline.studies.shapnets.params import ImageExplainedParams

Floats = NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of the changes over images, for drawing."""


class Paired(NamedTuple):
    """A mean difference of paired numbers."""

    difference: float
    standard_error: float
    t: float
    degrees: int

    @classmethod
    def of(cls, first: Floats, second: Floats) -> "Paired":
        """First less second; NaN where there are fewer than two pairs."""
        mean, error = (float(each) for each in mean_and_error(first - second))
        t = mean / error if error else np.nan
        return cls(mean, error, float(t), len(first) - 1)


def flips(explainer: Explainer, images: Images, params: ImageExplainedParams) -> dict[str, Any]:
    """Changes of log-odds by pair of classes and method.

    Raises:
        InputError: a pair of equal classes, or of an unknown class.
    """
    pairs = checked(params.flips, images.classes)
    most = max(1, round(params.flipped * images.own_pixels))
    rows = []
    for source, target in pairs:
        shown = images.tested(np.flatnonzero(images.test.labels == source))
        changes = {
            method: changes_by(explainer, method, shown, (source, target), most)
            for method in METHODS
        }
        names = images.classes[source], images.classes[target]
        rows += rows_of(names, changes)
    return {"most": most, "rows": rows}


def checked(pairs: Sequence[tuple[int, int]], classes: Sequence[str]) -> Sequence[tuple[int, int]]:
    """The pairs. Raises InputError for unknown or equal classes."""
    for source, target in pairs:
        if not (0 <= source < len(classes) and 0 <= target < len(classes)):
            raise InputError(
                f"shapnets.image_explained.flips: [{source}, {target}] names an unknown class; "
                f"classes are 0 to {len(classes) - 1} ({', '.join(classes)})"
            )
        if source == target:
            raise InputError(
                f"shapnets.image_explained.flips: [{source}, {target}] turns a class into itself; "
                "give two classes"
            )
    return pairs


def changes_by(
    explainer: Explainer, method: str, images: Tensor, pair: tuple[int, int], most: int
) -> Floats:
    """How much removing pixels lowers the log-odds of source to target: (image,).

    Args:
        explainer: of the network.
        method: of the explanation.
        images: (image, channel, height, width), of the source class.
        pair: source and target class.
        most: largest number of pixels removed.
    """
    source, target = (
        explainer.attributions(method, images, torch.full((len(images),), number))
        for number in pair
    )
    found = removed(images, source - target, most)
    return log_odds(explainer.network, images, pair) - log_odds(explainer.network, found, pair)


def removed(images: Tensor, importance: Tensor, most: int) -> Tensor:
    """Images with the pixels of largest positive importance at their reference, 0.

    Args:
        images: (image, channel, height, width)
        importance: (image, height, width)
        most: largest number of pixels removed.

    Raises:
        InputError: shapes that do not fit together, NaN or Inf in the importance, most below 0.
    """
    images, importance = tensor("images", images), tensor("importance", importance)
    most = whole("most", most, 0)
    if images.ndim != 4 or importance.shape != (len(images), *images.shape[2:]):
        raise InputError(
            f"importance of shape {tuple(importance.shape)} for images of shape "
            f"{tuple(images.shape)}: (image, height, width) is needed"
        )
    flat = finite("importance", importance).flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    chosen.scatter_(1, order[:, :most], value=True)
    gone = (chosen & (flat > 0)).unflatten(1, importance.shape[1:])
    return images.masked_fill(gone[:, None], 0.0)


def log_odds(network: nn.Module, images: Tensor, pair: tuple[int, int]) -> Floats:
    """Log-odds of the first class to the second: (image,).

    Raises InputError unless the pair has two classes of the network.
    """
    scores = scores_of(network, images).double().numpy()
    classes = [whole("class", each, 0, scores.shape[1] - 1) for each in wholes("pair", pair, 0)]
    if len(classes) != 2:
        raise InputError(f"pair {pair!r}: two classes are needed")
    found: Floats = scores[:, classes[0]] - scores[:, classes[1]]
    return found


def rows_of(names: tuple[str, str], changes: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """One row per method: its changes, and how much larger those of the own explanation are."""
    rows = []
    for method, each in changes.items():
        mean, error = mean_and_error(each)
        paired = Paired.of(changes[SHAPNET], each)
        rows.append(
            {
                "source": names[0],
                "target": names[1],
                "images": len(each),
                "method": method,
                "mean": float(mean),
                "standard_error": float(error),
                "quantiles": np.quantile(each, QUANTILES).tolist(),
                "own_more": paired.difference,
                "own_more_error": paired.standard_error,
                "t": paired.t,
                "degrees": paired.degrees,
            }
        )
    return rows
