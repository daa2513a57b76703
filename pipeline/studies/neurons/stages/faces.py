"""Stage: value, remove and show the filters of a real network for faces."""

import logging
from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.neurons import faces, removal
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    PairsParams,
    PicturesParams,
    RemovalParams,
)
from pipeline.studies.neurons.pictures import largest_of_layers, portraits, write_portraits

VERSION = 2

log = logging.getLogger(__name__)

METRIC = "probability"
"""Metric that filters are valued for. With two classes it varies less than accuracy."""


def main(
    *,
    checkpoint: Path,
    coalitions: CoalitionsParams,
    pairs: PairsParams,
    params: RemovalParams,
    pictures: PicturesParams,
    out: Path,
    table: Path,
    portraits_of: Path,
    device: str = "auto",
) -> None:
    """Value the filters, remove some and show them.

    ``out`` is JSON, ``table`` CSV and ``portraits_of`` HDF5. If the network's weights could not be
    fetched, ``out`` says why and the other two are empty.
    """
    why = faces.left_out(checkpoint)
    if why is not None:
        log.warning("faces are left out: %s; try again by `%s`", why, faces.AGAIN)
        write_json(out, {"left_out": why, "again": faces.AGAIN})
        write_table(table, removal.COLUMNS, [])
        write_portraits(portraits_of, None)
        return
    parts = faces.read_faces()
    filters = read_filters(checkpoint, parts["ranked"], coalitions, None, devices.resolve(device))
    values = faces.values_for_faces(filters, parts["ranked"], coalitions, pairs)
    content = faces.told(filters, parts, values, params)
    write_table(table, removal.COLUMNS, content["overall"])
    chosen = largest_of_layers(filters, METRIC, *values.of(METRIC), pictures.layers)
    write_portraits(portraits_of, portraits(filters, parts["ranked"], chosen, pictures))
    write_json(out, plain(content))
