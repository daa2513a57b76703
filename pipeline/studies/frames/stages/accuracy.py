"""Stage: accuracy of both models against the number of frames that they see (Fig. 10)."""

import csv
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.files import replacing, write_json
from pipeline.data.something import read_order_pairs
from pipeline.models import devices
from pipeline.models.sequences import MultiScale
from pipeline.studies.frames.accuracy import (
    Learning,
    by_chance,
    by_frames,
    counterparts,
    jointly,
    learning,
)
from pipeline.studies.frames.coalition_scores import Score
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.params import AccuracyParams
from pipeline.studies.frames.priors import read_priors
from pipeline.studies.frames.scales import load_joint
from pipeline.studies.frames.trained import load_model

VERSION = 4

log = logging.getLogger(__name__)


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    trn_training: Path,
    tsn_training: Path,
    scales: list[Path],
    tsn: Path,
    joint: Path,
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

    The predicted class has the highest ``score``, the class score that the other stages explain.
    ``out`` (JSON) gets all results, ``curve`` (CSV) the share of clips predicted correctly. If the
    data set below ``root`` lists pairs of classes that differ only in the order of the frames,
    ``within_pairs`` is how often such a clip's class scores above its counterpart. ``lengths``
    counts the clips by their number of frames; a clip with fewer frames than requested repeats
    some.
    """
    target = devices.resolve(device)
    classes, _ = read_priors(priors)
    pairs = read_order_pairs(root) if root is not None else []
    counterpart = counterparts(pairs, classes)
    frames = range(1, params.max_frames + 1)
    result: dict[str, object] = {"frames": list(frames)}
    columns: dict[str, Sequence[float]] = {"frames": frames}
    for name, path, training, weights in (
        ("trn", trn_features, trn_training, scales),
        ("tsn", tsn_features, tsn_training, [tsn]),
    ):
        features = read_features(path, n_classes=len(classes), label=label)
        model = load_model(name, weights).to(target)
        measured = by_frames(name, model, features, counterpart, frames, score, target)
        paired = counterpart[features.labels] >= 0
        known = read_features(training, n_classes=len(classes), label=label)
        # As many frames as the scales were trained for: more take far longer and show no more.
        usual = min(params.max_frames, len(scales))
        learned = learning(model, known, features, usual, score, target)
        _tell(name, learned)
        result[name] = {
            "clips": len(features),
            "clips_of_pairs": int(paired.sum()),
            "lengths": dict(sorted(Counter(features.lengths.tolist()).items())),
            **measured,
            "learning": learned.told(),
        }
        columns[name] = measured["top1"]
        if isinstance(model, MultiScale):
            together = load_joint(joint).to(target)
            result["scales"] = jointly(model, together, features, score, target)
    result["chance"] = by_chance(counterpart)
    with replacing(curve) as temporary, temporary.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    write_json(out, result)


def _tell(name: str, found: Learning) -> None:
    told = (
        f"{name.upper()} with {found.frames} frames: {100 * found.train:.1f} % of {found.clips:,} "
        f"training clips, {100 * found.validation:.1f} % of validation clips; a linear classifier "
        f"of mean features: {100 * found.linear_train:.1f} % and "
        f"{100 * found.linear_validation:.1f} %"
    )
    if found.has_learned:
        log.info(told)
    else:
        log.warning(
            "%s. The model has learned little: raise least_steps, epochs or learning_rate in "
            "frames.%s, or look at the labels",
            told,
            "scales" if name == "trn" else "tsn",
        )
