"""Stage: repair the network ``tinted`` by removing filters."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.images import read_parts
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    ImagesParams,
    RemovalParams,
    TintParams,
)
from pipeline.studies.neurons.removal import COLUMNS
from pipeline.studies.neurons.repair import repaired
from pipeline.studies.neurons.values import read_values

VERSION = 2


def main(
    *,
    checkpoint: Path,
    values: Path,
    images: ImagesParams,
    tint: TintParams,
    coalitions: CoalitionsParams,
    params: RemovalParams,
    out: Path,
    table: Path,
    device: str = "auto",
) -> None:
    """Remove the filters of most negative values; ``out`` is JSON, ``table`` CSV."""
    parts = read_parts(images, tint)
    filters = read_filters(checkpoint, parts["train"], coalitions, None, devices.resolve(device))
    curves, chosen = repaired(filters, parts, read_values(values), params)
    write_table(table, COLUMNS, curves)
    half = len(parts["held_out"]) - len(parts["held_out"]) // 2
    write_json(
        out, plain({"images": half, "share": tint.share, "chosen": chosen, "curves": curves})
    )
