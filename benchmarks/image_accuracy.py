"""The accuracy of an image network at the paper's sizes after each epoch, with the time it took.

``python -m benchmarks.image_accuracy --root <folder of MNIST> --epochs 5`` trains the network of
``presets/paper.yaml`` (Wang et al., 2021, App. I.3), with 2 threads by default. The paper reports
an accuracy of 0.995 after 10 epochs. The default learning rate is the paper's constant one;
``--schedule one_cycle --learning-rate 0.003`` warms up and falls to 0.
"""

import argparse
import time
from pathlib import Path

import torch
import yaml
from torch import nn

from benchmarks import measuring
from pipeline.studies.shapnets import image_networks
from pipeline.studies.shapnets.image_data import read_images
from pipeline.studies.shapnets.params import ImageNetworksParams, ImagesParams


def parameters(name: str) -> dict[str, object]:
    """A section of the study's parameters, with the paper's values."""
    found: dict[str, object] = {}
    for path in ("params.yaml", "presets/paper.yaml"):
        found |= yaml.safe_load(Path(path).read_text())["shapnets"][name]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--source", default="mnist")
    parser.add_argument("--network", default="plain")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--schedule", choices=["constant", "one_cycle"], default="constant")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    own = {"source": given.source, "root": given.root, "download": False}
    images = read_images(ImagesParams.model_validate(parameters("images") | own))
    training = {
        "epochs": given.epochs,
        "schedule": given.schedule,
        "learning_rate": given.learning_rate,
    }
    params = ImageNetworksParams.model_validate(parameters("image_networks") | training)
    print(measuring.machine(torch.device("cpu")))
    start = time.monotonic()

    def told(epoch: int, network: nn.Module) -> None:
        spent = time.monotonic() - start
        accuracy = image_networks.accuracy(network, images)
        print(f"epoch {epoch + 1}: accuracy {accuracy:.4f} after {spent / 60:.1f} min", flush=True)

    image_networks.trained(
        given.network,
        images,
        params,
        params.seed,
        torch.device("cpu"),
        threads=given.threads,
        after_epoch=told,
    )


if __name__ == "__main__":
    main()
