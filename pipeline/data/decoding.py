"""Videos as arrays: frames sampled at a given rate, by their timestamps."""

import errno
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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

# libav's log is captured while a file is open, and never printed.
av.logging.set_level(av.logging.WARNING)

LONGEST_GAP_SECONDS = 60.0
"""Longest gap between frames or, if the file states its length, longest time beyond that length."""

MOST_BYTES = 4 << 30
"""Limit for the samples of one video."""

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
        # Pickle would call the class with only the message.
        return type(self), (self.path, self.reason)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedVideo:
    """Frames sampled from a video.

    Attributes:
        frames: (T, H, W, 3) uint8, RGB.
        indices: (T,) int64, the number of each in the encoded video; frames repeat where they are
            sampled more often than they were encoded.
        seconds: (T,) float64, time of each, counted from the first frame of the video.
        decoded: number of frames in the file that could be decoded.
        announced: number of frames according to the file; never less than ``decoded``. A file that
            was cut or damaged announces more than can be decoded.
    """

    frames: NDArray[np.uint8]
    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    decoded: int
    announced: int

    @property
    def shortened(self) -> str | None:
        """What is missing from the file, in a few words; None if nothing is."""
        if self.decoded == self.announced:
            return None
        return f"{self.decoded} of the {self.announced} frames that it announces can be decoded"


def decode(path: str | Path, *, fps: float, size: int | None, whole: bool = False) -> DecodedVideo:
    """Decode a video, sampled at ``fps`` frames a second.

    Sample k is the frame nearest to k / fps seconds after the first frame (of two equally near,
    the earlier), for all k up to the time of the last frame.

    Frames are as players show them: turned and mirrored as the file says, with square pixels.

    Args:
        path: a video in any container and codec that libav can decode, whatever its suffix.
        fps: samples a second, more than 0.
        size: frames are resized to ``size`` x ``size`` pixels, bilinearly, ignoring their aspect
            ratio. None keeps the size of the first frame.
        whole: whether a file that announces more frames than can be decoded is an error.

    Raises:
        VideoError: the file is missing, empty, damaged or not a video, has no frames, or is shown
            at an angle other than quarter turns. A file that merely ends early is a shorter video.
        ValueError: ``fps`` or ``size`` is not positive and finite.
    """
    if not 0 < fps < math.inf or (size is not None and size < 1):
        raise ValueError(f"fps and size must be positive and finite, found fps={fps}, size={size}")
    path = Path(path)
    with _opened(path) as (container, complaints):
        video = _sample(path, container, complaints, fps, size)
    if whole and video.shortened:
        raise VideoError(path, f"cut short, or damaged: {video.shortened}")
    return video


def decode_frames(
    path: str | Path, numbers: Iterable[int], *, most: int | None = None
) -> dict[int, NDArray[np.uint8]]:
    """Decode some frames of a video, at its own aspect ratio and as players show them.

    Args:
        path: as for :func:`decode`.
        numbers: frame numbers in the file, like ``DecodedVideo.indices``.
        most: pixels of the longer side; larger pictures are shrunk to it. None: the video's size.

    Returns:
        (H, W, 3) uint8, RGB, for each requested frame that exists.

    Raises:
        VideoError: as :func:`decode`.
    """
    path, wanted = Path(path), set(numbers)
    found: dict[int, NDArray[np.uint8]] = {}
    with _opened(path) as (container, _):
        stream = _video_stream(path, container)
        convert = _converter(path, stream, None, most)
        for index, _, frame in _timed_frames(path, container, stream, _Packets()):
            if index in wanted:
                found[index] = convert(frame)
            if len(found) == len(wanted):
                break
    return found


Complaints = Sequence[tuple[int, str, str]]
"""libav's log for a file: level, part and message."""


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, Complaints]]:
    _refuse_unreadable(path)
    try:
        # Without "file:", a colon in a relative path would be read as a network protocol.
        with (
            av.logging.Capture(local=True) as complaints,
            av.open(
                f"file:{path}",
                "r",
                options={"protocol_whitelist": "file"},
                metadata_errors="replace",
            ) as container,
        ):
            yield container, complaints
    except av.error.FFmpegError as error:
        _refuse_damaged(path, error)


def decode_many(
    paths: Iterable[Path], *, fps: float, size: int | None, workers: int, whole: bool = False
) -> Iterator[DecodedVideo | VideoError]:
    """Decode many videos in ``workers`` threads, in the order of ``paths``.

    Decoding runs ahead of the consumer by at most twice as many videos as there are workers.

    Yields:
        What :func:`decode` returns for the path, or the VideoError that it raises.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, found {workers}")
    if workers == 1:
        for path in paths:
            yield _decoded_or_error(path, fps, size, whole)
        return
    # Threads suffice: libav releases the interpreter's lock while it decodes and converts.
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    ahead: deque[Future[DecodedVideo | VideoError]] = deque()
    try:
        for path in paths:
            ahead.append(pool.submit(_decoded_or_error, path, fps, size, whole))
            if len(ahead) >= 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded_or_error(
    path: Path, fps: float, size: int | None, whole: bool
) -> DecodedVideo | VideoError:
    try:
        return decode(path, fps=fps, size=size, whole=whole)
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


def _sample(
    path: Path, container: InputContainer, complaints: Complaints, fps: float, size: int | None
) -> DecodedVideo:
    stream = _video_stream(path, container)
    convert = _converter(path, stream, size)
    frames: list[NDArray[np.uint8]] = []
    indices: list[int] = []
    seconds: list[float] = []
    # Timestamps are rounded to ticks of the container's clock. Differences within a tick count as a
    # tie, unless the clock is so coarse that a tick matters at the requested rate.
    slack = min(float(stream.time_base or 0), 1 / (16 * fps))
    before: tuple[int, float, VideoFrame] | None = None

    def take(index: int, time: float, frame: VideoFrame, until: float) -> None:
        """Add the frame for every sample due before ``until``."""
        pixels = None
        while len(frames) / fps <= until:
            pixels = convert(frame) if pixels is None else pixels
            if (len(frames) + 1) * pixels.nbytes > MOST_BYTES:
                raise VideoError(
                    path,
                    f"too long: with {fps:g} frames a second of {pixels.shape[1]} × "
                    f"{pixels.shape[0]} pixels, its first {len(frames) / fps:.0f} s take "
                    f"{MOST_BYTES >> 30} GiB",
                )
            frames.append(pixels)
            indices.append(index)
            seconds.append(time)

    packets = _Packets()
    for index, time, frame in _timed_frames(path, container, stream, packets):
        if before is not None:
            take(*before, until=(before[1] + time + slack) / 2)
        before = (index, time, frame)
    if before is None:
        raise VideoError(path, "the video has no frames")
    take(*before, until=before[1] + slack)
    decoded = before[0] + 1
    announced = _announced(
        container, stream, packets, decoded, before[1], is_damaged=bool(complaints)
    )
    return DecodedVideo(
        frames=np.stack(frames),
        indices=np.array(indices, np.int64),
        seconds=np.array(seconds, np.float64),
        decoded=decoded,
        announced=max(decoded, announced),
    )


@dataclass(slots=True)
class _Packets:
    """Packet counts and start time of a stream."""

    shown: int = 0
    discarded: int = 0
    """packets that an edit list leaves out"""
    start: float = 0.0
    """time of the first frame, in seconds of the container's clock"""


def _announced(
    container: InputContainer,
    stream: VideoStream,
    packets: _Packets,
    decoded: int,
    last: float,
    *,
    is_damaged: bool,
) -> int:
    """Number of frames that the file should have.

    Some containers count them. Others give their end and their frame rate: then some are missing if
    the last one comes too long before the end. If libav complained, frames may also be missing
    before the last one, so the whole length is counted.
    """
    if stream.frames:
        return max(packets.shown, stream.frames - packets.discarded)
    end, rate = _end_seconds(container, stream), float(stream.average_rate or 0)
    if end is None or not rate:
        return packets.shown
    length = end - packets.start
    if is_damaged:
        return max(packets.shown, round(length * rate))
    return max(packets.shown, decoded + round((length - last) * rate) - 1)


def _end_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """End of a stream according to its file, on the container's clock; None if it is unknown."""
    if stream.duration is not None and stream.time_base is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    told = stream.metadata.get("DURATION", "").split(":")
    if len(told) == 3 and all(part.replace(".", "", 1).isdigit() for part in told):
        hours, minutes, seconds = map(float, told)
        return 3600 * hours + 60 * minutes + seconds
    others = [each for each in container.streams if each.index != stream.index]
    if container.duration is None or others:
        return None
    return ((container.start_time or 0) + container.duration) / 1e6


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    if not NOT_VIDEOS.isdisjoint(container.format.name.split(",")):
        raise VideoError(path, f"not a video, but text ({container.format.long_name})")
    for stream in container.streams.video:
        # The cover picture of an audio file is a video stream too.
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise VideoError(path, "its codec is unknown, or it is damaged")
            # Clips are short: threads within one clip cost more than they gain.
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            return stream
    kinds = sorted(
        {"cover picture" if stream.type == "video" else stream.type for stream in container.streams}
    )
    raise VideoError(path, f"no video stream in it (found: {', '.join(kinds) or 'no streams'})")


def _timed_frames(
    path: Path, container: InputContainer, stream: VideoStream, packets: _Packets
) -> Iterator[tuple[int, float, VideoFrame]]:
    """Number the frames of a stream, and time them in seconds from the first one."""
    rate = stream.average_rate or stream.guessed_rate
    interval = float(1 / rate) if rate else 0.0
    end = _end_seconds(container, stream) or 0.0
    start = last = 0.0
    for index, frame in enumerate(_frames(container, stream, packets)):
        time = frame.time
        if index == 0:
            start = last = packets.start = time if time is not None else 0.0
        elif time is None or time < last:
            last += interval
        elif time - max(last, end) > LONGEST_GAP_SECONDS:
            reason = f"its timestamps jump by {time - last:.0f} s after frame {index - 1}"
            told = f", although it states an end at {end - start:.0f} s" if end else ""
            raise VideoError(path, f"damaged: {reason}{told}")
        else:
            last = time
        yield index, last - start, frame


def _frames(
    container: InputContainer, stream: VideoStream, packets: _Packets
) -> Iterator[VideoFrame]:
    for packet in container.demux(stream):
        if packet.size:
            packets.shown += not packet.is_discard
            packets.discarded += packet.is_discard
        yield from packet.decode()


def _converter(
    path: Path, stream: VideoStream, size: int | None, most: int | None = None
) -> Callable[[VideoFrame], NDArray[np.uint8]]:
    """A converter of frames to displayed RGB arrays, all of one size; it reuses the scaler."""
    shape = None if size is None else (size, size)
    reformatter = VideoReformatter()

    def convert(frame: VideoFrame) -> NDArray[np.uint8]:
        nonlocal shape
        if shape is None:
            width = float(frame.width * (stream.sample_aspect_ratio or 1))
            shrink = min(1.0, most / max(width, frame.height)) if most else 1.0
            shape = (max(1, round(frame.height * shrink)), max(1, round(width * shrink)))
        # threads=1: the default starts threads for every frame, which is slower than the scaling.
        rgb = reformatter.reformat(
            frame,
            width=shape[1],
            height=shape[0],
            format="rgb24",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        return _turned(path, frame, cast(NDArray[np.uint8], rgb.to_ndarray()))

    return convert


def _turned(path: Path, frame: VideoFrame, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn and mirror pixels according to the frame's display matrix, in quarter turns.

    The matrix maps a pixel's position (column x, row y) to (a x + c y, b x + d y).
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(cast(bytes, matrix), np.int32)[:5].astype(float)
    kept, swapped = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(kept, swapped) > 0.01 * max(kept, swapped):
        reason = f"its display is turned by {frame.rotation}°; only quarter turns are supported"
        raise VideoError(path, reason)
    if swapped > kept:
        pixels, x, y = pixels.swapaxes(0, 1), c, b
    else:
        x, y = a, d
    return np.ascontiguousarray(pixels[:: -1 if y < 0 else 1, :: -1 if x < 0 else 1])
