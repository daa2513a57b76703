"""Shapley values of one video's frames for any video model; evaluated coalitions are remembered."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.data.decoding import DecodedVideo, decode, decode_frames
from pipeline.models import devices
from pipeline.models.own import load_video_model
from pipeline.store.explanations import Effort
from pipeline.studies.frames import sampling
from pipeline.studies.frames.explain import Explanation
from pipeline.studies.frames.removal import Removal, explained_clip, segments

SAMPLES_PER_SECOND = 30.0
"""Rate at which frames are chosen from."""


def explain_own_video(
    video: Path,
    model: str,
    *,
    n_players: int,
    removal: Removal = "freeze",
    score: str = "probability",
    weights: Path | None = None,
    effort: Effort | None = None,
    results: Path = Path("results"),
    device: str = "auto",
) -> Explanation:
    """Values of ``n_players`` segments of a video for every class of a model.

    A clip is spread evenly over the video: as many frames as the model wants, or one per player.
    Players are equal segments of it. Evaluated coalitions are kept in
    ``results/coalitions/own/``, if the model has a digest of its weights.

    Args:
        video: a file in any format that libav decodes.
        model: as for :func:`pipeline.models.own.load_video_model`.
        n_players: number of segments.
        removal: what the model sees in place of absent frames.
        score: for torchvision's models, ``probability`` or ``logit``.
        weights: for torchvision's models, a file of weights.
        effort: budget and tolerance.
        results: the folder of results.
        device: auto, cpu, cuda or cuda:<number>.

    Raises:
        InputError: an undecodable video, one with fewer frames than players, a model that cannot be
            loaded or returns unusable scores.
    """
    effort = effort or Effort()
    target = devices.resolve(device)
    network = load_video_model(model, weights=weights, score=score, device=target)
    of_player = segments(network.frames or n_players, n_players)
    found = decode(video, fps=SAMPLES_PER_SECOND, size=1)
    decoded, chosen = spread_over(video, found, len(of_player))
    different = len(np.unique(decoded.indices))
    if different < n_players:
        raise InputError(
            f"{video}: has {different} frames, fewer than the {n_players} players; give --frames "
            f"{different} or less"
        )
    pictures = pictures_of(video, decoded.indices[chosen])
    clip = network.prepare(torch.from_numpy(pictures).permute(0, 3, 1, 2)).to(target)
    estimate, empty, scores = explained_clip(
        network, model, video, clip, of_player, removal, effort, results
    )
    middles = [int(np.flatnonzero(of_player == p).mean().round()) for p in range(n_players)]
    shown = chosen[middles]
    return Explanation(
        classes=tuple(network.classes),
        frames=decoded.indices[shown],
        seconds=decoded.seconds[shown],
        scores=scores,
        empty=empty,
        esv=estimate.values,
        fps=SAMPLES_PER_SECOND,
        usual_fps=SAMPLES_PER_SECOND,
        available=n_players,
        shortened=decoded.shortened,
        standard_errors=estimate.standard_errors,
        evaluations=estimate.evaluations,
    )


def spread_over(
    video: Path, decoded: DecodedVideo, n_frames: int
) -> tuple[DecodedVideo, NDArray[np.int64]]:
    """Which samples of a video make a clip of ``n_frames``, spread evenly over it.

    Args:
        video: the file.
        decoded: its samples at the rate :data:`SAMPLES_PER_SECOND`, of any size.
        n_frames: frames of the clip.

    Returns:
        The samples, at a higher rate if they are fewer than the clip's frames and the video has
        more; and the rows that make the clip.
    """
    if decoded.decoded > len(decoded.frames) < n_frames:
        fps = SAMPLES_PER_SECOND * math.ceil(n_frames / len(decoded.frames))
        decoded = decode(video, fps=fps, size=1)
    return decoded, sampling.spread(np.array([len(decoded.frames)]), n_frames)[0]


def pictures_of(video: Path, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Pictures (frame, height, width, 3) of a video at its own size."""
    found = decode_frames(video, numbers.tolist())
    return np.stack([found[number] for number in numbers.tolist()])
