"""The classifier whose scores are explained, trained here or read from a file.

The small network is trained on the training pictures. torchvision's ResNets come with weights. With
ImageNet's weights the classes differ from those of other pictures, so no accuracy is reported.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.data.pictures import Pictures
from pipeline.models import pictures as networks
from pipeline.studies.baselines import resnets
from pipeline.studies.baselines.params import ClassifierParams
from pipeline.studies.baselines.picture_networks import fit_channels, outputs_of


def classifier(
    train: Pictures, params: ClassifierParams
) -> resnets.Resnet | networks.Convolutional:
    """The classifier that the parameters select: trained on ``train``, or read from a file.

    Raises InputError if a file's network does not fit the pictures or their classes.
    """
    if params.architecture != "small":
        assert params.weights is not None
        resnet = resnets.given(params.architecture, params.weights)
        if params.weights != resnets.IMAGENET:
            _fit_classes(resnet.n_outputs, train, params.weights)
        return resnet
    if params.weights is None:
        return networks.train_classifier(
            train.pixels,
            train.labels,
            len(train.classes),
            epochs=params.epochs,
            batch_size=params.batch,
            learning_rate=params.learning_rate,
            width=params.width,
            hidden=params.hidden,
            seed=params.seed,
        )
    path = Path(params.weights)
    network = networks.load(path, networks.PictureClassifier)
    fit_channels(network, train, path)
    _fit_classes(network.description()["n_outputs"], train, params.weights)
    return network


def _fit_classes(found: int, pictures: Pictures, source: str) -> None:
    if found != len(pictures.classes):
        raise InputError(
            f"{source}: has {found} classes; these pictures have {len(pictures.classes)}. Set "
            "baselines.classifier.weights to a checkpoint made for these classes"
        )


def accuracy(network: nn.Module, pictures: Pictures, device: torch.device) -> float | None:
    """Share of pictures whose own class has the highest score; None if classes differ."""
    scores = outputs_of(network, torch.from_numpy(pictures.pixels).to(device)).cpu().numpy()
    if scores.shape[1] != len(pictures.classes):
        return None
    return float(np.mean(scores.argmax(axis=1) == pictures.labels))
