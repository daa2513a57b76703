"""Small networks for pictures: a classifier, an embedding, and the distance to a fixed picture.

They suit pictures with sides of a few dozen pixels, and train in seconds on one core. There is no
dropout and no normalisation over a batch, so a picture's scores never depend on other pictures, and
gradients are those of the evaluated function. Pooling takes means, because a maximum passes its
gradient to a single pixel.

The embedding is trained by triplets (Schroff, Kalenichenko, Philbin 2015, Eq. 1–2). Embeddings have
length 1. The squared distance between two pictures of the same class should be smaller, by a
margin, than that between pictures of different classes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.models import checkpoints
from pipeline.models.training import fit

AT_ONCE = 1024
"""Pictures evaluated in one batch."""

KEYS = ("channels", "n_outputs", "width", "hidden", "pooled")


class Convolutional(nn.Module):
    """Two convolutions, means over a grid of cells, two linear layers.

    Args:
        channels: channels of the pictures.
        n_outputs: number of outputs.
        width: channels of the first convolution; the second, of stride 2, has twice as many.
        hidden: width of the hidden linear layer.
        pooled: cells per side of the grid over which the convolutions' output is averaged. The
            average allows pictures of any size.
    """

    title = "picture network"

    def __init__(
        self, channels: int, n_outputs: int, width: int = 16, hidden: int = 64, pooled: int = 4
    ) -> None:
        super().__init__()
        if min(channels, n_outputs, width, hidden, pooled) < 1:
            raise InputError(
                f"a network of {channels} channels, {n_outputs} outputs, width {width}, hidden "
                f"{hidden}, {pooled} cells per side: each must be at least 1"
            )
        self.sizes = (channels, n_outputs, width, hidden, pooled)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 3, padding=1, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(pooled)
        self.third = nn.Linear(2 * width * pooled**2, hidden)
        self.last = nn.Linear(hidden, n_outputs)

    def description(self) -> dict[str, int]:
        """The values that a checkpoint needs to build the network."""
        return dict(zip(KEYS, self.sizes, strict=True))

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channel, height, width) → (batch, output)."""
        maps = torch.relu(self.second(torch.relu(self.first(pictures))))
        return self.last(torch.relu(self.third(self.pool(maps).flatten(start_dim=1))))


class PictureClassifier(Convolutional):
    """Logits of pictures, one output per class."""

    title = "picture classifier"


class PictureEmbedding(Convolutional):
    """Embeddings of pictures, of Euclidean length 1: (batch, output)."""

    title = "picture embedding"

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channel, height, width) → (batch, output)."""
        return nn.functional.normalize(super().forward(pictures), dim=1)


class Probability(nn.Module):
    """The softmax of a network's logits: (batch, class) probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channel, height, width) → (batch, class)."""
        return self.network(pictures).softmax(dim=1)


class Distance(nn.Module):
    """The squared distance from the embedding of a picture to that of a fixed second picture.

    The distance is squared because the distance itself has no gradient where it is 0, that is, at
    the second picture. For embeddings of length 1 it is in 0…4.

    Args:
        embedding: (batch, *shape) → (batch, output).
        second: the second picture, (*shape).
    """

    reference: Tensor

    def __init__(self, embedding: nn.Module, second: Tensor) -> None:
        super().__init__()
        self.embedding = embedding
        with torch.no_grad():
            self.register_buffer("reference", embedding(second[None])[0].clone())

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, *shape) → (batch, 1)."""
        return (self.embedding(pictures) - self.reference).square().sum(dim=1, keepdim=True)


def train_classifier(
    pixels: NDArray[np.float32],
    labels: NDArray[np.int64],
    n_classes: int,
    *,
    epochs: int = 12,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    width: int = 16,
    hidden: int = 64,
    pooled: int = 4,
    seed: int = 0,
) -> PictureClassifier:
    """Train a classifier by cross-entropy, with one thread.

    On one machine, training always gives the same weights.

    Args:
        pixels: (picture, channel, height, width) float32.
        labels: (picture,) class numbers.
        n_classes: number of outputs.
        epochs: passes over the pictures.
        batch_size: pictures per step.
        learning_rate: the peak of a one-cycle schedule.
        width: width of the network; see :class:`Convolutional` for it, ``hidden`` and ``pooled``.
        hidden: as above.
        pooled: as above.
        seed: of the weights and the order. The caller's random state is not touched.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        InputError: pixels or labels are unusable, a setting is less than 1, or the loss becomes
            NaN.
    """
    _check(pixels, labels, n_classes)
    _check_settings(epochs, batch_size, seed)
    inputs, targets = torch.from_numpy(pixels), torch.from_numpy(labels)
    with repeatable(seed):
        network = PictureClassifier(inputs.shape[1], n_classes, width, hidden, pooled)

        def order(rng: np.random.Generator) -> NDArray[np.int64]:
            return rng.permutation(len(inputs))

        def loss(rows: Tensor) -> Tensor:
            return nn.functional.cross_entropy(network(inputs[rows]), targets[rows])

        _fit(network, loss, order, len(inputs), seed, epochs, batch_size, learning_rate)
    return network


def train_embedding(
    pixels: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    n_outputs: int = 16,
    margin: float = 0.5,
    epochs: int = 12,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    width: int = 16,
    hidden: int = 64,
    pooled: int = 4,
    seed: int = 0,
) -> PictureEmbedding:
    """Train an embedding by the triplet loss, as repeatably as :func:`train_classifier`.

    In each epoch every picture is the anchor of one triplet, together with a random other picture
    of its class (itself if there is none) and a random picture of another class.

    Args:
        pixels: (picture, channel, height, width) float32.
        labels: (picture,) class numbers, of at least two classes.
        n_outputs: length of an embedding.
        margin: required difference of squared distances.
        epochs: passes over the pictures.
        batch_size: triplets per step.
        learning_rate: the peak of a one-cycle schedule.
        width: width of the network; see :class:`Convolutional` for it, ``hidden`` and ``pooled``.
        hidden: as above.
        pooled: as above.
        seed: of the weights and the triplets. The caller's random state is not touched.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        InputError: as :func:`train_classifier`; fewer than two classes; a margin not in 0…4.
    """
    _check(pixels, labels, int(labels.max()) + 1 if len(labels) else 0)
    _check_settings(epochs, batch_size, seed)
    if not 0 < margin < 4:
        raise InputError(f"margin {margin}: must be in 0…4, as squared distances are")
    if len(np.unique(labels)) < 2:
        raise InputError("the labels are of one class; triplets need pictures of two")
    inputs = torch.from_numpy(pixels)
    with repeatable(seed):
        network = PictureEmbedding(inputs.shape[1], n_outputs, width, hidden, pooled)

        def drawn(rng: np.random.Generator) -> NDArray[np.int64]:
            return triplets(labels, rng)

        def loss(rows: Tensor) -> Tensor:
            anchor, same, other = network(inputs[rows.T.reshape(-1)]).split(len(rows))
            near, far = ((anchor - each).square().sum(dim=1) for each in (same, other))
            return torch.relu(near - far + margin).mean()

        _fit(network, loss, drawn, len(inputs), seed, epochs, batch_size, learning_rate)
    return network


def _fit(
    network: Convolutional,
    loss: Callable[[Tensor], Tensor],
    rows: Callable[[np.random.Generator], NDArray[np.int64]],
    n_rows: int,
    seed: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    """Train on the rows drawn for each epoch, in batches, with the one-cycle schedule."""

    def batches(epoch: int) -> tuple[Tensor, ...]:
        return torch.from_numpy(rows(np.random.default_rng([seed, epoch]))).split(batch_size)

    fit(
        network,
        loss,
        batches,
        epochs=epochs,
        batches_per_epoch=-(-n_rows // batch_size),
        learning_rate=learning_rate,
        description=network.title,
        schedule="one_cycle",
    )


def triplets(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """One triplet for every picture, in random order: (picture, 3) indices int64.

    Each row has a picture, another of its class (itself if there is none), and one of another
    class, uniformly drawn. There must be at least two classes.
    """
    order = np.argsort(labels, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    _, of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    first, count = (np.cumsum(counts) - counts)[of], counts[of]
    # A step of 1 to count − 1 places within the class, cyclically, never leads back to the anchor.
    step = 1 + np.floor(rng.random(len(labels)) * (count - 1)).astype(np.int64)
    same = order[first + (place - first + step) % count]
    drawn = np.floor(rng.random(len(labels)) * (len(labels) - count)).astype(np.int64)
    other = order[np.where(drawn < first, drawn, drawn + count)]
    return np.stack([np.arange(len(labels)), same, other], axis=1)[rng.permutation(len(labels))]


def outputs_of(network: nn.Module, pixels: NDArray[np.float32]) -> Tensor:
    """Outputs of a network for pictures, in batches and without gradients: (picture, output)."""
    with torch.no_grad():
        parts = [network(part) for part in torch.from_numpy(pixels).split(AT_ONCE)]
    return torch.cat(parts)


def accuracy(
    classifier: nn.Module, pixels: NDArray[np.float32], labels: NDArray[np.int64]
) -> float:
    """Share of pictures whose highest score is that of their true class."""
    return float((outputs_of(classifier, pixels).argmax(dim=1).numpy() == labels).mean())


def triplet_accuracy(
    embedding: nn.Module, pixels: NDArray[np.float32], labels: NDArray[np.int64], seed: int = 0
) -> float:
    """Share of random triplets, one per picture, in which the pictures of one class are closer."""
    drawn = torch.from_numpy(triplets(labels, np.random.default_rng(seed)))
    anchor, same, other = outputs_of(embedding, pixels)[drawn].unbind(dim=1)
    near, far = ((anchor - each).square().sum(dim=1) for each in (same, other))
    return float((near < far).double().mean())


Network = TypeVar("Network", bound=Convolutional)


def save(path: Path, network: Convolutional, description: dict[str, Any] | None = None) -> None:
    """Write a network as a checkpoint, with optional further plain values."""
    kind = {"network": type(network).__name__}
    checkpoints.save(path, network, {**(description or {}), **kind, **network.description()})


def load(path: Path, kind: type[Network]) -> Network:
    """Read what :func:`save` wrote, in evaluation mode.

    Raises:
        InputError: as ``checkpoints.build``, or the checkpoint is of another network.
    """
    found = checkpoints.load(path)[0].get("network")
    if found != kind.__name__:
        raise InputError(
            f"{path}: is the checkpoint of a {found or 'network of another kind'}; a "
            f"{kind.__name__} is needed"
        )
    network = checkpoints.build(path, kind, KEYS)
    network.eval()
    return network


@contextmanager
def repeatable(seed: int, threads: int = 1) -> Iterator[None]:
    """Set the number of threads and the random seed; restore both afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


def _check(pixels: NDArray[np.float32], labels: NDArray[np.int64], n_classes: int) -> None:
    if pixels.ndim != 4 or 0 in pixels.shape or pixels.dtype != np.float32:
        raise InputError(
            f"pixels of shape {pixels.shape}, {pixels.dtype}: (picture, channel, height, width) "
            "float32, each at least 1, are needed"
        )
    if not np.isfinite(pixels).all():
        raise InputError("the pixels hold NaN or Inf")
    if labels.shape != (len(pixels),) or labels.dtype != np.int64:
        raise InputError(
            f"labels of shape {labels.shape}, {labels.dtype} for {len(pixels)} pictures: an int64 "
            "for each is needed"
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise InputError(
            f"labels from {labels.min()} to {labels.max()}; there are classes 0 to {n_classes - 1}"
        )


def _check_settings(epochs: int, batch_size: int, seed: int) -> None:
    if epochs < 1 or batch_size < 1 or seed < 0:
        raise InputError(
            f"epochs {epochs}, batch size {batch_size}, seed {seed}: must be at least 1, 1 and 0"
        )
