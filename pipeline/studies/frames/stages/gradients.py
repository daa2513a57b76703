"""Stage: attributions of the frames by gradients: Integrated Gradients and GradCAM.

They belong to the same sequences of frames whose coalitions are in the store, for the true and the
predicted class. Element Shapley Values are compared with them.
"""

from pathlib import Path

import numpy as np
import torch

from pipeline.models import devices
from pipeline.models.gradients import baseline_features
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.feature_rows import StoredRows
from pipeline.studies.frames.gradients import attributions, write_gradients
from pipeline.studies.frames.params import GameParams, GradientsParams
from pipeline.studies.frames.players import long_enough, predict, read_setting, sample_players
from pipeline.studies.frames.whole_model import WholeModel

VERSION = 2


def main(
    *,
    model: str,
    features: Path,
    train_features: Path,
    weights: list[Path],
    priors: Path,
    game: GameParams,
    params: GradientsParams,
    out: Path,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Attributions of every frame of every video that the store lists; ``out`` is HDF5.

    ``train_features`` supply the mean that may serve as the baseline.
    """
    target, score = devices.resolve(device), game.score
    setting = read_setting(model, features, weights, priors, score, label=label, device=target)
    videos = long_enough(setting.features, game.n, game.short_videos, "frames.coalitions.n")
    players = sample_players(setting.features, videos[: game.clips], game.n)
    predicted = predict(setting.network, players.inputs, score, target)
    classes = np.stack([players.labels, predicted], axis=1)
    # The training features are large: read them only if the baseline needs them.
    known = players.inputs[:1][:, 0]
    if params.baseline == "mean":
        training = read_features(train_features, label=label)
        # The mean of the mean is the mean.
        if isinstance(training.rows, StoredRows):
            known = training.mean()[None].astype(np.float32)
        else:
            known = training.rows
    baseline = baseline_features(params.baseline, torch.from_numpy(known)).to(target)
    module = WholeModel(setting.network, score).eval()
    found = attributions(
        module,
        players.inputs,
        classes,
        baseline,
        params.steps,
        description=f"frames_gradients {model}",
    )
    write_gradients(out, players.instances, classes, found, params)
