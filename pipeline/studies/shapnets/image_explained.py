"""All results on image networks: accuracy, explanations, and pictures of explanations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.core.progress import progress
from pipeline.core.statistics import known_mean_and_error, mean_and_error
from pipeline.data.pictures import in_turns
from pipeline.models.image_shapnets import ImageShapNet
from pipeline.studies.shapnets.image_attributions import Explainer, explanations_of
from pipeline.studies.shapnets.image_data import Images
from pipeline.studies.shapnets.image_flips import flips
from pipeline.studies.shapnets.image_networks import scores_of
from pipeline.studies.shapnets.image_paths import SHAPNETS
from pipeline.studies.shapnets.image_pruning import pruning
from pipeline.studies.shapnets.image_removal import regularised, removal
from pipeline.studies.shapnets.params import ImageExplainedParams

Floats = NDArray[np.float64]

PAPER = {
    "mnist": {"plain": 0.9950, "cnn": 0.9917},
    "fashion_mnist": {"plain": 0.9195, "cnn": 0.9168},
    "cifar10": {"plain": 0.8206, "cnn": 0.7996},
}
"""Accuracies of Table 2."""

COLUMNS = ("experiment", "network", "of", "method", "share", "value", "standard_error")

SMALL = 0.01
"""Values up to this share of an explanation's largest value count as 0."""


def told(
    networks: Mapping[str, ImageShapNet],
    images: Images,
    numbers: Sequence[Mapping[str, Any]],
    params: ImageExplainedParams,
) -> dict[str, Any]:
    """All numbers, for JSON.

    Args:
        networks: the Shapley explanation networks, by name.
        images: images that networks are trained and tested on.
        numbers: contents of the networks' JSON files.
        params: parameters of the experiments.
    """
    chosen = np.sort(in_turns(images.test.labels)[: params.images])
    shown, labels = images.tested(chosen), images.test.labels[chosen]
    references = images.references(params.baselines, params.seed)
    explainer = Explainer(networks["plain"], references, params.steps)
    found: dict[str, Any] = {
        "source": numbers[0]["source"],
        "classes": list(images.classes),
        "pixels": shown.shape[2] * shown.shape[3],
        "images": len(shown),
        "accuracies": accuracies(numbers),
    }
    with progress("explanations of images", 5, "experiments") as advance:
        parts = {
            "flips": lambda: flips(explainer, images, params),
            "local_accuracy": lambda: local_accuracy(networks, shown),
            "removal": lambda: removal(explainer, shown, params),
            "regularised": lambda: regularised(networks, shown, labels, params),
            "pruning": lambda: pruning(networks, shown, labels, params.thresholds),
        }
        for name, part in parts.items():
            found[name] = part()
            advance(1, note=name)
    found["concentration"] = [
        {"network": name, **concentration(network, shown)} for name, network in networks.items()
    ]
    return found


def accuracies(numbers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Accuracy of each network, with its standard error over repeated trainings (Table 2)."""
    rows = []
    for each in numbers:
        mean, error = mean_and_error(np.array(each["accuracies"]))
        rows.append(
            {
                "network": each["image_model"],
                "parameters": each["parameters"],
                "images": each["images"],
                "networks": len(each["accuracies"]),
                "accuracy": float(mean),
                "standard_error": float(error),
                "paper": PAPER.get(each["source"], {}).get(each["image_model"]),
            }
        )
    return rows


def local_accuracy(networks: Mapping[str, ImageShapNet], images: Tensor) -> dict[str, float]:
    """Largest gap between sums of explanations and scores less the reference's; largest score."""
    gaps, sizes = [], []
    for network in networks.values():
        scores = scores_of(network, images).double()
        nothing = scores_of(network, torch.zeros_like(images[:1])).double()
        sums = explanations_of(network, images)[-1].double().sum(dim=(2, 3))
        gaps.append(float((sums - (scores - nothing)).abs().max()))
        sizes.append(float(scores.abs().max()))
    return {"largest_gap": max(gaps), "largest_score": max(sizes)}


def concentration(network: ImageShapNet, images: Tensor) -> dict[str, float]:
    """How explanations of the predicted class are spread over pixels, averaged over images.

    ``variation`` is the coefficient of variation of absolute values, without explanations that are
    0 everywhere. ``sparsity`` is the share of values that count as 0.
    """
    explanation = explanations_of(network, images)[-1]
    targets = explanation.sum(dim=(2, 3)).argmax(dim=1)
    values = explanation[torch.arange(len(images)), targets].flatten(1).abs().double().numpy()
    variation, unsure = known_mean_and_error(variations(values))
    small = values <= SMALL * values.max(axis=1, keepdims=True)
    sparsity, error = mean_and_error(small.mean(axis=1))
    return {
        "variation": float(variation),
        "variation_error": float(unsure),
        "sparsity": float(sparsity),
        "sparsity_error": float(error),
    }


def variations(values: Floats) -> Floats:
    """Standard deviation over mean of each row; NaN for a row of zeros."""
    means = values.mean(axis=1)
    return np.divide(values.std(axis=1), means, out=np.full(len(values), np.nan), where=means != 0)


def table_rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All curves and flips as rows of a table with ``COLUMNS``."""
    rows = []
    for row in content["flips"]["rows"]:
        pair = f"{row['source']} to {row['target']}"
        rows.append(("flips", "plain", pair, row["method"], None, row["mean"], row))
    for row in content["removal"]["curves"]:
        of = f"without the {row['kind']} pixels"
        rows.append(("removal", "plain", of, row["method"], row["share"], row["value"], row))
    for row in content["regularised"]["curves"]:
        own = row["network"], "accuracy", row["order"]
        rows.append(("regularised", *own, row["share"], row["value"], row))
    for row in content["pruning"]["curves"]:
        own = row["network"], f"stage {row['stage']}", "least first"
        rows.append(("pruning", *own, row["share"], row["value"], row))
    return [
        dict(zip(COLUMNS, (*found, row["standard_error"]), strict=True)) for *found, row in rows
    ]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Images and their explanations, for drawing."""

    images: NDArray[np.float32]
    """(image, channel, height, width) in 0…1"""
    labels: NDArray[np.int64]
    """(image,)"""
    classes: tuple[str, ...]
    networks: tuple[str, ...]
    stages: NDArray[np.float32]
    """(network, image, stage, height, width) sums over channels of absolute values"""
    explanations: NDArray[np.float32]
    """(network, image, class, height, width)"""


def drawn(networks: Mapping[str, ImageShapNet], images: Images, count: int) -> Drawn:
    """Some test images of different classes, with explanations by all networks (Figs. 3, 8–10)."""
    chosen = in_turns(images.test.labels)[:count]
    shown = images.tested(chosen)
    found = [explanations_of(network, shown) for network in networks.values()]
    sums = [torch.stack([s.abs().sum(dim=1) for s in stages], dim=1) for stages in found]
    return Drawn(
        images.preparation.shown(shown).clamp(0, 1).numpy(),
        images.test.labels[chosen],
        images.classes,
        tuple(networks),
        torch.stack(sums).numpy(),
        torch.stack([stages[-1] for stages in found]).numpy(),
    )


def write_drawn(path: Path, found: Drawn) -> None:
    """Write images and explanations as HDF5."""
    with replacing(path) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        for field in fields(Drawn):
            value = getattr(found, field.name)
            kind = h5py.string_dtype() if isinstance(value, tuple) else None
            file.create_dataset(field.name, data=value, dtype=kind)


def read_drawn(path: Path) -> Drawn:
    """Read what :func:`write_drawn` wrote. Raises InputError for anything else."""
    try:
        with h5py.File(path) as file:
            texts: dict[str, Any] = {
                name: tuple(file[name].asstr()[:]) for name in ("classes", "networks")
            }
            names = (field.name for field in fields(Drawn))
            return Drawn(**{name: file[name][:] for name in names if name not in texts}, **texts)
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path}: holds no explanations of images: {error}; make it again"
        ) from None


def shapnets_of(loaded: Mapping[str, Any]) -> dict[str, ImageShapNet]:
    """The Shapley explanation networks, in their order. Raises InputError if one is missing."""
    missing = [name for name in SHAPNETS if not isinstance(loaded.get(name), ImageShapNet)]
    if missing:
        raise InputError(f"checkpoints of image networks lack {', '.join(missing)}; give all five")
    return {name: loaded[name] for name in SHAPNETS}
