"""Stage: the embedding in which distances are explained, trained here by triplets or given.

The embedding of a torchvision ResNet is the input of its last layer, scaled to length 1.
"""

from pathlib import Path

import torch
from torch import nn

from pipeline.core.files import write_json
from pipeline.models import devices
from pipeline.models import pictures as networks
from pipeline.studies.baselines import resnets
from pipeline.studies.baselines.chosen import load_both
from pipeline.studies.baselines.embedding import embedding
from pipeline.studies.baselines.params import EmbeddingParams, PictureSourceParams
from pipeline.studies.baselines.picture_networks import outputs_of

VERSION = 2


def main(
    *,
    pictures: PictureSourceParams,
    params: EmbeddingParams,
    out: Path,
    numbers: Path,
    device: str = "auto",
) -> None:
    """Write the embedding as the checkpoint ``out``, and its quality as JSON to ``numbers``.

    A triplet counts as correct if its two pictures of one class are closer than those of two
    classes.
    """
    target = devices.resolve(device)
    train, test = load_both(pictures)
    network = embedding(train, params)
    if isinstance(network, resnets.ResnetEmbedding):
        resnets.save_embedding(out, network)
    else:
        networks.save(out, network)
    network.to(target)
    vectors = outputs_of(network, torch.from_numpy(test.pixels).to(target)).cpu().numpy()
    found = {
        "architecture": params.architecture,
        "weights": params.weights,
        "outputs": vectors.shape[1],
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "training_pictures": len(train.labels),
        "test_pictures": len(test.labels),
        "test_triplet_accuracy": networks.triplet_accuracy(nn.Identity(), vectors, test.labels),
    }
    write_json(numbers, found)
