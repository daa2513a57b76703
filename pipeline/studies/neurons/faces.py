"""A real network, MTCNN's RNet, and real pictures with and without a face.

Its weights come from a wheel of facenet-pytorch (Tim Esler, MIT licence); only the file of weights
is read. If the wheel cannot be fetched, faces are left out.
"""

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.data.faces import faces
from pipeline.data.wheels import WheelFile, fetch
from pipeline.models import checkpoints
from pipeline.models.rnet import SIDE, RNet
from pipeline.studies.neurons import removal
from pipeline.studies.neurons.filters import Filters
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.metrics import metrics_of
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    FacesParams,
    PairsParams,
    RemovalParams,
)
from pipeline.studies.neurons.rounds import Round, coalitions_in
from pipeline.studies.neurons.values import Values, values_of

log = logging.getLogger(__name__)

WEIGHTS = WheelFile(
    requirement="facenet-pytorch==2.5.3",
    sha256="b8002c3ee7a3af471c433cbda1fdcab9ae2d46a4aac43435ba08259c45ffc884",
    member="facenet_pytorch/data/rnet.pt",
)

AGAIN = "snakemake --cores all --forcerun neurons_weights"
"""Command that tries to fetch the weights again."""


def write_weights(params: FacesParams, path: Path, wheel: WheelFile = WEIGHTS) -> None:
    """Write RNet's checkpoint, from a file of its weights or from the wheel.

    If the wheel cannot be fetched, write a checkpoint without a network that says why.

    Raises:
        InputError: weights that do not fit.
    """
    network = RNet()
    if params.weights != "fetch":
        source = Path(params.weights)
        checkpoints.fill(network, checkpoints.load(source)[1], source)
    else:
        try:
            content = fetch(wheel)
        except InputError as error:
            log.warning("faces are left out: %s; try again by `%s`", error, AGAIN)
            checkpoints.save(path, nn.Identity(), {"kind": "left out", "reason": str(error)})
            return
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        checkpoints.fill(network, state, Path(wheel.member))
    architecture = f"{RNet.__module__}:{RNet.__name__}"
    checkpoints.save(path, network, {"kind": "given", "architecture": architecture, "n_outputs": 2})


def left_out(checkpoint: Path) -> str | None:
    """Why there is no network in the checkpoint, or None if there is one."""
    description, _ = checkpoints.load(checkpoint)
    return str(description["reason"]) if description.get("kind") == "left out" else None


def read_faces() -> dict[str, Images]:
    """Images to value filters on and images to report removals on, taken in turn."""
    found = faces(SIDE)
    every = Images(found.pixels, found.labels, found.classes, np.zeros(len(found.labels), bool))
    return {"ranked": every[0::2], "held_out": every[1::2]}


def values_for_faces(
    filters: Filters, ranked: Images, coalitions: CoalitionsParams, pairs: PairsParams
) -> Values:
    """Neuron Shapley values of all filters for every metric, from pairs of coalitions."""
    n, places = len(filters.players), np.arange(len(ranked))
    rounds = [Round(f"round {number}", places, number) for number in range(pairs.rounds)]
    masks = np.stack([coalitions_in(each, n, coalitions, pairs) for each in rounds], axis=1)
    shown = np.repeat(places, masks.shape[1] * masks.shape[2])
    said = filters.say(ranked, None, shown, masks.reshape(-1, n))
    table = said.reshape(*masks.shape[:3], -1)
    return values_of(masks, table, filters.players, metrics_of("faces", ranked), None)


def told(
    filters: Filters, parts: Mapping[str, Images], values: Values, params: RemovalParams
) -> dict[str, Any]:
    """Results on held-out images without the filters of largest values, for JSON."""
    return {
        "left_out": None,
        "filters": len(filters.players),
        "images": len(parts["held_out"]),
        "classes": list(parts["ranked"].classes),
        "evaluations": values.evaluations,
        "top": params.top,
        "overall": removal.overall(filters, parts, values, params),
        "layers": removal.layers_of_top(filters, values.of("probability")[0], params.top),
    }
