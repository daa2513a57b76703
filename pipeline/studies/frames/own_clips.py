"""Clips of many videos for a model of the user's: which frames they have, and what it predicts."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import write_json
from pipeline.core.progress import progress
from pipeline.data.decoding import DecodedVideo, VideoError, decode_many
from pipeline.data.something import Clip, is_plain_folder, read_folder, read_split, require_videos
from pipeline.models.own import VideoModel
from pipeline.studies.frames.own_video import SAMPLES_PER_SECOND, pictures_of, spread_over
from pipeline.studies.frames.params import ShortVideos
from pipeline.studies.frames.removal import Removal, check_repeatable, clip_values, segments

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnClip:
    """One video, as the model gets it."""

    id: str
    path: str
    sha256: str
    """of the file"""
    frames: tuple[int, ...]
    """numbers in the file of the frames that make the clip"""
    true_class: int | None
    """None if the model does not know the video's class"""
    predicted_class: int


@dataclass(frozen=True)
class OwnClips:
    """All videos of a study, and the model that explains them."""

    model: str
    model_sha256: str
    """of weights and score"""
    classes: tuple[str, ...]
    of_player: tuple[int, ...]
    """(frame,) the player of each frame of a clip"""
    clips: tuple[OwnClip, ...]

    @property
    def are_labelled(self) -> bool:
        """Whether the true class of every video is known to the model."""
        return all(clip.true_class is not None for clip in self.clips)


def write_clips(clips: OwnClips, path: Path) -> None:
    """Write them as JSON, whole or not at all."""
    write_json(path, asdict(clips))


def read_clips(path: Path) -> OwnClips:
    """The inverse of :func:`write_clips`."""
    content = json.loads(path.read_bytes())
    clips = tuple(OwnClip(**{**clip, "frames": tuple(clip["frames"])}) for clip in content["clips"])
    return OwnClips(
        content["model"],
        content["model_sha256"],
        tuple(content["classes"]),
        tuple(content["of_player"]),
        clips,
    )


def videos_of(root: Path, limit: int | None) -> list[Clip]:
    """The videos to explain: the validation split of a data set, or all videos of a folder."""
    if is_plain_folder(root):
        return read_folder(root)[:limit]
    found = read_split(root, "validation")[:limit]
    require_videos(found, root, "validation")
    return found


def list_clips(
    videos: Sequence[Clip],
    name: str,
    model: VideoModel,
    *,
    n: int,
    removal: Removal,
    short_videos: ShortVideos,
    device: torch.device,
    threads: int,
) -> tuple[OwnClips, list[tuple[str, str]]]:
    """Choose every video's frames, and predict its class.

    The model is checked with the first video, before all others are read.

    Args:
        videos: to explain.
        name: of the model.
        model: on ``device``.
        n: players of a video.
        removal: what the model sees in place of absent frames.
        short_videos: whether a video of fewer than n frames has some of them repeated, or is left
            out.
        device: where the model is evaluated.
        threads: number of videos decoded at once.

    Returns:
        The clips, and the id and the reason of every video that is left out.

    Raises:
        InputError: a model without a digest, of a fixed length with removal ``delete``, or with
            unusable scores; more players than the clip has frames; no video can be used.
    """
    digest = getattr(model, "digest", None)
    if not digest:
        raise InputError(
            f"frames.model: {name} has no digest, so its stored values could not be told from "
            "those of other weights; give it an attribute digest (docs/own-models.md)"
        )
    of_player = segments(model.frames or n, n)
    numbers = {text: number for number, text in enumerate(model.classes)}
    labelled = all(video.template in numbers for video in videos)
    if not labelled and any(video.template for video in videos):
        log.warning(
            "%s does not know all classes of the videos: the predicted class takes the true one's "
            "place",
            name,
        )
    clips, left_out = list[OwnClip](), list[tuple[str, str]]()
    paths = [video.path for video in videos]
    decoded = decode_many(paths, fps=SAMPLES_PER_SECOND, size=1, workers=threads)
    with progress("frames_clips", len(videos), "videos") as advance:
        for video, found in zip(videos, decoded, strict=True):
            try:
                frames = _frames(video.path, found, len(of_player), n, short_videos)
                evaluate = clip_evaluator(model, video.path, frames, of_player, removal, device)
            except VideoError as error:
                log.warning("left out: %s", error)
                left_out.append((video.id, str(error)))
                continue
            finally:
                advance()
            if not clips:
                check_repeatable(evaluate, n)
            scores = evaluate(np.array([2**n - 1], dtype=np.uint64))[0]
            clips.append(
                OwnClip(
                    id=video.id,
                    path=str(video.path),
                    sha256=file_digest(video.path),
                    frames=tuple(frames.tolist()),
                    true_class=numbers[video.template] if labelled else None,
                    predicted_class=int(scores.argmax()),
                )
            )
    if not clips:
        reason = f": {left_out[0][1]}" if left_out else ""
        raise InputError(f"none of the {len(videos)} videos can be used{reason}")
    players = tuple(of_player.tolist())
    return OwnClips(name, digest, tuple(model.classes), players, tuple(clips)), left_out


def _frames(
    path: Path,
    decoded: DecodedVideo | VideoError,
    n_frames: int,
    n_players: int,
    short_videos: ShortVideos,
) -> NDArray[np.int64]:
    """Numbers of the frames that make a video's clip. Raises VideoError if it is left out."""
    if isinstance(decoded, VideoError):
        raise decoded
    if decoded.shortened:
        log.warning("used, but shortened: %s: %s", path, decoded.shortened)
    samples, chosen = spread_over(path, decoded, n_frames)
    different = len(np.unique(samples.indices))
    if different < n_players and short_videos == "leave_out":
        raise VideoError(path, f"has {different} frames, fewer than the {n_players} players")
    return samples.indices[chosen]


def clip_evaluator(
    model: VideoModel,
    path: Path,
    frames: NDArray[np.int64],
    of_player: NDArray[np.int64],
    removal: Removal,
    device: torch.device,
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The value function of one video's players; see :func:`clip_values`."""
    pictures = pictures_of(path, frames)
    clip = model.prepare(torch.from_numpy(pictures).permute(0, 3, 1, 2)).to(device)
    return clip_values(model, clip, of_player, removal)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
