"""Names and files of image networks that rules need; this module does not load torch."""

from pathlib import Path

from pipeline.studies.shapnets.params import ImagesParams

SHAPNETS = ("plain", "l1", "l1_all", "l_infinity")
"""Shapley explanation networks, by what is added to their loss."""

IMAGE_MODELS = (*SHAPNETS, "cnn")
"""All networks for images."""

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "cifar-10-batches-bin"}
"""Where images of a source lie below its root."""


def picture_files(params: ImagesParams) -> list[str]:
    """The user's image files that stages depend on; none if images are built in or downloaded."""
    if params.root is None or params.download or params.source not in FOLDERS:
        return []
    return [str(Path(params.root, FOLDERS[params.source]))]
