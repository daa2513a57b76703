"""Accuracy of networks whose stages' values are pruned (Section 2.5, Fig. 5), and the savings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.arguments import real, whole
from pipeline.core.errors import InputError
from pipeline.models.arguments import check_kind, tensor, weight_of
from pipeline.models.image_shapnets import ImageShapNet
from pipeline.studies.shapnets.image_attributions import ROWS, explanations_of
from pipeline.studies.shapnets.image_flips import Paired
from pipeline.studies.shapnets.image_removal import SHARES, area, rows_of_curve

Floats = NDArray[np.float64]


def pruned(values: Tensor, share: float) -> Tensor:
    """Values (image, channel, height, width) without a share of the pixels of least ℓ1 norm.

    Raises InputError for values of another shape, or a share outside 0…1.
    """
    values = tensor("values", values)
    if values.ndim != 4 or not 0 <= real("share", share) <= 1:
        raise InputError(
            f"values of shape {tuple(values.shape)}, share {share}: (image, channel, height, "
            "width), and 0 to 1, are needed"
        )
    norms = values.abs().sum(dim=1).flatten(1)
    places = norms.argsort(dim=1, stable=True).argsort(dim=1)
    gone = (places < round(share * norms.shape[1])).unflatten(1, values.shape[2:])
    return values.masked_fill(gone[:, None], 0.0)


@torch.no_grad()
def scores_from(network: ImageShapNet, stage: int, values: Tensor) -> Tensor:
    """Scores (image, class) from the values that a stage passes on, on the CPU.

    Stages count from 0. Raises InputError for another network, or an unknown stage.
    """
    check_kind("network", network, ImageShapNet)
    stage = whole("stage", stage, 0, len(network.stages) - 1)
    values = tensor("values", values, weight_of(network))
    device = next(network.parameters()).device
    found = []
    for part in values.split(ROWS):
        x = part.to(device)
        for after in list(network.stages)[stage + 1 :]:
            x = after(x)
        found.append(x.sum(dim=(2, 3)).cpu())
    return torch.cat(found)


def right_along(network: ImageShapNet, images: Tensor, labels: NDArray[np.int64]) -> list[Floats]:
    """Whether predictions are right while a stage's values are pruned: (share, image) per stage."""
    return [
        np.array(
            [
                scores_from(network, stage, pruned(values, share)).argmax(dim=1).numpy() == labels
                for share in SHARES
            ],
            dtype=np.float64,
        )
        for stage, values in enumerate(explanations_of(network, images))
    ]


def pruning(
    networks: Mapping[str, ImageShapNet],
    images: Tensor,
    labels: NDArray[np.int64],
    thresholds: Sequence[float],
) -> dict[str, Any]:
    """Accuracy by pruned share, stage and network; and by threshold.

    Areas are those of the accuracy that is lost. Each is compared with the area of the stage before
    it, and a network's mean over stages with that of each other network.
    """
    curves, areas, means = [], [], {}
    for name, network in networks.items():
        found = right_along(network, images, labels)
        lost = [each[:1] - each for each in found]
        for stage, right in enumerate(found):
            of = {"network": name, "stage": stage + 1}
            curves += [{**of, **row} for row in rows_of_curve(right)]
            areas.append({**of, **area(lost[stage], lost[max(0, stage - 1)])})
        means[name] = np.mean(lost, axis=(0, 1))
    compared = [
        {"network": name, "than": other, **Paired.of(means[other], mean)._asdict()}
        for name, mean in means.items()
        for other in means
        if other != name
    ]
    by_threshold = [
        {
            "network": name,
            "threshold": threshold,
            **at_threshold(network, images, labels, threshold),
        }
        for name, network in networks.items()
        for threshold in thresholds
    ]
    return {"curves": curves, "areas": areas, "spared": compared, "thresholds": by_threshold}


def at_threshold(
    network: ImageShapNet, images: Tensor, labels: NDArray[np.int64], threshold: float
) -> dict[str, Any]:
    """Accuracy, and share of windows computed in each stage, if values near 0 are skipped."""
    device = next(network.parameters()).device
    right, shares = [], []
    for part in images.split(ROWS):
        found, computed = network.pruned(part.to(device), threshold)
        right.append(found.scores.argmax(dim=1).cpu())
        shares.append(np.multiply(computed, len(part)))
    return {
        "accuracy": float((torch.cat(right).numpy() == labels).mean()),
        "windows": (np.sum(shares, axis=0) / len(images)).tolist(),
    }
