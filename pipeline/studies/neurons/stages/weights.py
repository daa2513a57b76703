"""Stage: fetch the weights of the network for faces with pip, or read the user's file."""

from pathlib import Path

from pipeline.studies.neurons.faces import write_weights
from pipeline.studies.neurons.params import FacesParams

VERSION = 1


def main(*, params: FacesParams, out: Path) -> None:
    """Write the network's checkpoint, or one that says why the weights could not be fetched."""
    write_weights(params, out)
