"""Stage: train a network for images, and measure its accuracy."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain
from pipeline.models import devices
from pipeline.studies.shapnets import image_networks as networks
from pipeline.studies.shapnets.image_data import read_images
from pipeline.studies.shapnets.params import ImageNetworksParams, ImagesParams

VERSION = 3


def main(
    *,
    image_model: str,
    images: ImagesParams,
    params: ImageNetworksParams,
    out: Path,
    numbers: Path,
    device: str = "auto",
) -> None:
    """Train the network, several times if accuracies are compared; ``out`` is the first.

    ``numbers`` (JSON) holds the accuracy of each.
    """
    read, on = read_images(images), devices.resolve(device)
    repeats = params.repeats if image_model in networks.COMPARED else 1
    accuracies = []
    for number in range(repeats):
        found = networks.trained(image_model, read, params, params.seed + number, on)
        accuracies.append(networks.accuracy(found, read))
        if number == 0:
            networks.save(out, found, image_model, networks.structure_of(read, params))
    content = {
        "image_model": image_model,
        "source": images.source,
        "parameters": sum(each.numel() for each in found.parameters()),
        "images": len(read.test.labels),
        "accuracies": accuracies,
    }
    write_json(numbers, plain(content))
