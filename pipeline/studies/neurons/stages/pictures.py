"""Stage: make pictures of the filters that matter most for accuracy and for single classes."""

from pathlib import Path

from pipeline.models import devices
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.images import read_parts
from pipeline.studies.neurons.metrics import recall_of
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    ImagesParams,
    PicturesParams,
    PlayersParams,
    RemovalParams,
)
from pipeline.studies.neurons.pictures import (
    largest,
    largest_of_layers,
    portraits,
    write_portraits,
)
from pipeline.studies.neurons.removal import left_out_of_classes
from pipeline.studies.neurons.values import read_values

VERSION = 1


def main(
    *,
    checkpoint: Path,
    values: Path,
    images: ImagesParams,
    coalitions: CoalitionsParams,
    removal: RemovalParams,
    params: PicturesParams,
    out: Path,
    players: PlayersParams | None = None,
    device: str = "auto",
) -> None:
    """Find images and make dreams for filters of network ``plain``; ``out`` is HDF5."""
    parts, found = read_parts(images), read_values(values)
    filters = read_filters(checkpoint, parts["train"], coalitions, players, devices.resolve(device))
    ranked = parts["ranked"]
    chosen = largest_of_layers(filters, "accuracy", *found.of("accuracy"), params.layers)
    left_out = left_out_of_classes(found, removal)
    for number in range(min(removal.classes, len(ranked.classes))):
        name = recall_of(ranked, number).name
        chosen += largest(name, *found.of(name), params.of_class, left_out)
    write_portraits(out, portraits(filters, ranked, chosen, params))
