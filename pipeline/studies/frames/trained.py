"""The trained models, built from their checkpoints."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.models.sequences import MultiScale
from pipeline.studies.frames.coalition_scores import Model
from pipeline.studies.frames.scales import load_scale
from pipeline.studies.frames.tsn import load_averaging


def load_model(name: str, weights: Sequence[str | Path]) -> Model:
    """Load the explained model, in evaluation mode, on the CPU.

    Args:
        name: ``trn`` or ``tsn``.
        weights: checkpoints of f^1 … f^n_max in this order, or of the averaging classifier.

    Raises:
        InputError: if a checkpoint cannot be used, or checkpoints do not belong together.
    """
    paths = [Path(path) for path in weights]
    if name == "tsn":
        return load_averaging(paths[0])
    scales = [load_scale(path) for path in paths]
    for size, (scale, path) in enumerate(zip(scales, paths, strict=True), start=1):
        shape = (scale.scale, scale.second.out_features, scale.first.out_features)
        expected = (size, scales[0].second.out_features, scales[0].first.out_features)
        if shape != expected:
            raise InputError(
                f"{path}: has (scale, classes, hidden units) {shape}, expected {expected}"
            )
    return MultiScale(scales).eval()
