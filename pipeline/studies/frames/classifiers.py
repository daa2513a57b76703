"""Training of classifiers of feature sequences, shared by ``scales`` and ``tsn``."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models import devices
from pipeline.models.training import fit
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.feature_rows import StoredRows
from pipeline.studies.frames.params import ScaleParams, TsnParams

Choose = Callable[[NDArray[np.int64], np.random.Generator], NDArray[np.int64]]
"""Chooses frames (video, frame) of videos of the given lengths (video,)."""


def train_classifier(
    network: nn.Module,
    features: FeatureSet,
    choose: Choose,
    *,
    params: ScaleParams | TsnParams,
    seed: Sequence[int],
    description: str,
    device: str,
) -> None:
    """Train a network (batch, frame, feature_dim) → logits in place; it is left on the device.

    Args:
        network: the network to train.
        features: of the training clips.
        choose: chooses the frames of each clip; each call draws other frames.
        params: batch, draws, epochs, learning_rate and least_steps; epochs are added until there
            are least_steps steps.
        seed: of the order and the frames; the caller initialises the weights.
        description: text of the progress bar.
        device: a parameter's device.
    """
    target = devices.resolve(device)
    network.to(target)
    # Rows of a large file stay there; the batches are the same.
    stored = isinstance(features.rows, StoredRows)
    rows = None if stored else torch.from_numpy(features.rows).to(target)
    labels = torch.from_numpy(features.labels).to(target)
    n_steps = -(-len(features) * params.draws // params.batch)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([*seed, epoch])
        order = rng.permutation(np.repeat(np.arange(len(features)), params.draws))
        frames = choose(features.lengths[order], rng)
        first = features.starts[order][:, None]
        index = None if rows is None else torch.from_numpy(first + frames).to(target)
        videos = torch.from_numpy(order).to(target)
        for start in range(0, len(order), params.batch):
            chosen = slice(start, start + params.batch)
            if rows is not None and index is not None:
                some = rows[index[chosen]]
            else:
                some = torch.from_numpy(features.gather(order[chosen], frames[chosen])).to(target)
            yield some, labels[videos[chosen]]

    fit(
        network,
        lambda batch: functional.cross_entropy(network(batch[0]), batch[1]),
        batches,
        epochs=max(params.epochs, -(-params.least_steps // n_steps)),
        batches_per_epoch=n_steps,
        learning_rate=params.learning_rate,
        description=description,
    )
