"""Stage: the classifier whose scores are explained: trained here, or taken from a file.

The small network is trained on the training pictures. torchvision's ResNets come with weights; of
those for ImageNet the classes are not those of other pictures, and no accuracy is given.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.baselines import resnets
from pipeline.baselines.explained import fit_channels, load_both, outputs_of
from pipeline.datasets.pictures import Pictures
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.networks import devices
from pipeline.networks import pictures as networks
from pipeline.params.baselines import ClassifierParams, PictureSourceParams
from pipeline.stage import run


def main(
    *,
    pictures: PictureSourceParams,
    params: ClassifierParams,
    out: Path,
    numbers: Path,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Write the classifier as the checkpoint ``out``, and its accuracy as JSON to ``numbers``."""
    target = devices.resolve(device)
    train, test = load_both(pictures)
    network = _classifier(train, params)
    if isinstance(network, resnets.Resnet):
        resnets.save(out, network)
    else:
        networks.save(out, network, {"classes": list(train.classes)})
    network.to(target)
    found = {
        "architecture": params.architecture,
        "weights": params.weights,
        "classes": len(train.classes),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "training_pictures": len(train.labels),
        "test_pictures": len(test.labels),
        "training_accuracy": _accuracy(network, train, target),
        "test_accuracy": _accuracy(network, test, target),
    }
    write_json(numbers, found)


def _classifier(
    train: Pictures, params: ClassifierParams
) -> resnets.Resnet | networks.Convolutional:
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
            f"{source}: tells {found} classes apart; these pictures are of "
            f"{len(pictures.classes)}. Give as baselines.classifier.weights a checkpoint that was "
            "made for them"
        )


def _accuracy(network: nn.Module, pictures: Pictures, device: torch.device) -> float | None:
    """Share of pictures whose highest score is that of their class; None if classes differ."""
    scores = outputs_of(network, torch.from_numpy(pictures.pixels).to(device)).cpu().numpy()
    if scores.shape[1] != len(pictures.classes):
        return None
    return float(np.mean(scores.argmax(axis=1) == pictures.labels))


if __name__ == "__main__":
    run(main)
