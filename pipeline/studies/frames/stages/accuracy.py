"""Stage: accuracy of both models against the number of frames that they are given (Fig. 10)."""

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.files import replacing, write_json
from pipeline.core.progress import progress
from pipeline.data.something import read_order_pairs
from pipeline.models import devices
from pipeline.studies.frames.accuracy import accuracies, counterparts, predict
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.params import AccuracyParams
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.trained import load_model

VERSION = 1


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: AccuracyParams,
    out: Path,
    curve: Path,
    root: Path | None = None,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Predict every validation clip from 1 … max_frames frames spread evenly over it.

    ``out`` (JSON) becomes all of it, ``curve`` (CSV) the share of clips predicted rightly. If the
    data set below ``root`` says which pairs of classes only the order of the frames tells apart,
    ``within_pairs`` is how often such a clip's class scores above its counterpart.
    """
    target = devices.resolve(device)
    classes, _ = read_priors(priors)
    pairs = read_order_pairs(root) if root is not None else []
    counterpart = counterparts(pairs, classes)
    counts_of_frames = range(1, params.max_frames + 1)
    result: dict[str, object] = {"frames": list(counts_of_frames)}
    columns: dict[str, Sequence[float]] = {"frames": counts_of_frames}
    for name, path, weights in (("trn", trn_features, scales), ("tsn", tsn_features, [tsn])):
        features = read_features(path, n_classes=len(classes), label=label)
        model = load_model(name, weights).to(target)
        measured: dict[str, list[float]] = {}
        with progress(f"frames_accuracy {name}", params.max_frames, "frame counts") as advance:
            for n_frames in counts_of_frames:
                scores = predict(model, features, n_frames, target)
                for key, value in accuracies(scores, features.labels, counterpart).items():
                    measured.setdefault(key, []).append(value)
                advance()
        paired = counterpart[features.labels] >= 0
        counts = {"clips": len(features), "clips_of_pairs": int(paired.sum())}
        result[name] = {**counts, **measured}
        columns[name] = measured["top1"]
    chance = 1 / len(classes)
    result["chance"] = {"top1": chance, "top1_pairs": chance, "top1_rest": chance}
    result["chance"] |= {"within_pairs": 0.5} if (counterpart >= 0).any() else {}  # type: ignore[operator]
    with replacing(curve) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        write_json(out, result)
