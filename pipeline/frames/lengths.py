"""Stage: how many frames support the class, against how many are looked at (Figs. 6b, 11b).

Exact values of the same videos with 1 … max_frames frames each. Their coalitions are streamed: kept
for every number of frames they would take a thousand times the room of what is asked of them.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.files import write_json
from pipeline.frames import sampling
from pipeline.frames.coalition_scores import Model, Score, sequences_at_once
from pipeline.frames.contributions import supporting_share
from pipeline.frames.drawing_analyses import draw_supporting
from pipeline.frames.element_shapley import element_shapley_values
from pipeline.frames.feature_files import FeatureSet, read_features
from pipeline.frames.priors import empty_score, read_priors
from pipeline.frames.summaries import mean_and_error
from pipeline.frames.trained import load_model
from pipeline.networks import devices
from pipeline.params.frames import LengthsParams
from pipeline.plotting import figure_style, save
from pipeline.progress import progress
from pipeline.stage import run
from pipeline.tables import plain, write_table

BYTES_AT_ONCE = 1 << 28
COLUMNS = ("model", "frames", "videos", "supporting_percent", "standard_error")


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: LengthsParams,
    score: str,
    out: Path,
    table: Path,
    figure: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Per cent of frames of positive value for the true class, by number of frames.

    ``out`` is JSON, ``table`` the same as CSV, ``figure`` a PNG with an SVG beside it.
    """
    target, of_class = devices.resolve(device), cast(Score, score)
    classes, counts = read_priors(priors)
    lengths = list(range(1, params.max_frames + 1))
    found: dict[str, Any] = {"frames": lengths}
    inputs = {"trn": (trn_features, scales), "tsn": (tsn_features, [tsn])}
    for name, (path, weights) in inputs.items():
        features = read_features(path, n_classes=len(classes), label=label)
        model = load_model(name, weights).to(target)
        empty = empty_score(counts, of_class).to(target)
        videos = evenly(len(features), params.clips)
        shares, of_videos = [], []
        # Twice as many frames, about four times the coalitions to walk through.
        with progress(f"frames_lengths {name}", sum(2**n for n in lengths), "steps") as advance:
            for n in lengths:
                esv = true_class_values(model, features, videos, n, empty, of_class)
                shares.append(supporting_share(esv))
                of_videos.append(100 * (esv > 0).mean(axis=1))
                advance(2**n)
        found[name] = {
            "videos": len(videos),
            "supporting_percent": [share for share, _ in shares],
            "standard_error": [error for _, error in shares],
            "falls": [_fall(of_n, of_videos[-1]) for of_n in of_videos],
        }
    with figure_style():
        save(
            draw_supporting(
                np.array(lengths),
                {
                    name: (
                        np.array(found[name]["supporting_percent"]),
                        np.array(found[name]["standard_error"]),
                    )
                    for name in inputs
                },
            ),
            figure,
        )
    rows = [
        {
            "model": name,
            "frames": n,
            "videos": found[name]["videos"],
            "supporting_percent": found[name]["supporting_percent"][i],
            "standard_error": found[name]["standard_error"][i],
        }
        for name in inputs
        for i, n in enumerate(lengths)
    ]
    write_table(table, COLUMNS, rows)
    write_json(out, plain(found))


def _fall(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, float]:
    """By how many per cent points fewer frames support the class with the most frames."""
    mean, error = mean_and_error(before - after)
    return {"difference": float(mean), "error": float(error)}


def evenly(count: int, most: int | None) -> NDArray[np.int64]:
    """Numbers of at most so many of ``count`` videos, spread evenly over all of them."""
    if most is None or most >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def true_class_values(
    model: Model,
    features: FeatureSet,
    videos: NDArray[np.int64],
    n_frames: int,
    empty: torch.Tensor,
    score: Score,
) -> NDArray[np.float64]:
    """Exact values for the true class of videos sampled at ``n_frames`` frames: (video, frame).

    Args:
        model: in evaluation mode, on the device where this is to be computed.
        features: of all videos.
        videos: (video,) numbers of those that are looked at.
        n_frames: frames a video; short videos have some of them repeated.
        empty: (class,) v(∅), in the unit of ``score``.
        score: what v is.
    """
    at_once = min(64, sequences_at_once(model, n_frames, BYTES_AT_ONCE))
    rows = []
    for start in range(0, len(videos), at_once):
        some = videos[start : start + at_once]
        frames = sampling.spread(features.lengths[some], n_frames)
        batch = torch.from_numpy(features.gather(some, frames)).to(empty.device)
        values = element_shapley_values(model, batch, empty, score)
        true = torch.from_numpy(features.labels[some]).to(values.device)
        chosen = values.gather(2, true[:, None, None].expand(-1, n_frames, 1))
        rows.append(chosen[:, :, 0].cpu().numpy())
    return np.concatenate(rows) if rows else np.empty((0, n_frames))


if __name__ == "__main__":
    run(main)
