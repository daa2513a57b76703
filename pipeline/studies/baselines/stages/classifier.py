"""Stage: the classifier whose scores are explained, trained here or read from a file.

The small network is trained on the training pictures. torchvision's ResNets come with weights. With
ImageNet's weights the classes differ from those of other pictures, so no accuracy is reported.
"""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.models import devices
from pipeline.models import pictures as networks
from pipeline.studies.baselines import resnets
from pipeline.studies.baselines.chosen import load_both
from pipeline.studies.baselines.classifier import accuracy, classifier
from pipeline.studies.baselines.params import ClassifierParams, PictureSourceParams

VERSION = 2


def main(
    *,
    pictures: PictureSourceParams,
    params: ClassifierParams,
    out: Path,
    numbers: Path,
    device: str = "auto",
) -> None:
    """Write the classifier as the checkpoint ``out``, and its accuracy as JSON to ``numbers``."""
    target = devices.resolve(device)
    train, test = load_both(pictures)
    network = classifier(train, params)
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
        "training_accuracy": accuracy(network, train, target),
        "test_accuracy": accuracy(network, test, target),
    }
    write_json(numbers, found)
