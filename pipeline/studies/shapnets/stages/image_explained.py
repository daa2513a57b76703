"""Stage: test explanations of images by networks with and without regularisation."""

import json
from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.shapnets import image_explained as explained
from pipeline.studies.shapnets import image_networks as networks
from pipeline.studies.shapnets.image_data import read_images
from pipeline.studies.shapnets.params import ImageExplainedParams, ImagesParams

VERSION = 1


def main(
    *,
    checkpoints: list[Path],
    numbers: list[Path],
    images: ImagesParams,
    params: ImageExplainedParams,
    out: Path,
    table: Path,
    arrays: Path,
    device: str = "auto",
) -> None:
    """Test explanations; ``out`` is JSON, ``table`` CSV, ``arrays`` HDF5 for drawing."""
    read, on = read_images(images), devices.resolve(device)
    loaded = dict(networks.load(path) for path in checkpoints)
    shapnets = explained.shapnets_of({name: each.to(on) for name, each in loaded.items()})
    contents = [json.loads(path.read_bytes()) for path in numbers]
    content = explained.told(shapnets, read, contents, params)
    explained.write_drawn(arrays, explained.drawn(shapnets, read, params.drawn))
    write_table(table, explained.COLUMNS, explained.table_rows(content))
    write_json(out, plain(content))
