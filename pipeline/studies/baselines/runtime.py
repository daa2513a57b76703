"""How long Shapley Integrated Gradients take, compared with Integrated Gradients."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.models import devices
from pipeline.studies.baselines.explained import Explained, predict
from pipeline.studies.baselines.params import AttributionsParams
from pipeline.studies.baselines.timing import METHODS, TOGETHER, Work, prepare, ratio, seconds_of

COLUMNS = (
    "model",
    "method",
    "description",
    "pictures",
    "runs",
    "gradient_evaluations",
    "model_evaluations",
    "seconds",
    "fastest",
    "slowest",
    "ratio_to_plain",
)
RATIOS: dict[str, tuple[tuple[str, ...], str]] = {
    "sig_to_ig": (("sig",), "ig"),
    "sig_with_algorithm_1_to_ig": (("sig", "algorithm_1"), "ig"),
    "sig_to_captum": (("sig",), "captum"),
    "sig_to_plain": (("sig",), "plain"),
    "sig_with_algorithm_1_to_plain": (("sig", "algorithm_1"), "plain"),
    "sig_inputs_to_sig": (("sig_inputs",), "sig"),
}


def described() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Description of every row and the tasks whose seconds it adds up, by method."""
    return {**{name: (text, (name,)) for name, text in METHODS.items()}, **TOGETHER}


def time_attributions(
    explained: Explained,
    training: Tensor,
    params: AttributionsParams,
    runs: int,
    advance: Callable[[], object],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """Time a model's attributions of pictures by all methods.

    Seconds are those of one picture: the median over runs of the mean over pictures. Ratios are
    computed within each run; their median is given with the lowest and the highest.
    ``ratio_to_plain`` is the median of the time divided by that of Integrated Gradients from one
    baseline.

    Args:
        explained: the pictures and the model.
        training: (picture, *shape), from which baselines are drawn.
        params: of the methods.
        runs: how often each task is timed.
        advance: called after each picture and run.

    Returns:
        One row per method, and the RATIOS.
    """
    pictures = range(len(explained.instances))
    targets = predict(explained) if explained.seconds is None else np.zeros(len(pictures), int)
    batches = explained.batch_size(gradients=True), explained.batch_size()
    works = [
        prepare(explained.shown(i, int(targets[i])), training, params, *batches) for i in pictures
    ]
    taken = seconds_of(works, runs, explained.pictures.device, advance)
    rows = []
    for name, (description, parts) in described().items():
        of_runs = np.sum([taken[part].mean(axis=1) for part in parts], axis=0)
        rows.append(
            {
                "model": explained.model,
                "method": name,
                "description": description,
                "pictures": len(pictures),
                "runs": runs,
                **_evaluations(works, parts),
                "seconds": float(np.median(of_runs)),
                "fastest": float(of_runs.min()),
                "slowest": float(of_runs.max()),
                "ratio_to_plain": ratio(taken, parts, "plain")["median"],
            }
        )
    return rows, {name: ratio(taken, *of) for name, of in RATIOS.items()}


def _evaluations(works: Sequence[Work], parts: Sequence[str]) -> dict[str, float]:
    """Evaluations of gradients and of scores, over all parts of a method: means over pictures."""
    gradients = [sum(work.gradient_evaluations[part] for part in parts) for work in works]
    scores = [sum(work.model_evaluations[part] for part in parts) for work in works]
    return {
        "gradient_evaluations": float(np.mean(gradients)),
        "model_evaluations": float(np.mean(scores)),
    }


def machine(device: torch.device, threads: int) -> dict[str, Any]:
    """The machine and its settings."""
    return {
        "device": devices.describe(device),
        "cpu": devices.cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": torch.__version__,
    }
