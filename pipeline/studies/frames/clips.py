"""Pictures of clips for training: decoded at the first request, kept while memory allows."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.data.decoding import VideoError, decode_many
from pipeline.data.something import Clip
from pipeline.studies.frames.params import DecodingParams

log = logging.getLogger(__name__)

CACHE_BYTES = 2 << 30

Pictures = NDArray[np.uint8]


def clip_reader(
    clips: Sequence[Clip], decoding: DecodingParams, *, workers: int, cache_bytes: int = CACHE_BYTES
) -> Callable[[NDArray[np.int64]], dict[int, Pictures]]:
    """Return a function that reads clips' frames.

    It takes clip numbers (clip,) and returns the frames (frame, size, size, 3) of each clip that
    can be decoded. It warns once about each of the others.
    """
    cache: dict[int, Pictures] = {}
    undecodable: set[int] = set()
    kept_bytes = 0

    def read(numbers: NDArray[np.int64]) -> dict[int, Pictures]:
        nonlocal kept_bytes
        wanted = [int(n) for n in numbers if int(n) not in undecodable]
        result = {n: cache[n] for n in wanted if n in cache}
        missing = [n for n in wanted if n not in cache]
        paths = [clips[n].path for n in missing]
        videos = decode_many(
            paths,
            fps=decoding.fps,
            size=decoding.size,
            workers=workers,
            whole=decoding.shortened == "skip",
        )
        for number, video in zip(missing, videos, strict=True):
            if isinstance(video, VideoError):
                log.warning("left out: %s", video)
                undecodable.add(number)
                continue
            result[number] = video.frames
            if kept_bytes + video.frames.nbytes <= cache_bytes:
                cache[number] = video.frames
                kept_bytes += video.frames.nbytes
        return {n: result[n] for n in wanted if n in result}

    return read
