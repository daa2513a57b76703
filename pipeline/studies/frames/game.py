"""Stage: the game that is played for every validation clip, planned before anything is evaluated.

A player is one of n frames spread over the clip. The plan lists the clips in the store and erases
nothing that is still good; after it, any partition of the clips may be evaluated anywhere.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from pipeline.core.files import array_digest, write_json
from pipeline.core.stage import run
from pipeline.models import checkpoints, devices
from pipeline.store import GameRecord, plan
from pipeline.studies.frames import sampling
from pipeline.studies.frames.coalition_scores import Model, Score, whole_scores
from pipeline.studies.frames.feature_files import FeatureSet, read_features
from pipeline.studies.frames.params import CoalitionsParams
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.trained import load_model
from pipeline.workflow.versions import version

log = logging.getLogger(__name__)

TRUE_AND_PREDICTED = ("true class", "predicted class")


@dataclass(frozen=True)
class Game:
    """A model and the clips that it is to be evaluated on."""

    network: Model
    """on the CPU"""
    empty: torch.Tensor
    """(class,) score of no frame at all"""
    record: GameRecord
    instances: tuple[str, ...]
    """ids of the clips"""
    labels: NDArray[np.int64]
    """(instance,) true classes"""
    inputs: NDArray[np.float32]
    """(instance, n, D) features of the players"""


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
    """Make the store at ``store`` list the clips; ``out`` says of which game it is now."""
    game = read_game(model, features, weights, priors, params, label=label)
    output_classes = None
    if params.outputs == "true_and_predicted":
        predicted = predict(game, params.score, devices.resolve(device))
        output_classes = np.stack([game.labels, predicted], axis=1)
    planned = plan(
        store,
        game.record,
        game.instances,
        input_digests(game.inputs, output_classes),
        output_classes=output_classes,
    )
    done = int(planned.done().sum())
    log.info("%s: %d of %d clips are evaluated already", store, done, len(planned))
    identity = planned.record.identity
    write_json(out, {"store": str(store), "identity": identity, "instances": len(planned)})


def read_game(
    model: str,
    features: Path,
    weights: list[Path],
    priors: Path,
    params: CoalitionsParams,
    *,
    label: str | None = None,
    spread: bool = False,
) -> Game:
    """The game that files and parameters tell; the same in every process that reads them."""
    classes, counts = read_priors(priors)
    found = read_features(features, n_classes=len(classes), label=label)
    network, empty = load_model(model, weights), empty_score(counts, params.score)
    outputs = classes if params.outputs == "all" else TRUE_AND_PREDICTED
    return make_game(
        network,
        game_record(model, network, classes, empty, params.n, params.score, outputs),
        empty,
        found,
        choose_videos(found, params, spread=spread),
    )


def make_game(
    network: Model,
    record: GameRecord,
    empty: torch.Tensor,
    features: FeatureSet,
    videos: NDArray[np.int64],
) -> Game:
    """The game of some videos, given by their numbers, each sampled at as many frames as play."""
    return Game(
        network=network,
        empty=empty,
        record=record,
        instances=tuple(features.uids[video] for video in videos),
        labels=features.labels[videos],
        inputs=features.gather(videos, sampling.spread(features.lengths[videos], record.n_players)),
    )


def game_record(
    model: str,
    network: Model,
    classes: tuple[str, ...],
    empty: torch.Tensor,
    n: int,
    score: Score,
    outputs: tuple[str, ...],
) -> GameRecord:
    """What identifies the game of ``n`` frames that is played for these outputs."""
    meaning = {
        "probability": "softmax of the mean of the evaluations' logits",
        "logit": "mean of the evaluations' logits",
        "mean_of_softmax": "mean of the evaluations' softmaxes",
    }[score]
    nobody = "the training set's class distribution"
    if score == "logit":
        nobody = f"the logarithm of {nobody}"
    return GameRecord(
        study="frames",
        game=model,
        n_players=n,
        player="a frame of the video, in order of time",
        outputs=outputs,
        value=f"class score of the video cut down to the coalition's frames: the {meaning}; "
        f"the empty coalition gets {nobody}",
        specification={
            "model": {"trn": "multi-scale", "tsn": "averaging"}[model],
            "score": score,
            "removal": "delete",
            "empty": array_digest([empty.numpy()]),
            "sampling": "middles of n equal segments",
            "classes": array_digest([np.array(classes)]),
        },
        weights_sha256=checkpoints.state_digest(network),
        evaluator_version=version("frames", "coalitions"),
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
    )


def input_digests(
    inputs: NDArray[np.float32], output_classes: NDArray[np.integer[Any]] | None
) -> list[str]:
    """For each clip the digest of what its values are computed from, within the game.

    Args:
        inputs: (instance, n, D).
        output_classes: (instance, output) where the classes that are kept differ by clip.
    """
    return [
        array_digest([rows] if output_classes is None else [rows, classes_of(output_classes, i)])
        for i, rows in enumerate(inputs)
    ]


def classes_of(output_classes: NDArray[np.integer[Any]], instance: int) -> NDArray[np.int64]:
    """Classes of an instance's outputs, in the type that they are digested in."""
    return output_classes[instance].astype(np.int64)


def choose_videos(
    features: FeatureSet, params: CoalitionsParams, *, spread: bool = False
) -> NDArray[np.int64]:
    """Numbers of the videos whose coalitions are evaluated; short ones as the parameter says.

    Of the clips asked for the first ones, or, if ``spread``, some over the whole file.
    """
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
    if spread:
        return videos[sampling.evenly(len(videos), params.clips)]
    return videos[: params.clips]


def predict(game: Game, score: Score, device: torch.device) -> NDArray[np.int64]:
    """The class of highest score of each clip with all its players: (instance,)."""
    network = game.network.to(device)
    parts = [
        whole_scores(network, torch.from_numpy(game.inputs[i : i + 64]).to(device), score).cpu()
        for i in range(0, len(game.inputs), 64)
    ]
    network.cpu()
    return torch.cat(parts).numpy().argmax(axis=1)


if __name__ == "__main__":
    run(main)
