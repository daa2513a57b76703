"""Draw videos with their values."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipeline.core.digits import signed, significant
from pipeline.core.errors import InputError
from pipeline.core.plotting import GREEN, LOWERS, RAISES, drawable, model_name
from pipeline.data.decoding import VideoError, decode_frames
from pipeline.data.something import video_files, video_of
from pipeline.studies.frames.summary import inside_interval
from pipeline.studies.frames.values import IN_FEATURES, IN_VIDEO, MEANINGS, FrameValues

log = logging.getLogger(__name__)

MOST_PIXELS = 320
"""The most pixels of a frame's longer side, which takes one or two inches in a figure."""

MOST_NUMBERED = 20
"""The most bars with their numbers written at their ends."""


@dataclass(frozen=True)
class ExplainedClass:
    """Values of a video's frames for one class of one model."""

    title: str
    """the class and the model's score of it, in words"""
    values: NDArray[np.floating]
    """(frame,) Element Shapley Values"""


def draw_video(
    title: str,
    pictures: Sequence[NDArray[np.uint8]] | None,
    frame_numbers: NDArray[np.integer],
    rows: Sequence[ExplainedClass],
    *,
    inside_action: NDArray[np.bool_] | None = None,
    unit: str = "probability",
    frames_are: str = "numbers in the video file",
) -> Figure:
    """A video's frames with bars under them: one row of bars per model and class.

    Args:
        title: names the video.
        pictures: (height, width, 3) uint8 of each frame; None if there is no video.
        frame_numbers: (frame,) numbers of the frames.
        rows: drawn below the frames, all on one scale.
        inside_action: (frame,) whether the frame lies inside the action; marked if given.
        unit: of the class score.
        frames_are: what ``frame_numbers`` are.
    """
    n = len(frame_numbers)
    width = max(6.0, min(16.0, 1.15 * n + 1.2))
    heights = [1.35] * len(rows)
    if pictures is not None:
        # A fifth more, for the titles and labels of the bars.
        heights = [1.2 * (width - 0.9) / n * _aspect(pictures[0]), *heights]
    figure = plt.figure(figsize=(width, sum(heights) + 1.0))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    # File names may contain dollar signs, which would be read as formulas.
    figure.suptitle(
        drawable(title), x=0.01, ha="left", fontsize=12, fontweight="bold", parse_math=False
    )
    if pictures is not None:
        _draw_pictures(figure.add_subplot(grid[0]), pictures, inside_action)
    limits = _common_limits([row.values for row in rows])
    for index, row in enumerate(rows, start=len(heights) - len(rows)):
        axes = figure.add_subplot(grid[index])
        is_last = index == len(heights) - 1
        _draw_bars(axes, row, frame_numbers, limits, unit, f"frames ({frames_are})" * is_last)
    return figure


def _common_limits(values: Sequence[NDArray[np.floating]]) -> tuple[float, float]:
    """Limits that enclose all bars and the numbers at their ends."""
    lowest = min(0.0, *(float(v.min()) for v in values))
    highest = max(0.0, *(float(v.max()) for v in values))
    room = 0.3 * ((highest - lowest) or 1.0)
    return (lowest - room if lowest < 0 else 0.0), highest + room


def _draw_pictures(
    axes: Axes, pictures: Sequence[NDArray[np.uint8]], inside_action: NDArray[np.bool_] | None
) -> None:
    half, aspect = 0.47, _aspect(pictures[0])
    top = half * aspect
    for i, picture in enumerate(pictures):
        axes.imshow(picture, extent=(i - half, i + half, -top, top))
        if inside_action is not None and inside_action[i]:
            corner, sides = (i - half, -top), (2 * half, 2 * top)
            axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=GREEN, lw=3))
    axes.set(xlim=(-0.5, len(pictures) - 0.5), ylim=(-0.5 * aspect, 0.5 * aspect))
    axes.axis("off")
    if inside_action is not None and inside_action.any():
        axes.set_title("green outline: inside the action", fontsize=9, weight="normal")


def _aspect(picture: NDArray[np.uint8]) -> float:
    return picture.shape[0] / picture.shape[1]


def _draw_bars(
    axes: Axes,
    row: ExplainedClass,
    frame_numbers: NDArray[np.integer],
    limits: tuple[float, float],
    unit: str,
    label: str,
) -> None:
    n = len(row.values)
    colours = [RAISES if value > 0 else LOWERS for value in row.values]
    axes.bar(range(n), row.values, color=colours, width=0.7)
    axes.axhline(0, color="black", lw=0.8)
    if n <= MOST_NUMBERED:
        for i, value in enumerate(row.values):
            offset, place = (3, "bottom") if value >= 0 else (-3, "top")
            axes.annotate(
                signed(value, max(map(abs, limits))).replace("-", "\N{MINUS SIGN}"),
                (i, value),
                (0, offset),
                textcoords="offset points",
                ha="center",
                va=place,
                fontsize=8,
            )
    axes.set(xlim=(-0.5, n - 0.5), ylim=limits)
    axes.set_title(row.title, fontsize=10, weight="normal", parse_math=False)
    axes.set_ylabel(f"ESV\n({unit})", fontsize=9)
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(n), [str(number) for number in frame_numbers] if label else [])
    axes.set_xlabel(label)


def choose(values: FrameValues, count: int) -> list[int]:
    """Choose videos to draw: the first misclassified one, then the first of each class in turn."""
    wrong = np.flatnonzero(values.true_class != values.predicted_class)
    chosen: list[int] = [int(wrong[0])] if len(wrong) else []
    for repeat in range(len(values.uids)):
        seen = dict.fromkeys(int(c) for c in values.true_class[chosen]) if repeat == 0 else {}
        for video in range(len(values.uids)):
            if len(chosen) >= min(count, len(values.uids)):
                return sorted(chosen)
            if video not in chosen and int(values.true_class[video]) not in seen:
                seen[int(values.true_class[video])] = None
                chosen.append(video)
    return sorted(chosen)


def draw_clip(
    uid: str,
    values: Mapping[str, FrameValues],
    classes: tuple[str, ...],
    intervals: Mapping[str, tuple[int, int]],
    root: Path | None,
    unit: str,
) -> Figure:
    """A video of the study with its values.

    Args:
        uid: the video's id.
        values: of each model; a model without the video, or with other frames of it, is left out.
        classes: names.
        intervals: first and last frame of videos' actions, where known.
        root: the data set of the video; None: no pictures are drawn.
        unit: of the class score.
    """
    first = next(iter(values.values()))
    frames = first.frames[first.uids.index(uid)]
    rows = _explained(uid, values, classes, frames)
    true_name = classes[int(first.true_class[first.uids.index(uid)])]
    pictures = None
    if root is not None:
        pictures = frame_pictures(video_of(uid, root, video_files(root)), frames)
    inside = None
    if uid in intervals:
        inside = inside_interval(frames[None], np.array([intervals[uid]]))[0]
    title = f"Video {uid}: {true_name}" if first.explained == "true class" else f"Video {uid}"
    return draw_video(
        title,
        pictures,
        frames,
        rows,
        inside_action=inside,
        unit=unit,
        frames_are=MEANINGS[IN_VIDEO if first.frames_are_numbered else IN_FEATURES],
    )


def _explained(
    uid: str,
    values: Mapping[str, FrameValues],
    classes: tuple[str, ...],
    frames: NDArray[np.integer],
) -> list[ExplainedClass]:
    """Values of a video's frames for the true class, and for the predicted one if it differs."""
    rows = []
    for name, of_model in values.items():
        if uid not in of_model.uids:
            continue
        i = of_model.uids.index(uid)
        if not np.array_equal(of_model.frames[i], frames):
            log.warning("video %s: %s looks at other frames and is left out", uid, name)
            continue
        true, predicted = int(of_model.true_class[i]), int(of_model.predicted_class[i])
        which = "true and predicted class" if true == predicted else "true class"
        which = which if of_model.explained == "true class" else "predicted class"
        shown = [(which, true, of_model.whole_true[i], of_model.esv_true[i])]
        if true != predicted:
            whole, esv = of_model.whole_predicted[i], of_model.esv_predicted[i]
            shown.append(("predicted class", predicted, whole, esv))
        for what, number, score, esv in shown:
            model = model_name(name)
            title = f"{model}, {what}: {classes[number]} (score {significant(score)})"
            rows.append(ExplainedClass(title, esv))
    return rows


def frame_pictures(path: Path, frames: NDArray[Any]) -> list[NDArray[np.uint8]] | None:
    """Pictures of some frames of a video file, no larger than drawn; None if decoding fails."""
    try:
        pictures = decode_frames(path, frames.tolist(), most=MOST_PIXELS)
    except VideoError as error:
        log.warning("drawn without pictures: %s", error)
        return None
    if not set(frames.tolist()) <= pictures.keys():
        raise InputError(
            f"{path}: lacks some of the frames {frames.tolist()}; its "
            "features belong to another file"
        )
    return [pictures[number] for number in frames.tolist()]
