"""Features of every sampled frame of a split's clips, for both models."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.core.progress import progress
from pipeline.data.decoding import DecodedVideo, VideoError, decode_many
from pipeline.data.something import Clip
from pipeline.models import backbones
from pipeline.studies.frames.params import DecodingParams

log = logging.getLogger(__name__)

CLIPS_AT_ONCE = {"cpu": 8, "cuda": 128}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a clip, and whether it is used anyway."""

    clip: Clip
    reason: str
    is_used: bool


Append = Callable[[str, int, np.ndarray, np.ndarray], None]


def extract(
    clips: list[Clip],
    networks: Mapping[str, nn.Module],
    writers: Mapping[str, Append],
    decoding: DecodingParams,
    device: torch.device,
    threads: int,
    split: str,
) -> list[Trouble]:
    """Decode clips once and write their features of every model.

    Args:
        clips: with labels.
        networks: backbones in evaluation mode on ``device``, by model.
        writers: functions that take each model's features, as ``feature_writer`` yields them.
        decoding: how frames are taken from a clip.
        device: where the networks are.
        threads: number of clips decoded at once.
        split: name of the split, for the progress bar.

    Returns:
        The clips that cannot be decoded, and those with missing frames.
    """
    found: list[Trouble] = []
    waiting: list[tuple[Clip, DecodedVideo]] = []

    def flush() -> None:
        pictures = [video.frames for _, video in waiting]
        for model, network in networks.items():
            each = picture_features(network, pictures, device)
            for (clip, video), rows in zip(waiting, each, strict=True):
                assert clip.label is not None  # clips of a split with labels
                writers[model](clip.id, clip.label, rows, video.indices)
        waiting.clear()

    videos = decode_many(
        [clip.path for clip in clips],
        fps=decoding.fps,
        size=decoding.size,
        workers=threads,
        whole=decoding.shortened == "skip",
    )
    with progress(f"frames_features {split}", len(clips), "clips") as advance:
        for clip, video in zip(clips, videos, strict=True):
            if isinstance(video, VideoError):
                log.warning("left out: %s", video)
                found.append(Trouble(clip, str(video), is_used=False))
            else:
                if video.shortened:
                    log.warning("used, but shortened: %s: %s", clip.path, video.shortened)
                    found.append(Trouble(clip, f"{clip.path}: {video.shortened}", is_used=True))
                waiting.append((clip, video))
            if len(waiting) >= CLIPS_AT_ONCE.get(device.type, 8):
                flush()
            advance()
        if waiting:
            flush()
    return found


@torch.no_grad()
def picture_features(
    network: nn.Module, clips: list[NDArray[np.uint8]], device: torch.device
) -> list[NDArray[np.float32]]:
    """Features of the frames of some clips in one pass.

    Args:
        network: backbone in evaluation mode on ``device``.
        clips: (frame, height, width, 3) uint8 each.
        device: where the network is.

    Returns:
        (frame, feature_dim) float32 for each clip.
    """
    pictures = torch.from_numpy(np.concatenate(clips)).to(device, non_blocking=True)
    features = network(backbones.normalise(pictures)).float().cpu().numpy()
    return np.split(features, np.cumsum([len(frames) for frames in clips])[:-1])
