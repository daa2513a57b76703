"""Stage: what people look at: some videos with their values, the accuracy curve, a summary."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.plotting import MODEL_NAMES
from pipeline.data.decoding import VideoError, decode_frames
from pipeline.data.something import VIDEOS
from pipeline.studies.frames.figures import values as drawing
from pipeline.studies.frames.figures.values import ExplainedClass
from pipeline.studies.frames.values import IN_FEATURES, IN_VIDEO, FrameValues

log = logging.getLogger(__name__)


def choose(values: FrameValues, count: int) -> list[int]:
    """Videos to draw: the first of each class in turn, and of the wrongly predicted the first."""
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


def summarise(values: FrameValues, intervals: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Figures of one model that the default data can answer.

    Returns:
        ``videos``; ``accuracy`` of the explained predictions; ``mean_esv_by_position`` (true
        class); ``supporting_share``, of frames with a positive value; and, where action intervals
        are known, ``highest_in_action``.
    """
    result: dict[str, Any] = {
        "videos": len(values.uids),
        "accuracy": float((values.true_class == values.predicted_class).mean()),
        "mean_esv_by_position": values.esv_true.mean(axis=0).tolist(),
        "supporting_share": float((values.esv_true > 0).mean()),
    }
    known = [i for i, uid in enumerate(values.uids) if uid in intervals]
    if known:
        bounds = np.array([intervals[values.uids[i]] for i in known])
        inside = inside_interval(values.frames[known], bounds)
        result["highest_in_action"] = highest_inside(values.esv_true[known], inside)
    return result


def inside_interval(frames: NDArray[Any], bounds: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether frames (video, frame) lie in their video's interval (video, 2), ends included."""
    return (frames >= bounds[:, :1]) & (frames <= bounds[:, 1:])


def highest_inside(esv: NDArray[Any], inside: NDArray[np.bool_]) -> dict[str, float]:
    """How often the frame of highest value is one of those inside.

    Args:
        esv: (video, frame).
        inside: (video, frame).

    Returns:
        ``inside``: share of videos; ``chance``: the same if the frame were drawn evenly;
        ``standard_error`` of ``inside``; ``videos``.
    """
    hits = np.take_along_axis(inside, esv.argmax(axis=1)[:, None], axis=1)[:, 0]
    share = hits.mean()
    return {
        "inside": float(share),
        "chance": float(inside.mean()),
        "standard_error": float(np.sqrt(share * (1 - share) / len(hits))),
        "videos": len(hits),
    }


def draw_clip(
    uid: str,
    values: Mapping[str, FrameValues],
    classes: tuple[str, ...],
    intervals: Mapping[str, tuple[int, int]],
    root: Path | None,
    unit: str,
) -> Any:
    rows = []
    first = values["trn"]
    frames = first.frames[first.uids.index(uid)]
    for name, of_model in values.items():
        if uid not in of_model.uids:
            continue
        i = of_model.uids.index(uid)
        if not np.array_equal(of_model.frames[i], frames):
            log.warning("video %s: %s looks at other frames and is left out", uid, name)
            continue
        true, predicted = int(of_model.true_class[i]), int(of_model.predicted_class[i])
        which = "true and predicted class" if true == predicted else "true class"
        shown = [(which, true, of_model.whole_true[i], of_model.esv_true[i])]
        if true != predicted:
            whole, esv = of_model.whole_predicted[i], of_model.esv_predicted[i]
            shown.append(("predicted class", predicted, whole, esv))
        for what, number, score, esv in shown:
            model = MODEL_NAMES[name]
            title = f"{model}, {what}: {classes[number]} ({model} gives it {score:.2f})"
            rows.append(ExplainedClass(title, esv))
    true_name = classes[int(first.true_class[first.uids.index(uid)])]
    pictures = None
    if root is not None:
        pictures = frame_pictures(root / VIDEOS / f"{uid}.webm", frames)
    inside = None
    if uid in intervals:
        inside = inside_interval(frames[None], np.array([intervals[uid]]))[0]
    title = f"Video {uid}: {true_name}"
    return drawing.draw_video(
        title,
        pictures,
        frames,
        rows,
        inside_action=inside,
        unit=unit,
        frames_are=IN_VIDEO if first.frames_are_numbered else IN_FEATURES,
    )


def frame_pictures(path: Path, frames: NDArray[Any]) -> list[NDArray[np.uint8]] | None:
    """Pictures of some frames of a video file, at their own size; None if it cannot be decoded."""
    try:
        pictures = decode_frames(path, frames.tolist())
    except VideoError as error:
        log.warning("drawn without pictures: %s", error)
        return None
    if not set(frames.tolist()) <= pictures.keys():
        raise InputError(f"{path}: has no frames {frames.tolist()}; its features are of another")
    return [pictures[number] for number in frames.tolist()]
