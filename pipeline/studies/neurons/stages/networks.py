"""Stage: train a network of the study, or load a given one."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.models import checkpoints
from pipeline.studies.neurons import networks
from pipeline.studies.neurons.images import read_parts
from pipeline.studies.neurons.params import (
    DropoutParams,
    ForeignParams,
    ImagesParams,
    PlainParams,
    TintParams,
    TrainingParams,
)

VERSION = 2


def main(
    *,
    network: str,
    images: ImagesParams,
    training: TrainingParams,
    own: PlainParams | DropoutParams | ForeignParams | TintParams,
    out: Path,
    numbers: Path,
) -> None:
    """Write the network's checkpoint, and its accuracy to ``numbers`` (JSON).

    ``own`` is the network's own section of the parameters.
    """
    parts = read_parts(images, own if isinstance(own, TintParams) else None)
    if isinstance(own, PlainParams) and own.architecture != "small":
        n_outputs = len(parts["train"].classes)
        found = networks.given(own.architecture, own.weights, n_outputs)
        described = {"kind": "given", "architecture": own.architecture, "n_outputs": n_outputs}
    else:
        dropout = own.share if isinstance(own, DropoutParams) else 0.0
        channels = own.channels if isinstance(own, ForeignParams) else training.channels
        small = networks.trained(parts["train"], training, channels, dropout)
        found, described = small, small.description()
    checkpoints.save(out, found, described)
    accuracy = {part: networks.accuracy(found, images) for part, images in parts.items()}
    write_json(numbers, {"network": network, "accuracy": accuracy})
