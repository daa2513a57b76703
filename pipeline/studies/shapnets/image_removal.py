"""Networks' outputs for images while pixels are removed (Fig. 4, Fig. 7)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.arguments import seed_of, whole
from pipeline.core.errors import InputError
from pipeline.core.statistics import mean_and_error
from pipeline.models.arguments import tensor, weight_of
from pipeline.models.image_shapnets import ImageShapNet
from pipeline.studies.shapnets.image_attributions import METHODS, SHAPNET, Explainer
from pipeline.studies.shapnets.image_flips import Paired
from pipeline.studies.shapnets.image_networks import scores_of
from pipeline.studies.shapnets.params import ImageExplainedParams

Floats = NDArray[np.float64]

SHARES = tuple(number / 10 for number in range(11))
"""Shares of the pixels that are removed."""

RANDOM = "random"
ORDERS = ("most positive first", "most negative first", RANDOM)
"""Orders of removal for networks that were trained differently."""


def outputs_along(network: nn.Module, images: Tensor, order: Tensor) -> Floats:
    """Scores while pixels are set to their reference, 0: (share, image, class).

    Args:
        network: the network that gives the scores.
        images: (image, channel, height, width)
        order: (image, pixel) numbers of pixels, counted row by row, in the order of removal.

    Raises:
        InputError: images of another shape, an order that does not name each pixel once.
    """
    images, order = tensor("images", images, weight_of(network)), tensor("order", order)
    pixels = tuple(images.flatten(2).shape[::2]) if images.ndim == 4 else None
    each = torch.arange(order.shape[-1] if order.ndim else 0, device=order.device)
    if tuple(order.shape) != pixels or not (order.sort(dim=1).values == each).all():
        raise InputError(
            f"an order of shape {tuple(order.shape)} for images of shape {tuple(images.shape)}: "
            "(image, pixel), each pixel once, is needed"
        )
    places = order.argsort(dim=1).unflatten(1, images.shape[2:])
    found = []
    for share in SHARES:
        gone = places < round(share * order.shape[1])
        found.append(scores_of(network, images.masked_fill(gone[:, None], 0.0)))
    return torch.stack(found).double().numpy()


def random_order(images: Tensor, number: int, seed: int) -> Tensor:
    """A random order of each image's pixels: (image, pixel).

    Raises InputError for images of another shape than (image, channel, height, width).
    """
    if images.ndim != 4:
        raise InputError(
            f"images of shape {tuple(images.shape)}: (image, channel, height, width) is needed"
        )
    generator = torch.Generator().manual_seed(seed_of(seed) + whole("number", number, 0))
    shape = len(images), images.shape[2] * images.shape[3]
    return torch.rand(shape, generator=generator).argsort(dim=1)


def removal(explainer: Explainer, images: Tensor, params: ImageExplainedParams) -> dict[str, Any]:
    """Output of the predicted class while the least, or the top, pixels are removed (Fig. 4).

    ``least`` removes pixels of least absolute attribution and measures how much the output changes.
    ``top`` removes pixels of largest attribution and measures the output that is left. Both are
    divided by the mean absolute output for whole images.
    """
    scores = scores_of(explainer.network, images)
    targets = scores.argmax(dim=1)
    whole = scores.amax(dim=1).double().numpy()
    size = np.abs(whole).mean()
    kinds: dict[str, Callable[[Floats], Floats]] = {
        "least": lambda found: np.abs(found - whole) / size,
        "top": lambda found: found / size,
    }
    curves: dict[str, dict[str, Floats]] = {kind: {} for kind in kinds}

    def along(order: Tensor) -> Floats:
        found = outputs_along(explainer.network, images, order)
        return np.take_along_axis(found, targets.numpy()[None, :, None], axis=2)[..., 0]

    for method in METHODS:
        values = explainer.attributions(method, images, targets).flatten(1)
        orders = {
            "least": values.abs().argsort(dim=1, stable=True),
            "top": values.argsort(dim=1, descending=True, stable=True),
        }
        for kind, order in orders.items():
            curves[kind][method] = kinds[kind](along(order))
    by_chance = [
        along(random_order(images, number, params.seed)) for number in range(params.random_orders)
    ]
    for kind, measure in kinds.items():
        curves[kind][RANDOM] = np.mean([measure(found) for found in by_chance], axis=0)
    rows = [
        {"kind": kind, "method": method, **row}
        for kind, by_method in curves.items()
        for method, found in by_method.items()
        for row in rows_of_curve(found)
    ]
    areas = [
        {"kind": kind, "method": method, **area(found, by_method[SHAPNET])}
        for kind, by_method in curves.items()
        for method, found in by_method.items()
    ]
    return {"curves": rows, "areas": areas}


def rows_of_curve(found: Floats) -> list[dict[str, Any]]:
    """The mean over images and its standard error, at each share, from (share, image)."""
    means, errors = mean_and_error(found.T)
    return [
        {"share": share, "value": float(mean), "standard_error": float(error)}
        for share, mean, error in zip(SHARES, means, errors, strict=True)
    ]


def area(found: Floats, own: Floats) -> dict[str, float]:
    """The mean over shares of a curve (share, image), and its difference from another curve's."""
    mean, error = mean_and_error(found.mean(axis=0))
    paired = Paired.of(found.mean(axis=0), own.mean(axis=0))
    return {
        "area": float(mean),
        "standard_error": float(error),
        "difference": paired.difference,
        "difference_error": paired.standard_error,
    }


def regularised(
    networks: Mapping[str, ImageShapNet],
    images: Tensor,
    labels: NDArray[np.int64],
    params: ImageExplainedParams,
) -> dict[str, Any]:
    """Accuracy of networks while pixels are removed in three orders (Fig. 7).

    Two orders follow the network's own explanation of the predicted class, the third is random.
    Areas are those of the accuracy that is lost.
    """
    curves: dict[str, dict[str, Floats]] = {order: {} for order in ORDERS}
    for name, network in networks.items():
        targets = scores_of(network, images).argmax(dim=1)
        own = Explainer(network, images[:1], 1)
        values = own.attributions(SHAPNET, images, targets).flatten(1)
        orders = {
            ORDERS[0]: [values.argsort(dim=1, descending=True, stable=True)],
            ORDERS[1]: [values.argsort(dim=1, stable=True)],
            RANDOM: [random_order(images, i, params.seed) for i in range(params.random_orders)],
        }
        for order, drawn in orders.items():
            right = [
                outputs_along(network, images, each).argmax(axis=2) == labels for each in drawn
            ]
            curves[order][name] = np.mean(right, axis=0)
    rows = [
        {"network": name, "order": order, **row}
        for order, by_network in curves.items()
        for name, found in by_network.items()
        for row in rows_of_curve(found)
    ]
    lost = {
        order: {name: found[:1] - found for name, found in by_network.items()}
        for order, by_network in curves.items()
    }
    areas = [
        {"network": name, "order": order, **area(found, by_network["plain"])}
        for order, by_network in lost.items()
        for name, found in by_network.items()
    ]
    return {"curves": rows, "areas": areas}
