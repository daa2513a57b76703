"""A few numbers that summarise the values of each model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.studies.frames.values import FrameValues


def summarise(values: FrameValues, intervals: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Summary of one model's values.

    Returns:
        ``videos``; ``accuracy`` of the explained predictions; ``mean_esv_by_position`` (true
        class); ``supporting_share``, the share of frames with a positive value; and
        ``highest_in_action`` if action intervals are known.
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
        ``inside``: share of videos; ``chance``: the same if the frame were drawn uniformly;
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
