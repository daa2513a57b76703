"""Stage: scores of every coalition of n frames of every validation clip, into the store."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from pipeline.evaluation import play, write_receipt
from pipeline.files import array_digest
from pipeline.frames import sampling
from pipeline.frames.coalition_scores import (
    Model,
    Score,
    sequences_at_once,
    table,
    whole_scores,
)
from pipeline.frames.feature_files import FeatureSet, read_features
from pipeline.frames.priors import empty_score, read_priors
from pipeline.frames.trained import load_model
from pipeline.networks import checkpoints, devices
from pipeline.params import CoalitionsParams
from pipeline.stage import run
from pipeline.store import GameRecord, plan

log = logging.getLogger(__name__)

EVALUATOR_VERSION = 1
"""To be raised by whoever changes what ``table`` returns for the same input."""

MOST_AT_ONCE = {"cpu": 64, "cuda": 1024}
"""Videos in a batch; the progress bar moves, and what is done is kept, batch by batch."""

TRUE_AND_PREDICTED = ("true class", "predicted class")


def main(
    *,
    model: str,
    features: Path,
    weights: list[Path],
    priors: Path,
    params: CoalitionsParams,
    store: Path,
    out: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Evaluate what the store at ``store`` lacks; ``out`` becomes the receipt."""
    target = devices.resolve(device)
    classes, counts = read_priors(priors)
    found = read_features(features, n_classes=len(classes), label=label)
    network = load_model(model, weights)
    empty = empty_score(counts, params.score)
    record = game_record(model, network, classes, empty, params)
    network.to(target)

    chosen = choose_videos(found, params)
    inputs = found.gather(chosen, sampling.spread(found.lengths[chosen], params.n))
    output_classes = None
    if params.outputs == "true_and_predicted":
        predicted = _whole(network, inputs, params.score, target).argmax(axis=1)
        output_classes = np.stack([found.labels[chosen], predicted], axis=1)
    digests = [
        array_digest([rows] if output_classes is None else [rows, output_classes[i]])
        for i, rows in enumerate(inputs)
    ]
    instances = [found.uids[video] for video in chosen]
    planned = plan(store, record, instances, digests, output_classes=output_classes)

    at_once = sequences_at_once(network, params.n, devices.working_memory(target))
    at_once = min(at_once, MOST_AT_ONCE.get(target.type, 64))

    def tables(indices: Sequence[int]) -> NDArray[np.float32]:
        # Always the same number at once: the last bits of a product depend on its shape, and a
        # video's values should not depend on which others were still to be done.
        filled = [*indices, *[indices[0]] * (at_once - len(indices))]
        batch = torch.from_numpy(inputs[filled]).to(target)
        values = table(network, batch, empty.to(target), params.score)[: len(indices)]
        if output_classes is not None:
            kept = torch.from_numpy(output_classes[list(indices)]).to(target)
            values = values.gather(2, kept[:, None, :].expand(-1, values.shape[1], -1))
        return values.cpu().numpy()

    receipt = play(
        planned,
        tables,
        batch_size=at_once,
        description=f"frames_coalitions {model}",
        device=devices.describe(target),
    )
    write_receipt(receipt, out)


def game_record(
    model: str,
    network: Model,
    classes: tuple[str, ...],
    empty: torch.Tensor,
    params: CoalitionsParams,
) -> GameRecord:
    """What identifies the game that is played."""
    meaning = {
        "probability": "softmax of the mean of the evaluations' logits",
        "logit": "mean of the evaluations' logits",
        "mean_of_softmax": "mean of the evaluations' softmaxes",
    }[params.score]
    nobody = "the training set's class distribution"
    if params.score == "logit":
        nobody = f"the logarithm of {nobody}"
    return GameRecord(
        study="frames",
        game=model,
        n_players=params.n,
        player="a frame of the video, in order of time",
        outputs=classes if params.outputs == "all" else TRUE_AND_PREDICTED,
        value=f"class score of the video cut down to the coalition's frames: the {meaning}; "
        f"the empty coalition gets {nobody}",
        specification={
            "model": {"trn": "multi-scale", "tsn": "averaging"}[model],
            "score": params.score,
            "removal": "delete",
            "empty": array_digest([empty.numpy()]),
            "sampling": "middles of n equal segments",
            "classes": array_digest([np.array(classes)]),
        },
        weights_sha256=checkpoints.state_digest(network),
        evaluator_version=EVALUATOR_VERSION,
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
    )


def choose_videos(features: FeatureSet, params: CoalitionsParams) -> NDArray[np.int64]:
    """Numbers of the videos whose coalitions are evaluated; short ones as the parameter says."""
    videos = np.arange(len(features))
    short = features.lengths < params.n
    if short.any():
        what = "sampled with repeats"
        if params.short_videos == "leave_out":
            videos, what = videos[~short], "left out"
        names = ", ".join(np.array(features.uids)[short][:8])
        log.warning(
            "%d videos of fewer than n: %d frames are %s: %s", short.sum(), params.n, what, names
        )
    return videos[: params.clips]


def _whole(
    network: Model, inputs: NDArray[np.float32], score: Score, device: torch.device
) -> NDArray[Any]:
    parts = [
        whole_scores(network, torch.from_numpy(inputs[start : start + 64]).to(device), score).cpu()
        for start in range(0, len(inputs), 64)
    ]
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    run(main)
