"""Stage: how long Shapley Integrated Gradients take beside Integrated Gradients on this machine."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.core.files import write_json
from pipeline.core.progress import progress
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.baselines.explained import (
    MODELS,
    Model,
    batch_size,
    load_pictures,
    predict,
    read_explained,
    score_of,
)
from pipeline.studies.baselines.params import (
    AttributionsParams,
    PictureGameParams,
    PicturesParams,
    SpeedParams,
)
from pipeline.studies.baselines.runtime import COLUMNS, RATIOS, described
from pipeline.studies.baselines.timing import prepare, ratio, seconds_of

VERSION = 1


def main(
    *,
    classifier: Path,
    embedding: Path,
    pictures: PicturesParams,
    game: PictureGameParams,
    attributions: AttributionsParams,
    params: SpeedParams,
    out: Path,
    table: Path,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Time both models' attributions; ``out`` is JSON and ``table`` CSV with a row a method.

    Seconds are of one picture: the median over runs of the mean over pictures. Ratios are those of
    one run each; their median stands beside the lowest and the highest. ``ratio_to_plain`` is such
    a median: how many times as long a method takes as Integrated Gradients from one baseline.
    """
    target = devices.resolve(device)
    training = torch.from_numpy(load_pictures(pictures, "train").pixels)
    count = min(params.pictures, game.explained)
    weights: dict[Model, Path] = {"classifier": classifier, "distance": embedding}
    rows, ratios = list[dict[str, Any]](), {}
    total = count * params.runs * len(MODELS)
    with progress("baselines_runtime", total, "pictures") as advance:
        for model in MODELS:
            explained = read_explained(
                model,
                weights[model],
                pictures,
                game.model_copy(update={"explained": count}),
                target,
            )
            targets = predict(explained) if explained.seconds is None else np.zeros(count, int)
            works = [
                prepare(
                    score_of(explained, i, int(targets[i])),
                    explained.pictures[i],
                    explained.areas,
                    explained.absent,
                    training,
                    attributions,
                    attributions.seed,
                    batch_size(explained.scores, explained.pictures[i], gradients=True),
                    batch_size(explained.scores, explained.pictures[i]),
                )
                for i in range(count)
            ]
            taken = seconds_of(works, params.runs, target, advance)
            for name, (description, parts) in described().items():
                of_runs = np.sum([taken[part].mean(axis=1) for part in parts], axis=0)
                gradients = [sum(work.gradient_evaluations[p] for p in parts) for work in works]
                evaluations = [sum(work.model_evaluations[p] for p in parts) for work in works]
                rows.append(
                    {
                        "model": model,
                        "method": name,
                        "description": description,
                        "pictures": count,
                        "runs": params.runs,
                        "gradient_evaluations": float(np.mean(gradients)),
                        "model_evaluations": float(np.mean(evaluations)),
                        "seconds": float(np.median(of_runs)),
                        "fastest": float(of_runs.min()),
                        "slowest": float(of_runs.max()),
                        "ratio_to_plain": ratio(taken, parts, "plain")["median"],
                    }
                )
            ratios[model] = {name: ratio(taken, *of) for name, of in RATIOS.items()}
    found = {
        "device": devices.describe(target),
        "cpu": devices.cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": torch.__version__,
        "ratios": ratios,
        "rows": rows,
    }
    write_table(table, COLUMNS, rows)
    write_json(out, plain(found))
