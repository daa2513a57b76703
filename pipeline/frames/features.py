"""Stage: features of every sampled frame of a split's clips, for both models."""

import csv
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.datasets.decoding import DecodedVideo, VideoError, decode_many
from pipeline.datasets.something import Clip, read_split
from pipeline.errors import InputError
from pipeline.files import replacing
from pipeline.frames.backbone import load_backbone
from pipeline.frames.feature_files import feature_writer
from pipeline.networks import backbones, checkpoints, devices
from pipeline.params.frames import DecodingParams
from pipeline.progress import progress
from pipeline.stage import run

log = logging.getLogger(__name__)

CLIPS_AT_ONCE = {"cpu": 8, "cuda": 128}

Append = Callable[[str, int, np.ndarray, np.ndarray], None]


def main(
    *,
    root: Path,
    split: str,
    trn_backbone: Path,
    tsn_backbone: Path,
    decoding: DecodingParams,
    trn: Path,
    tsn: Path,
    skipped: Path,
    clips: int | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Decode every clip of a split once and write its features of both models.

    ``skipped`` becomes a table (CSV) of the clips that cannot be decoded, with the reason;
    ``clips`` limits the split to its first so many.
    """
    target = devices.resolve(device)
    networks = {}
    for model, path in (("trn", trn_backbone), ("tsn", tsn_backbone)):
        network, trained_with = load_backbone(path)
        if trained_with != decoding:
            raise InputError(f"{path}: is of frames decoded with {trained_with}, not {decoding}")
        networks[model] = network.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    chosen = read_split(root, split)[:clips]
    with ExitStack() as stack:
        writers = {
            model: stack.enter_context(
                feature_writer(path, backbone_sha256=checkpoints.state_digest(networks[model]))
            )
            for model, path in (("trn", trn), ("tsn", tsn))
        }
        failed = _extract(chosen, networks, writers, decoding, target, threads, split)
        if len(failed) == len(chosen):
            raise InputError(f"{root}: none of the {len(chosen)} {split} clips can be decoded")
    with replacing(skipped) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["split", "id", "reason"])
        table.writerows((split, clip.id, str(error)) for clip, error in failed)


def _extract(
    clips: list[Clip],
    networks: Mapping[str, nn.Module],
    writers: Mapping[str, Append],
    decoding: DecodingParams,
    device: torch.device,
    threads: int,
    split: str,
) -> list[tuple[Clip, VideoError]]:
    failed: list[tuple[Clip, VideoError]] = []
    waiting: list[tuple[Clip, DecodedVideo]] = []

    def flush() -> None:
        pictures = [video.frames for _, video in waiting]
        for model, network in networks.items():
            found = picture_features(network, pictures, device)
            for (clip, video), rows in zip(waiting, found, strict=True):
                assert clip.label is not None  # of a split with labels
                writers[model](clip.id, clip.label, rows, video.indices)
        waiting.clear()

    videos = decode_many(
        [clip.path for clip in clips], fps=decoding.fps, size=decoding.size, workers=threads
    )
    with progress(f"frames_features {split}", len(clips), "clips") as advance:
        for clip, video in zip(clips, videos, strict=True):
            if isinstance(video, VideoError):
                log.warning("left out: %s", video)
                failed.append((clip, video))
            else:
                waiting.append((clip, video))
            if len(waiting) >= CLIPS_AT_ONCE.get(device.type, 8):
                flush()
            advance()
        if waiting:
            flush()
    return failed


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


if __name__ == "__main__":
    run(main)
