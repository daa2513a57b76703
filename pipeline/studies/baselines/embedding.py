"""The embedding in which distances are explained, trained here by triplets or given.

The embedding of a torchvision ResNet is the input of its last layer, scaled to length 1.
"""

from pathlib import Path

from pipeline.data.pictures import Pictures
from pipeline.models import pictures as networks
from pipeline.studies.baselines import resnets
from pipeline.studies.baselines.params import EmbeddingParams
from pipeline.studies.baselines.picture_networks import fit_channels


def embedding(
    train: Pictures, params: EmbeddingParams
) -> networks.PictureEmbedding | resnets.ResnetEmbedding:
    """The embedding that the parameters select: trained on ``train``, or read from a file.

    Raises InputError if a file's network does not fit the pictures.
    """
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
