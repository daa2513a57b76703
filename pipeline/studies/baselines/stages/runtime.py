"""Stage: how long Shapley Integrated Gradients take, compared with Integrated Gradients."""

from pathlib import Path
from typing import Any

import torch

from pipeline.core.files import write_json
from pipeline.core.progress import progress
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.baselines.chosen import load_pictures
from pipeline.studies.baselines.explained import MODELS, read_explained
from pipeline.studies.baselines.params import (
    AttributionsParams,
    PictureGameParams,
    PicturesParams,
    SpeedParams,
)
from pipeline.studies.baselines.runtime import COLUMNS, machine, time_attributions

VERSION = 1


def main(
    *,
    classifier: Path,
    embedding: Path,
    pictures: PicturesParams,
    coalitions: PictureGameParams,
    attributions: AttributionsParams,
    params: SpeedParams,
    out: Path,
    table: Path,
    timed_on: str = "",  # noqa: ARG001  only so that times are taken again on another device
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Time both models' attributions; ``out`` is JSON and ``table`` CSV with one row per method."""
    target = devices.resolve(device)
    training = torch.from_numpy(load_pictures(pictures, "train").pixels)
    few = coalitions.model_copy(update={"explained": min(params.pictures, coalitions.explained)})
    rows, ratios = list[dict[str, Any]](), {}
    total = few.explained * params.runs * len(MODELS)
    with progress("baselines_runtime", total, "pictures") as advance:
        for model, weights in zip(MODELS, (classifier, embedding), strict=True):
            explained = read_explained(model, weights, pictures, few, target)
            of_model, ratios[model] = time_attributions(
                explained, training, attributions, params.runs, advance
            )
            rows += of_model
    write_table(table, COLUMNS, rows)
    write_json(out, plain({**machine(target, threads), "ratios": ratios, "rows": rows}))
