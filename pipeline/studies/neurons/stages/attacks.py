"""Stage: make adversarial images that a network misclassifies."""

from pathlib import Path

from pipeline.models import devices
from pipeline.studies.neurons.attacks import Attack, attacked, write_attacks
from pipeline.studies.neurons.images import SEEN, Part, read_images
from pipeline.studies.neurons.networks import read_network
from pipeline.studies.neurons.params import AttackParams, ImagesParams

VERSION = 1


def main(
    *,
    deceived: str,  # noqa: ARG001  a wildcard of the rule
    checkpoint: Path,
    images: ImagesParams,
    params: AttackParams,
    out: Path,
    device: str = "auto",
) -> None:
    """Attack the ranked and the held-out images; ``out`` is HDF5."""
    network = read_network(checkpoint).to(devices.resolve(device))
    found: dict[Part, Attack] = {}
    for number, part in enumerate(SEEN):
        found[part] = attacked(network, read_images(images, part), params, number)
    write_attacks(out, found)
