"""Stage: contributions of the pixels and areas of the explained pictures to a model's score.

Integrated Gradients from usual baselines are written beside Shapley Integrated Gradients
(Algorithm 2), and values of areas beside exact ones. The coalitions that Algorithm 1 kept are
written too.
"""

from pathlib import Path

import torch

from pipeline.core.progress import progress
from pipeline.models import devices
from pipeline.store.merging import refuse_other
from pipeline.store.vouching import believing
from pipeline.studies.baselines.attribution_files import write_attributions
from pipeline.studies.baselines.attributions import attribute
from pipeline.studies.baselines.chosen import load_pictures
from pipeline.studies.baselines.explained import read_explained
from pipeline.studies.baselines.game import pictured_game
from pipeline.studies.baselines.params import AttributionsParams, PictureGameParams, PicturesParams
from pipeline.studies.baselines.sizes import other_areas

VERSION = 2


def main(
    *,
    pictured: str,
    weights: Path,
    receipt: Path,
    pictures: PicturesParams,
    coalitions: PictureGameParams,
    params: AttributionsParams,
    out: Path,
    device: str = "auto",
) -> None:
    """Write the attributions of all pictures in the store of ``receipt`` to ``out`` (HDF5).

    ``coalitions`` are the parameters with which the store was evaluated.
    """
    explained = read_explained(pictured, weights, pictures, coalitions, devices.resolve(device))
    training = torch.from_numpy(load_pictures(pictures, "train").pixels)
    game = pictured_game(explained, coalitions)
    height, width = explained.pictures.shape[2:]
    others = other_areas(height, width, pictures.area)
    total = len(explained.instances) * params.repeats
    with (
        believing(receipt) as store,
        progress(f"baselines_attributions {pictured}", total, "pictures") as advance,
    ):
        refuse_other(store, game, (0, 1), remedy="run baselines_plan with the same files")
        found = attribute(
            explained,
            store,
            training,
            params,
            source=pictures.source,
            others=others,
            advance=advance,
        )
    write_attributions(out, found)
