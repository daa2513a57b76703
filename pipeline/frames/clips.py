"""Pictures of clips for training: decoded when first asked for, kept while memory allows."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.decoding import VideoError, decode_many
from pipeline.datasets.something import Clip
from pipeline.errors import InputError
from pipeline.params import DecodingParams

log = logging.getLogger(__name__)

CACHE_BYTES = 2 << 30

Pictures = NDArray[np.uint8]


def clip_reader(
    clips: Sequence[Clip], decoding: DecodingParams, *, workers: int, cache_bytes: int = CACHE_BYTES
) -> tuple[Callable[[NDArray[np.int64]], dict[int, Pictures]], dict[int, VideoError]]:
    """A function that gives clips' frames, and a dictionary in which it lists what cannot be read.

    The function takes clip numbers (clip,) and returns the frames (frame, size, size, 3) of each
    that can be decoded.
    """
    cache: dict[int, Pictures] = {}
    skipped: dict[int, VideoError] = {}
    kept_bytes = 0

    def read(numbers: NDArray[np.int64]) -> dict[int, Pictures]:
        nonlocal kept_bytes
        wanted = [int(n) for n in numbers if int(n) not in skipped]
        result = {n: cache[n] for n in wanted if n in cache}
        missing = [n for n in wanted if n not in cache]
        paths: list[Path] = [clips[n].path for n in missing]
        videos = decode_many(paths, fps=decoding.fps, size=decoding.size, workers=workers)
        for number, video in zip(missing, videos, strict=True):
            if isinstance(video, VideoError):
                log.warning("left out: %s", video)
                skipped[number] = video
                continue
            result[number] = video.frames
            if kept_bytes + video.frames.nbytes <= cache_bytes:
                cache[number] = video.frames
                kept_bytes += video.frames.nbytes
        return {n: result[n] for n in wanted if n in result}

    return read, skipped


def check_skipped(skipped: int, total: int, max_skipped: float) -> None:
    """Raise InputError if more videos were left out than ``max_skipped`` (a share) allows."""
    if skipped > max_skipped * total:
        raise InputError(
            f"{skipped} of {total} videos cannot be decoded, more than the share "
            f"frames.dataset.max_skipped: {max_skipped} allows; the log names them. Mend or remove "
            "them, or raise max_skipped"
        )
