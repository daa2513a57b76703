"""Stage: accuracy of both models against the number of frames that they are given (Fig. 10)."""

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.files import replacing, write_json
from pipeline.data.something import read_order_pairs
from pipeline.models import devices
from pipeline.studies.frames.accuracy import by_chance, by_frames, counterparts
from pipeline.studies.frames.coalition_scores import Score
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.params import AccuracyParams
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.trained import load_model

VERSION = 2


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: AccuracyParams,
    score: Score,
    out: Path,
    curve: Path,
    root: Path | None = None,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Predict every validation clip from 1 … max_frames frames spread evenly over it.

    Predicted is the class of the highest ``score``, which is what the other stages explain.
    ``out`` (JSON) becomes all of it, ``curve`` (CSV) the share of clips predicted rightly. If the
    data set below ``root`` says which pairs of classes only the order of the frames tells apart,
    ``within_pairs`` is how often such a clip's class scores above its counterpart.
    """
    target = devices.resolve(device)
    classes, _ = read_priors(priors)
    pairs = read_order_pairs(root) if root is not None else []
    counterpart = counterparts(pairs, classes)
    frames = range(1, params.max_frames + 1)
    result: dict[str, object] = {"frames": list(frames)}
    columns: dict[str, Sequence[float]] = {"frames": frames}
    for name, path, weights in (("trn", trn_features, scales), ("tsn", tsn_features, [tsn])):
        features = read_features(path, n_classes=len(classes), label=label)
        model = load_model(name, weights).to(target)
        measured = by_frames(name, model, features, counterpart, frames, score, target)
        paired = counterpart[features.labels] >= 0
        result[name] = {"clips": len(features), "clips_of_pairs": int(paired.sum()), **measured}
        columns[name] = measured["top1"]
    result["chance"] = by_chance(counterpart)
    with replacing(curve) as temporary, temporary.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    write_json(out, result)
