"""Stage: remove the filters that matter most, for accuracy or for a class."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.neurons import removal
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.images import read_parts
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    ImagesParams,
    PlayersParams,
    RemovalParams,
)
from pipeline.studies.neurons.values import read_values

VERSION = 2


def main(
    *,
    checkpoint: Path,
    values: Path,
    images: ImagesParams,
    coalitions: CoalitionsParams,
    params: RemovalParams,
    out: Path,
    table: Path,
    players: PlayersParams | None = None,
    device: str = "auto",
) -> None:
    """Test network ``plain`` without filters on held-out images; ``out`` is JSON, ``table`` CSV."""
    parts, found = read_parts(images), read_values(values)
    filters = read_filters(checkpoint, parts["train"], coalitions, players, devices.resolve(device))
    overall = removal.overall(filters, parts, found, params)
    of_classes = removal.of_classes(filters, parts, found, params)
    layers = removal.layers_of_top(filters, found.of("accuracy")[0], params.top)
    class_layers = removal.layers_of_classes(filters, parts["ranked"], found, params)
    write_table(table, removal.COLUMNS, [*overall, *of_classes])
    content = {
        "filters": len(filters.players),
        "images": len(parts["held_out"]),
        "classes": list(parts["train"].classes),
        "top": params.top,
        "overall": overall,
        "of_classes": of_classes,
        "layers": layers,
        "class_layers": class_layers,
    }
    write_json(out, plain(content))
