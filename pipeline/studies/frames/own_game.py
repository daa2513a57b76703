"""The game of the frames of many videos for a model of the user's."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import array_digest
from pipeline.models import devices
from pipeline.models.own import VideoModel, load_video_model
from pipeline.store.opening import Classes, OpenGame
from pipeline.store.record import GameRecord
from pipeline.studies.frames.own_clips import clip_evaluator, file_digest, read_clips
from pipeline.studies.frames.params import CoalitionsParams, OwnModelParams
from pipeline.studies.frames.removal import VERSION
from pipeline.studies.frames.values import IN_VIDEO, TRUE_AND_PREDICTED


def open_own_game(
    name: str,
    *,
    device: str,
    clips: Path,
    model: str,
    own_model: OwnModelParams,
    coalitions: CoalitionsParams,
) -> OpenGame:
    """Open the game of a model of the user's.

    Args:
        name: of the store.
        device: auto, cpu, cuda or cuda:<number>.
        clips: the videos, as the stage ``clips`` lists them (JSON).
        model: as for :func:`pipeline.models.own.load_video_model`.
        own_model: weights and removal.
        coalitions: number of players, score and outputs.

    Raises:
        InputError: the model is another one than when the clips were listed.
    """
    target, listed = devices.resolve(device), read_clips(clips)
    some = listed.clips[: coalitions.clips]
    of_player = np.array(listed.of_player, dtype=np.int64)
    network: list[VideoModel] = []

    def loaded() -> VideoModel:
        # A plan needs no network.
        if not network:
            network.append(load_own_model(model, own_model, coalitions.score, target))
            if getattr(network[0], "digest", None) != listed.model_sha256:
                raise InputError(
                    f"frames.model: {model} has changed since {clips} was written; remove that "
                    "file and run the same command again"
                )
        return network[0]

    def digest(i: int, classes: Classes) -> str:
        kept = [] if classes is None else [classes.astype(np.int64)]
        text = np.array([some[i].sha256])
        return array_digest([text, np.array(some[i].frames), *kept])

    def tables(indices: Sequence[int], classes: Classes) -> NDArray[np.float32]:
        everyone = np.arange(2**coalitions.n, dtype=np.uint64)
        found = []
        for place, i in enumerate(indices):
            path, frames = Path(some[i].path), np.array(some[i].frames, dtype=np.int64)
            if file_digest(path) != some[i].sha256:
                raise InputError(
                    f"{path}: has changed since {clips} was written; remove that file and run the "
                    "same command again"
                )
            evaluate = clip_evaluator(loaded(), path, frames, of_player, own_model.removal, target)
            scores = evaluate(everyone)
            found.append(scores if classes is None else scores[:, classes[place]])
        return np.stack(found)

    all_classes = coalitions.outputs == "all"
    predicted = np.array([clip.predicted_class for clip in some], dtype=np.int64)
    coordinates = {IN_VIDEO: _shown(np.array([clip.frames for clip in some]), of_player)}
    explained = predicted
    if listed.are_labelled:
        explained = np.array([clip.true_class for clip in some], dtype=np.int64)
        coordinates["true_class"] = explained
    is_torchvision = model.startswith("torchvision:")
    score = coalitions.score if is_torchvision else "score"
    record = GameRecord(
        study="frames",
        game=name,
        n_players=coalitions.n,
        player=f"one of {coalitions.n} equal segments of a clip of {len(of_player)} frames, in "
        "order of time",
        outputs=listed.classes if all_classes else TRUE_AND_PREDICTED,
        value=f"{score} of the clip; absent frames: {own_model.removal}",
        specification={
            "model": model,
            "score": score,
            "removal": own_model.removal,
            "frames": len(of_player),
            "classes": array_digest([np.array(listed.classes)]),
        },
        weights_sha256=listed.model_sha256,
        evaluator_version=VERSION,
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
    )
    return OpenGame(
        record,
        tuple(clip.id for clip in some),
        digest,
        tables,
        batch_size=1,
        output_classes=None if all_classes else lambda: np.stack([explained, predicted], axis=1),
        coordinates=coordinates,
        device=devices.describe(target),
    )


def load_own_model(
    name: str, own_model: OwnModelParams, score: str, device: torch.device
) -> VideoModel:
    """The model of the parameters. Raises InputError as :func:`load_video_model`."""
    weights = Path(own_model.weights) if own_model.weights else None
    return load_video_model(name, weights=weights, score=score, device=device)


def _shown(frames: NDArray[np.int64], of_player: NDArray[np.int64]) -> NDArray[np.int64]:
    """The middle frame of each player: (instance, frame) → (instance, player)."""
    n = int(of_player.max()) + 1
    middles = [int(np.flatnonzero(of_player == p).mean().round()) for p in range(n)]
    return frames[:, middles]
