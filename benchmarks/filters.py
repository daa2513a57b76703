"""Forward passes needed to estimate filters' values, as ratios within one run.

``python -m benchmarks.filters`` trains a network of 92 filters on digits, or with ``--mnist``
on MNIST of 14 × 14 pixels. It measures the following over independent repeats, with standard
errors:

* mean squared errors at equal numbers of forward passes, for shared orders of 128 images (as in the
  paper), for one order per image, and for the regression. The reference values come from separate
  walks;
* forward passes until the filters with the k largest values are known, by Algorithm 1 as printed
  (with and without truncation) and by comparable contributions.
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import measuring
from pipeline.models import checkpoints
from pipeline.models.devices import resolve
from pipeline.shapley.bandit import TopK, compared, tmab
from pipeline.shapley.pooled import contributions, from_walks, orders_of, pairs_of, regress
from pipeline.studies.neurons import networks
from pipeline.studies.neurons.filters import Filters, read_filters
from pipeline.studies.neurons.images import Images, read_parts
from pipeline.studies.neurons.params import CoalitionsParams, ImagesParams, TrainingParams

Floats = NDArray[np.float64]

BATCH = 128
"""Images per iteration of Algorithm 1, as in the paper."""

REFERENCE = 10**6
"""Seed of the reference values."""


class Game:
    """A network's accuracy on some images, as a game of its filters."""

    def __init__(self, filters: Filters, images: Images) -> None:
        self.filters, self.images = filters, images
        self.n, self.m = len(filters.players), len(images)
        self.weights = np.full(self.m, 1 / self.m)
        self.streams: dict[int, tuple[Iterator[Any], list[Any]]] = {}

    def right(self, places: NDArray[np.integer], present: NDArray[np.bool_]) -> Floats:
        """Whether the network classifies images correctly, for coalitions of filters: (m,)."""
        return self.filters.say(self.images, None, places, present)[:, 0].astype(np.float64)

    def walked(self, places: NDArray[np.integer], orders: NDArray[np.integer]) -> Floats:
        """As :meth:`right`, along walks: (walk, n + 1)."""
        return self.filters.walk(self.images, None, places, orders)[..., 0].astype(np.float64)


def shared(game: Game, seed: int, batch: int) -> Iterator[tuple[NDArray[np.integer], Floats]]:
    """The paper's iterations: an order, and the accuracy on a fresh batch along it."""
    rng = np.random.default_rng([seed, 7])
    while True:
        places, order = rng.choice(game.m, batch, replace=False), rng.permutation(game.n)
        walked = game.walked(places, np.broadcast_to(order, (batch, game.n)))
        yield order, walked.mean(axis=0)


def remembered(game: Game, seed: int) -> Iterator[tuple[NDArray[np.integer], Floats]]:
    """As :func:`shared`, cached per seed: all searches of a seed share its evaluations."""
    each, known = game.streams.setdefault(seed, (shared(game, seed, BATCH), []))
    for number in itertools.count():
        if number == len(known):
            known.append(next(each))
        yield known[number]


def by_shared_orders(game: Game, seed: int, walks: int) -> Floats:
    """Values from iterations of the paper's batches."""
    each = shared(game, seed, BATCH)
    found = [contributions(v, o) for o, v in (next(each) for _ in range(walks // BATCH))]
    return np.mean(found, axis=0)


def by_own_orders(game: Game, seed: int, walks: int) -> Floats:
    """Values from one order per image; every image gets equally many."""
    places, rounds = np.arange(game.m), walks // game.m
    orders = np.stack([orders_of(seed, places, r, game.n) for r in range(rounds)], axis=1)
    flat = orders.reshape(-1, game.n)
    walked = game.walked(np.repeat(places, rounds), flat).reshape(game.m, rounds, -1)
    return from_walks(walked, orders, game.weights).values


def by_regression(game: Game, seed: int, walks: int) -> Floats:
    """Values from pairs of coalitions; every image gets equally many."""
    rounds, places = 2, np.arange(game.m)
    count = (walks * (game.n + 1) // game.m - 2) // (2 * rounds)
    masks = np.stack([pairs_of(seed, places, r, count, game.n) for r in range(rounds)], axis=1)
    shown = np.repeat(places, rounds * 2 * count)
    said = game.right(shown, masks.reshape(-1, game.n)).reshape(game.m, rounds, -1)
    nobody, everybody = (
        game.right(places, np.full((game.m, game.n), there)) for there in (False, True)
    )
    return regress(masks, said, nobody, everybody, game.weights).values


def reference(game: Game, walks: int) -> tuple[Floats, float]:
    """Values from many walks, in parts, and the mean of their squared standard errors."""
    parts = [by_own_orders(game, REFERENCE + i, game.m) for i in range(walks // game.m)]
    values = np.mean(parts, axis=0)
    return values, float((np.var(parts, axis=0, ddof=1) / len(parts)).mean())


def errors(
    game: Game, truth: Floats, noise: float, ways: dict[str, Callable[..., Floats]],
    walks: int, repeats: int,
) -> None:  # fmt: skip
    """Print mean squared errors, minus the reference's share, with standard errors."""
    print(f"\nMean squared error after {walks * (game.n + 1):,} forward passes, {repeats} repeats")
    base = None
    for name, way in ways.items():
        found = [((way(game, seed, walks) - truth) ** 2).mean() - noise for seed in range(repeats)]
        mean, error = np.mean(found), np.std(found, ddof=1) / np.sqrt(repeats)
        base = base or (mean, error)
        gain = base[0] / mean
        unsure = gain * np.hypot(error / mean, base[1] / base[0])
        print(f"  {name:<28}{mean:.3e} ± {error:.1e}   gain {gain:5.2f} ± {unsure:.2f}")


def searches(game: Game, truth: Floats, k: int, epsilon: float, delta: float, repeats: int) -> None:
    """Print forward passes until the k largest values are known, with recalls."""
    print(f"\nThe {k} largest values, ε {epsilon}, δ {delta}, {repeats} repeats")
    settings: dict[str, Any] = {"k": k, "epsilon": epsilon, "delta": delta}
    least = np.sort(truth)[-k] - epsilon

    def printed(truncation: float) -> Callable[[int], tuple[TopK, int]]:
        return lambda seed: (
            tmab(remembered(game, seed), game.n, **settings, truncation=truncation), BATCH
        )  # fmt: skip

    def paired(bound: Any) -> Callable[[int], tuple[TopK, int]]:
        return lambda seed: (
            compared(game.right, game.n, game.m, **settings, bound=bound, seed=seed), 1
        )  # fmt: skip

    ways = {
        "Algorithm 1, not truncated": printed(-np.inf),
        "Algorithm 1, truncated at 0.2": printed(0.2),
        "comparable contributions": paired("betting"),
        "the same, normal bounds": paired("normal"),
    }
    base = None
    for name, way in ways.items():
        found = [way(seed) for seed in range(repeats)]
        costs = np.array([result.evaluations * size for result, size in found], dtype=float)
        recall = np.mean([(truth[result.players] >= least).mean() for result, _ in found])
        mean, error = costs.mean(), np.std(costs, ddof=int(repeats > 1)) / np.sqrt(repeats)
        base = base or mean
        print(
            f"  {name:<32}{mean:>12,.0f} ± {error:<10,.0f} {base / mean:5.1f} × fewer   "
            f"ε-recall {recall:.3f}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mnist", type=Path, help="folder that holds MNIST; digits without it")
    parser.add_argument("--images", type=int, default=512, help="images that filters are valued on")
    parser.add_argument("--walks", type=int, default=2048, help="walks of every estimate")
    parser.add_argument("--reference", type=int, default=40960, help="walks of the reference")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--searches", type=int, default=5, help="repeats of each search")
    parser.add_argument("--k", type=int, nargs="*", default=[10, 20])
    parser.add_argument("--epsilon", type=float, default=0.01)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    device = resolve(options.device)
    print(", ".join(f"{key} {value}" for key, value in measuring.machine(device).items()))
    images = ImagesParams(
        source="digits" if options.mnist is None else "mnist",
        root=None if options.mnist is None else str(options.mnist),
        download=False, size=None if options.mnist is None else 14, train=10000,
        ranked=options.images, held_out=448,
    )  # fmt: skip
    training = TrainingParams(
        channels=[16, 24, 24, 28], epochs=40 if options.mnist is None else 8, batch=32,
        learning_rate=0.01, seed=0,
    )  # fmt: skip
    parts = read_parts(images)
    network = networks.trained(parts["train"], training, training.channels, 0.0)
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.pt")
        checkpoints.save(path, network, network.description())
        absent = CoalitionsParams(absent="mean", block=64, seed=0)
        filters = read_filters(path, parts["train"], absent, None, device)
    game = Game(filters, parts["ranked"])
    accuracy = networks.accuracy(filters.masked.network, parts["held_out"])
    print(f"{game.n} filters, {game.m} images, accuracy {accuracy:.3f} on others")
    truth, noise = reference(game, options.reference)
    print(f"reference: {options.reference:,} walks, standard error {np.sqrt(noise):.5f}")
    ways: dict[str, Callable[..., Floats]] = {
        f"shared orders of {BATCH} images": by_shared_orders,
        "one order an image": by_own_orders,
        "regression": by_regression,
    }
    if options.repeats:
        errors(game, truth, noise, ways, options.walks, options.repeats)
    for k in options.k:
        searches(game, truth, k, options.epsilon, 0.1, options.searches)


if __name__ == "__main__":
    main()
