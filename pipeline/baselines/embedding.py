"""Stage: the embedding in which distances are explained: trained here by triplets, or given."""

from pathlib import Path

from pipeline.baselines.explained import load_pictures, read_embedding
from pipeline.datasets.pictures import Pictures
from pipeline.files import write_json
from pipeline.networks import pictures as networks
from pipeline.params.baselines import EmbeddingParams, PicturesParams
from pipeline.stage import run


def main(
    *,
    pictures: PicturesParams,
    params: EmbeddingParams,
    out: Path,
    numbers: Path,
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Write the embedding as the checkpoint ``out``, and what it is worth as JSON to ``numbers``.

    A triplet is told right if its two pictures of one class are closer than those of two.
    """
    train, test = (load_pictures(pictures, split) for split in ("train", "test"))
    network = _embedding(train, params)
    networks.save(out, network)
    found = {
        "weights": params.weights,
        "outputs": network.description()["n_outputs"],
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "training_pictures": len(train.labels),
        "test_pictures": len(test.labels),
        "test_triplet_accuracy": networks.triplet_accuracy(network, test.pixels, test.labels),
    }
    write_json(numbers, found)


def _embedding(train: Pictures, params: EmbeddingParams) -> networks.PictureEmbedding:
    if params.weights is not None:
        return read_embedding(Path(params.weights), train)
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
