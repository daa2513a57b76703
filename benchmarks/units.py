"""Cost of absent units: masks, walks and their alternatives, as ratios within one run.

``python -m benchmarks.units`` measures the following, with 2 threads by default:

* coalitions evaluated in batches, compared with one network at a time whose filters are replaced by
  hooks;
* the masked network, compared with the plain one;
* walks that recompute only the modules after a removed filter, compared with whole forward passes,
  on torchvision's SqueezeNet-1.0 and ResNet-18 with random weights. The factor calculated from
  multiply-adds is printed as well;
* captum's ablation and sampled Shapley values of one layer's filters, compared with walks.

The alternatives take turns, and the shortest time of each counts, so that other work on the machine
affects none of them. Ratios are given by wall-clock time and by processor time.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import measuring
from pipeline.models.suffix import suffixes_of, walks
from pipeline.models.units import Masked, Replacement, Site, at_once, find_sites, replacement

WIDTHS = (16, 20, 24, 32)
"""Filters of the small network's convolutions: 92 in total."""


@dataclass(frozen=True)
class Rate:
    """Evaluations per second of one alternative, by wall-clock time and by processor time."""

    wall: float
    cpu: float


def small_network() -> nn.Sequential:
    """Four convolutions with 92 filters, for pictures of digits, 8 × 8."""
    torch.manual_seed(0)
    a, b, c, d = WIDTHS
    return nn.Sequential(
        nn.Conv2d(1, a, 3, padding=1), nn.ReLU(),
        nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(d, 10),
    ).eval()  # fmt: skip


def rates(ways: Mapping[str, tuple[Callable[[], object], int]], *, rounds: int) -> dict[str, Rate]:
    """Rate of each alternative, given as a call and its number of evaluations; they take turns."""
    best = {name: [float("inf"), float("inf")] for name in ways}
    with torch.no_grad():
        for _ in range(rounds + 1):
            for name, (call, _count) in ways.items():
                wall, cpu = time.perf_counter(), time.process_time()
                call()
                taken = (time.perf_counter() - wall, time.process_time() - cpu)
                best[name] = [min(a, b) for a, b in zip(best[name], taken, strict=True)]
    return {
        name: Rate(count / best[name][0], count / best[name][1])
        for name, (_, count) in ways.items()
    }


def show(title: str, found: dict[str, Rate], against: str, note: str = "") -> None:
    """Print each alternative's rate, and its ratio to that of ``against``."""
    print(f"\n{title}")
    base = found[against]
    for name, rate in found.items():
        ratio = f"{rate.wall / base.wall:6.2f} × by the clock, {rate.cpu / base.cpu:6.2f} × by CPU"
        print(f"  {name:<44}{rate.wall:>10,.0f} a second   {ratio}")
    if note:
        print(f"  {note}")


def one_at_a_time(
    network: nn.Module,
    sites: Sequence[Site],
    replaced_by: Replacement,
    images: Tensor,
    present: Tensor,
) -> Tensor:
    """Scores (coalition, image, class), with the filters of each coalition replaced by hooks."""
    scores = []
    for coalition in present:
        handles = []
        parts = coalition.split([site.n_units for site in sites])
        for site, units in zip(sites, parts, strict=True):
            absent, mean = ~units, replaced_by.outputs[site.name][0]

            def replace(
                _module: nn.Module,
                _given: Any,
                outputs: Tensor,
                absent: Tensor = absent,
                mean: Tensor = mean,
            ) -> Tensor:
                outputs[:, absent] = mean[absent]
                return outputs

            handles.append(network.get_submodule(site.name).register_forward_hook(replace))
        scores.append(network(images))
        for handle in handles:
            handle.remove()
    return torch.stack(scores)


def batched(game: Masked, images: Tensor, present: Tensor) -> Tensor:
    """The same scores, with coalitions and images in batches."""
    size = at_once(game.network, game.sites, images[:1])
    which = torch.arange(len(images)).repeat(len(present))
    rows = present.repeat_interleave(len(images), dim=0)
    parts = [
        game(images[which[start : start + size]], rows[start : start + size])
        for start in range(0, len(rows), size)
    ]
    return torch.cat(parts).view(len(present), len(images), -1)


def coalitions(rounds: int) -> None:
    """Compare batches of coalitions with one network at a time."""
    network = small_network()
    pool = torch.randn(128, 1, 8, 8)
    sites = find_sites(network, pool)
    replaced_by = replacement(network, sites, pool)
    game = Masked(network, sites, replaced_by)
    for n_images, n_coalitions in ((1, 1024), (16, 128), (128, 32)):
        images, present = pool[:n_images], torch.rand(n_coalitions, len(game.players)) < 0.5
        hooks = partial(one_at_a_time, network, sites, replaced_by, images, present)
        masks = partial(batched, game, images, present)
        with torch.no_grad():
            if not torch.allclose(hooks(), masks(), atol=1e-5):
                raise SystemExit("masks and hooks give different scores")
        ways = {
            "one network at a time, with hooks": (hooks, n_coalitions),
            "masks in batches": (masks, n_coalitions),
        }
        title = f"Coalitions of {len(game.players)} filters, {n_images} image(s) each"
        show(title, rates(ways, rounds=rounds), "one network at a time, with hooks")


def overhead(name: str, network: nn.Module, shape: Sequence[int], size: int, rounds: int) -> None:
    """Compare the masked network with the plain one."""
    images = torch.randn(size, *shape)
    sites = find_sites(network, images)
    game = Masked(network, sites, replacement(network, sites, images))
    everyone = torch.ones(size, len(game.players), dtype=torch.bool)
    half = torch.rand(size, len(game.players)) < 0.5
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "plain": (lambda: network(images), size),
        "masked, everybody present": (lambda: game(images, everyone), size),
        "masked, a half present": (lambda: game(images, half), size),
    }
    show(f"Images of {name}, {size} in a batch", rates(ways, rounds=rounds), "plain")


def reuse(
    name: str, network: nn.Module, shape: Sequence[int], n_walks: int, length: int, rounds: int
) -> None:
    """Compare walks with and without reuse."""
    images = torch.randn(n_walks, *shape)
    sites = find_sites(network, images[:2])
    game = Masked(network, sites, replacement(network, sites, images[:16]))
    suffixes = suffixes_of(network, sites, images[:1])
    assert suffixes is not None
    generator = np.random.default_rng(0)
    n = len(game.players)
    orders = np.stack([generator.permutation(n)[:length] for _ in range(n_walks)])
    few = max(1, n_walks // 8)

    def first(scores: Tensor, _walks: Any) -> Tensor:
        return scores[:, :2]

    ways: dict[str, tuple[Callable[[], object], int]] = {
        "whole forward passes": (
            lambda: walks(game, images[:few], orders[:few], say=first),
            few * (length + 1),
        ),
        "only what follows": (
            lambda: walks(game, images, orders, say=first, suffixes=suffixes),
            n_walks * (length + 1),
        ),
    }
    # A short walk begins with a whole forward pass, as a long one does.
    short = (length + 1) / (1 + length / suffixes.saved)
    note = (
        f"calculated: {suffixes.saved:.2f} × over whole walks of {n} removals, "
        f"{short:.2f} × over these of {length}"
    )
    title = f"Evaluations along {n_walks} walks, {name}"
    show(title, rates(ways, rounds=rounds), "whole forward passes", note)


def captum(n_images: int, n_walks: int, rounds: int) -> None:
    """Compare captum on the third convolution of the small network with walks."""
    from captum.attr import LayerFeatureAblation, ShapleyValueSampling  # noqa: PLC0415  slow

    network, at, width = small_network(), 5, WIDTHS[2]
    images = torch.randn(n_images, 1, 8, 8)
    sites = find_sites(network, images, modules=[str(at)])
    replaced_by = replacement(network, sites, images)
    baseline = replaced_by.outputs[str(at)][0][None]
    units = torch.arange(width).view(1, -1, 1, 1).repeat(1, 1, 4, 4)
    ablation = LayerFeatureAblation(network, network[at])
    after = network[at + 1 :]
    sampling = ShapleyValueSampling(after)
    with torch.no_grad():
        outputs = network[: at + 1](images)
    game = Masked(network, sites, replaced_by)
    suffixes = suffixes_of(network, sites, images[:1])
    orders = np.stack(
        [np.random.default_rng(i).permutation(width) for i in range(n_images * n_walks)]
    )
    repeated = images.repeat(n_walks, 1, 1, 1)
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "captum LayerFeatureAblation": (
            lambda: ablation.attribute(
                images,
                layer_baselines=baseline.expand_as(outputs).contiguous(),
                target=0,
                layer_mask=units,
                perturbations_per_eval=8,
            ),
            n_images * (width + 1),
        ),
        "captum ShapleyValueSampling, what follows": (
            lambda: sampling.attribute(
                outputs,
                baselines=baseline.expand_as(outputs).contiguous(),
                target=0,
                feature_mask=units,
                n_samples=n_walks,
                perturbations_per_eval=8,
            ),
            n_images * n_walks * width,
        ),
        "walks": (
            lambda: walks(
                game, repeated, orders, say=lambda scores, _walks: scores, suffixes=suffixes
            ),
            n_images * n_walks * (width + 1),
        ),
    }
    title = f"Evaluations of {width} filters of one layer, {n_images} images"
    show(title, rates(ways, rounds=rounds), "captum ShapleyValueSampling, what follows")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    about = measuring.machine(torch.device("cpu"))
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    from torchvision import models  # noqa: PLC0415  slow

    quick = options.quick
    rounds = 1 if quick else 5
    torch.manual_seed(0)
    coalitions(rounds)
    overhead("the small network", small_network(), (1, 8, 8), 512, rounds * 4)
    side, n_walks, length = (32, 4, 3) if quick else (64, 512, 120)
    for name, make in (("SqueezeNet-1.0", models.squeezenet1_0), ("ResNet-18", models.resnet18)):
        network = make(weights=None).eval()
        text = f"{name}, {side} × {side}"
        overhead(text, network, (3, side, side), 2 if quick else 32, rounds)
        # Batches are soon partly empty as short walks end, which lowers the ratio.
        reuse(text, network, (3, side, side), n_walks, length, rounds=1)
    captum(2 if quick else 64, 2 if quick else 10, 1)


if __name__ == "__main__":
    main()
