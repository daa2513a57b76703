"""Stage: the embedding in which distances are explained: trained here by triplets, or given.

Of torchvision's ResNets it is what they have before their last layer, scaled to length 1.
"""

from pathlib import Path

import torch
from torch import nn

from pipeline.baselines import resnets
from pipeline.baselines.explained import fit_channels, load_both, outputs_of
from pipeline.datasets.pictures import Pictures
from pipeline.files import write_json
from pipeline.networks import devices
from pipeline.networks import pictures as networks
from pipeline.params.baselines import EmbeddingParams, PictureSourceParams
from pipeline.stage import run


def main(
    *,
    pictures: PictureSourceParams,
    params: EmbeddingParams,
    out: Path,
    numbers: Path,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Write the embedding as the checkpoint ``out``, and what it is worth as JSON to ``numbers``.

    A triplet is told right if its two pictures of one class are closer than those of two.
    """
    target = devices.resolve(device)
    train, test = load_both(pictures)
    network = _embedding(train, params)
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


def _embedding(
    train: Pictures, params: EmbeddingParams
) -> networks.PictureEmbedding | resnets.ResnetEmbedding:
    if params.architecture != "small":
        assert params.weights is not None
        return resnets.given_embedding(params.architecture, params.weights)
    if params.weights is not None:
        path = Path(params.weights)
        network = networks.load(path, networks.PictureEmbedding)
        fit_channels(network, train, path)
        return network
    return networks.train_embedding(
        train.pixels,
        train.labels,
        n_outputs=params.outputs,
        margin=params.margin,
        epochs=params.epochs,
        batch_size=params.batch,
        learning_rate=params.learning_rate,
        width=params.width,
        hidden=params.hidden,
        seed=params.seed,
    )


if __name__ == "__main__":
    run(main)
