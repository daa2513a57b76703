"""Stage: remove the filters of the network ``plain`` that an adversary uses."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.neurons.attacks import read_attack
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.images import SEEN, read_parts
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    ImagesParams,
    PlayersParams,
    RemovalParams,
)
from pipeline.studies.neurons.removal import COLUMNS
from pipeline.studies.neurons.values import read_values
from pipeline.studies.neurons.vulnerable import curves, rank_correlation

VERSION = 2


def main(
    *,
    checkpoint: Path,
    attacked: Path,
    clean: Path,
    white_box: Path,
    black_box: Path,
    images: ImagesParams,
    coalitions: CoalitionsParams,
    params: RemovalParams,
    out: Path,
    table: Path,
    players: PlayersParams | None = None,
    device: str = "auto",
) -> None:
    """Remove filters by their values for success − accuracy; ``out`` is JSON, ``table`` CSV."""
    parts = read_parts(images)
    filters = read_filters(checkpoint, parts["train"], coalitions, players, devices.resolve(device))
    attacks = {
        network: {part: read_attack(path, part) for part in SEEN}
        for network, path in (("plain", white_box), ("foreign", black_box))
    }
    both = read_values(attacked), read_values(clean)
    found = curves(filters, parts, attacks, *both, params)
    write_table(table, COLUMNS, found)
    content = {
        "images": len(parts["held_out"]),
        "rank_correlation": rank_correlation(*both),
        "curves": found,
    }
    write_json(out, plain(content))
