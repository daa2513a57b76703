"""Render the default data set in the layout of Something-Something V2.

The clips are encoded as VP9 in webm. Encoding runs forward in time, so its (faint) artefacts are
the only trace of the direction of time in a clip.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.core.files import write_json
from pipeline.core.progress import progress
from pipeline.data import moving_digits
from pipeline.data.something import VIDEOS
from pipeline.studies.frames.params import VideosParams

ENCODER = "libvpx-vp9"
CLIPS_PER_TASK = 8
# One thread and no adaptation to the machine's speed: the same frames give the same bytes.
ENCODER_OPTIONS = {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0", "threads": "1"}


@dataclass(frozen=True, slots=True)
class _Task:
    split: str
    index: int

    @property
    def id(self) -> str:
        # The splits take turns, so that a larger split leaves the ids of all others unchanged.
        splits = moving_digits.SPLITS
        return str(1 + splits.index(self.split) + len(splits) * self.index)


@dataclass(frozen=True, slots=True)
class _Written:
    task: _Task
    placeholders: tuple[str, ...]
    interval: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Writer:
    """Renders and encodes one clip, in this or another process."""

    params: VideosParams
    digits: dict[str, moving_digits.Digits]
    directory: Path

    def __call__(self, task: _Task) -> _Written:
        clip = moving_digits.render(
            moving_digits.clip_class(task.index),
            moving_digits.clip_rng(self.params.seed, task.split, task.index),
            self.digits[task.split],
            frames=self.params.frames,
            size=self.params.size,
            noise=self.params.noise,
            jitter=self.params.jitter,
        )
        encode(clip.frames, self.directory / f"{task.id}.webm", fps=self.params.fps)
        return _Written(task, clip.placeholders, clip.interval)


def write_dataset(params: VideosParams, root: Path, *, workers: int = 1) -> None:
    """Render all splits into an existing, empty directory.

    Args:
        params: numbers of clips, their length, rate, size and noise, and the seed. A clip does not
            depend on the numbers of clips.
        root: gets ``20bn-something-something-v2/<id>.webm``, ``labels/{labels,train,validation,
            test}.json``, ``labels/action_intervals.json`` and ``labels/order_pairs.json``.
        workers: number of processes; 1 works in this one.
    """
    counts = {
        "train": params.train_clips,
        "validation": params.validation_clips,
        "test": params.test_clips,
    }
    tasks = [_Task(split, index) for split, count in counts.items() for index in range(count)]
    videos, labels = root / VIDEOS, root / "labels"
    videos.mkdir()
    labels.mkdir()
    digits = {split: moving_digits.split_digits(split) for split in counts}
    writer = _Writer(params, digits, videos)
    rows: dict[str, list[dict[str, object]]] = {split: [] for split in counts}
    intervals: dict[str, tuple[int, int]] = {}
    with progress("frames_videos: rendering", len(tasks), "clips") as advance:
        for written in _write_all(writer, tasks, workers):
            rows[written.task.split].append(_row(written))
            if written.interval is not None:
                intervals[written.task.id] = written.interval
            advance()
    classes = {name: str(number) for number, name in enumerate(moving_digits.CLASSES)}
    write_json(labels / "labels.json", classes)
    for split, split_rows in rows.items():
        write_json(labels / f"{split}.json", split_rows)
    write_json(labels / "action_intervals.json", intervals)
    write_json(labels / "order_pairs.json", moving_digits.PAIRS)


def encode(frames: NDArray[np.uint8], path: Path, *, fps: int) -> None:
    """Encode frames as a VP9 video; the same frames always give the same bytes.

    Args:
        frames: (T, H, W, 3) uint8, RGB.
        path: the webm file to write.
        fps: frames per second.
    """
    # bitexact: the file holds neither a random id nor the version of the muxer.
    with av.open(path, "w", format="webm", options={"fflags": "+bitexact"}) as container:
        stream = cast(
            VideoStream, container.add_stream(ENCODER, rate=fps, options=dict(ENCODER_OPTIONS))
        )
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        reformatter = VideoReformatter()
        for pixels in frames:
            rgb = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            # By default the encoder would start threads to convert every single frame.
            container.mux(stream.encode(reformatter.reformat(rgb, format="yuv420p", threads=1)))
        container.mux(stream.encode(None))


def _row(written: _Written) -> dict[str, object]:
    if written.task.split == "test":
        return {"id": written.task.id}
    class_index = moving_digits.clip_class(written.task.index)
    return {
        "id": written.task.id,
        "label": moving_digits.caption(class_index, written.placeholders),
        "template": moving_digits.template(class_index),
        "placeholders": written.placeholders,
    }


def _write_all(writer: _Writer, tasks: list[_Task], workers: int) -> Iterator[_Written]:
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from map(writer, tasks)
        return
    # Not forked: a fork copies the locks of threads (a progress bar's) without the threads.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(writer, tasks, chunksize=CLIPS_PER_TASK)
    finally:
        pool.shutdown(cancel_futures=True)
