"""Videos as arrays: frames sampled at a given rate, by their timestamps."""

import errno
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast

import av
import av.error
import av.logging
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.core.errors import InputError

# What is wrong with a file is said by VideoError; libav would say it again on stderr.
av.logging.set_level(None)

LONGEST_GAP_SECONDS = 60.0
# Text formats that libav "plays" by opening other files, or by drawing the text itself.
NOT_VIDEOS = frozenset({"tty", "hls", "applehttp", "concat", "dash", "ffmetadata", "image2", "sdp"})


class VideoError(InputError):
    """A file that cannot be decoded as a video.

    Attributes:
        path: the file.
        reason: what is wrong with it, in a few words and without the path.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["VideoError"], tuple[Path, str]]:
        # Pickle would call the class with the message alone.
        return type(self), (self.path, self.reason)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedVideo:
    """Frames sampled from a video.

    Attributes:
        frames: (T, H, W, 3) uint8, RGB.
        indices: (T,) int64, the number of each in the encoded video; with repeats where frames
            are sampled more often than they were encoded.
        seconds: (T,) float64, when each is shown, counted from the first frame of the video.
    """

    frames: NDArray[np.uint8]
    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]


def decode(path: Path, *, fps: float, size: int | None) -> DecodedVideo:
    """Decode a video, sampled at ``fps`` frames a second.

    Sample k is the frame nearest to k / fps seconds after the first frame (of two equally near,
    the earlier), for all k up to the time of the last frame.

    Args:
        path: a video in any container and codec that libav can decode, whatever its suffix.
        fps: samples a second, more than 0.
        size: frames are resized to ``size`` x ``size`` pixels, bilinearly and without regard to
            their aspect ratio. None keeps the size of the first frame.

    Raises:
        VideoError: the file is missing, empty, damaged or not a video, or has no frames. A file
            that merely ends early is a shorter video.
        ValueError: ``fps`` or ``size`` is not positive and finite.
    """
    if not 0 < fps < math.inf or (size is not None and size < 1):
        raise ValueError(f"fps and size must be positive and finite, found fps={fps}, size={size}")
    with _opened(path) as container:
        return _sample(path, container, fps, size)


def decode_frames(path: Path, numbers: Iterable[int]) -> dict[int, NDArray[np.uint8]]:
    """Decode some frames of a video, at its own size.

    Args:
        path: as for :func:`decode`.
        numbers: frames as they are numbered in the file, like ``DecodedVideo.indices``.

    Returns:
        (H, W, 3) uint8, RGB, of each frame that there is.

    Raises:
        VideoError: as :func:`decode`.
    """
    wanted = set(numbers)
    found: dict[int, NDArray[np.uint8]] = {}
    with _opened(path) as container:
        convert = _converter(None)
        for index, _, frame in _timed_frames(path, container, _video_stream(path, container)):
            if index in wanted:
                found[index] = convert(frame)
            if len(found) == len(wanted):
                break
    return found


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    _refuse_unreadable(path)
    try:
        # Without the "file:" a colon in a relative path would be taken for a network protocol.
        with av.open(
            f"file:{path}",
            "r",
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        ) as container:
            yield container
    except av.error.FFmpegError as error:
        _refuse_damaged(path, error)


def decode_many(
    paths: Iterable[Path], *, fps: float, size: int | None, workers: int
) -> Iterator[DecodedVideo | VideoError]:
    """Decode many videos in ``workers`` threads, in the order of ``paths``.

    At most twice as many videos as there are workers are held ahead of the one that is asked for.

    Yields:
        What :func:`decode` returns for the path, or the VideoError that it raises.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, found {workers}")
    if workers == 1:
        for path in paths:
            yield _decoded_or_error(path, fps, size)
        return
    # Threads suffice: libav lets go of the interpreter's lock while it decodes and converts.
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    ahead: deque[Future[DecodedVideo | VideoError]] = deque()
    try:
        for path in paths:
            ahead.append(pool.submit(_decoded_or_error, path, fps, size))
            if len(ahead) >= 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded_or_error(path: Path, fps: float, size: int | None) -> DecodedVideo | VideoError:
    try:
        return decode(path, fps=fps, size=size)
    except VideoError as error:
        return error


def _refuse_unreadable(path: Path) -> None:
    try:
        length = path.stat().st_size
    except FileNotFoundError:
        raise VideoError(path, "the file does not exist") from None
    except (OSError, ValueError) as error:
        raise VideoError(path, f"the file cannot be read: {_short(error)}") from None
    if not path.is_file():
        raise VideoError(path, "not a file")
    if length == 0:
        raise VideoError(path, "the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise VideoError(path, f"the file cannot be read: {os.strerror(errno.EACCES)}")


def _refuse_damaged(path: Path, error: av.error.FFmpegError) -> NoReturn:
    reason = f"not a video, or damaged: {_short(error)}"
    raise VideoError(path, reason) from error


def _short(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()


def _sample(path: Path, container: InputContainer, fps: float, size: int | None) -> DecodedVideo:
    stream = _video_stream(path, container)
    convert = _converter(size)
    frames: list[NDArray[np.uint8]] = []
    indices: list[int] = []
    seconds: list[float] = []
    # Timestamps are rounded to ticks of the container's clock. What lies within a tick is a tie,
    # unless the clock is so coarse that a tick matters at the rate asked for.
    slack = min(float(stream.time_base or 0), 1 / (16 * fps))
    before: tuple[int, float, VideoFrame] | None = None

    def take(index: int, time: float, frame: VideoFrame, until: float) -> None:
        """Add the frame for every sample due before ``until``."""
        pixels = None
        while len(frames) / fps <= until:
            pixels = convert(frame) if pixels is None else pixels
            frames.append(pixels)
            indices.append(index)
            seconds.append(time)

    for index, time, frame in _timed_frames(path, container, stream):
        if before is not None:
            take(*before, until=(before[1] + time + slack) / 2)
        before = (index, time, frame)
    if before is None:
        raise VideoError(path, "the video has no frames")
    take(*before, until=before[1] + slack)
    return DecodedVideo(
        np.stack(frames), np.array(indices, np.int64), np.array(seconds, np.float64)
    )


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    if not NOT_VIDEOS.isdisjoint(container.format.name.split(",")):
        raise VideoError(path, f"not a video, but text ({container.format.long_name})")
    for stream in container.streams.video:
        # The cover picture of an audio file is a video stream too.
        if not stream.disposition & Disposition.attached_pic:
            # Clips are short: threads inside one cost more than they give.
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            return stream
    kinds = sorted(
        {"cover picture" if stream.type == "video" else stream.type for stream in container.streams}
    )
    raise VideoError(path, f"no video stream in it (found: {', '.join(kinds) or 'no streams'})")


def _timed_frames(
    path: Path, container: InputContainer, stream: VideoStream
) -> Iterator[tuple[int, float, VideoFrame]]:
    """Number the frames of a stream, and time them in seconds from the first one."""
    rate = stream.average_rate or stream.guessed_rate
    interval = float(1 / rate) if rate else 0.0
    start = last = 0.0
    for index, frame in enumerate(container.decode(stream)):
        time = frame.time
        if index == 0:
            start = last = time if time is not None else 0.0
        elif time is None or time < last:
            last += interval
        elif time - last > LONGEST_GAP_SECONDS:
            reason = f"its timestamps jump by {time - last:.0f} s after frame {index - 1}"
            raise VideoError(path, f"damaged: {reason}")
        else:
            last = time
        yield index, last - start, frame


def _converter(size: int | None) -> Callable[[VideoFrame], NDArray[np.uint8]]:
    """Frames to RGB arrays, all of one size; the scaler is set up once and reused."""
    shape = None if size is None else (size, size)
    reformatter = VideoReformatter()

    def convert(frame: VideoFrame) -> NDArray[np.uint8]:
        nonlocal shape
        shape = shape or (frame.height, frame.width)
        # threads=1: the default starts threads for every frame, slower than the scaling itself.
        rgb = reformatter.reformat(
            frame,
            width=shape[1],
            height=shape[0],
            format="rgb24",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        return cast(NDArray[np.uint8], rgb.to_ndarray())

    return convert
