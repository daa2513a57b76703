"""Stage: compare values, and accuracy without filters, with and without filter dropout."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.images import read_parts
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    ImagesParams,
    PlayersParams,
    RemovalParams,
)
from pipeline.studies.neurons.removal import COLUMNS
from pipeline.studies.neurons.spread import spread_of
from pipeline.studies.neurons.values import read_values

VERSION = 1

NETWORKS = ("plain", "dropout")


def main(
    *,
    checkpoints: list[Path],
    values: list[Path],
    images: ImagesParams,
    coalitions: CoalitionsParams,
    params: RemovalParams,
    out: Path,
    table: Path,
    players: PlayersParams | None = None,
    device: str = "auto",
) -> None:
    """Compare networks ``plain`` and ``dropout`` (files in this order).

    ``out`` is JSON, ``table`` CSV.
    """
    parts, on = read_parts(images), devices.resolve(device)
    networks = {}
    for name, checkpoint, known in zip(NETWORKS, checkpoints, values, strict=True):
        # Players are chosen for the plain network; the other is always a small one.
        chosen = players if name == "plain" else None
        filters = read_filters(checkpoint, parts["train"], coalitions, chosen, on)
        networks[name] = (filters, read_values(known))
    told, curves = spread_of(networks, parts["held_out"], params)
    write_table(table, COLUMNS, curves)
    write_json(out, plain({"networks": told, "curves": curves}))
