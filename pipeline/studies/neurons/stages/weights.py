"""Stage: weights of the network that tells faces from other pictures, fetched with pip."""

from pathlib import Path

from pipeline.studies.neurons.faces import write_weights
from pipeline.studies.neurons.params import FacesParams

VERSION = 1


def main(*, params: FacesParams, out: Path) -> None:
    """Write the network's checkpoint; where it cannot be had, a checkpoint that says why."""
    write_weights(params, out)
