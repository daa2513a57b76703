"""Cost of Shapley explanation networks, as ratios within one run.

``python -m benchmarks.shapnets`` measures the following, with 2 threads by default:

* explanations by a Deep ShapNet of 16 features (Wang et al., 2021, App. I.1: inner networks with
  one hidden layer of 100), compared with evaluating one module and one combination at a time, with
  the plain forward pass, and with Kernel SHAP of the shap package on the same network;
* a training step of an image ShapNet and its peak memory, compared with copying out patches;
* pruned explanations, for several shares of remaining windows.
"""

import argparse
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import measuring
from benchmarks.measuring import ratio_text, seconds_text, size_text, timed
from pipeline.models.image_shapnets import SLOPE, ImageShapNet, ImageStage
from pipeline.models.shapnets import ShapleyLayer, ShapleyModules, ShapNet, deep, shares_of
from pipeline.studies.shapnets.image_networks import TRAINED_AT_ONCE

FEATURES, HIDDEN = 16, 100


def paper_network() -> ShapNet:
    """Four layers of eight modules. The widths between layers (8) are our choice; one output."""
    torch.manual_seed(0)
    return deep(FEATURES, [8, 8, 8, 1], [[HIDDEN]] * 4).eval()


def one_at_a_time(network: ShapNet, features: Tensor) -> Tensor:
    """The explanation (sample, feature, output) by a loop over modules and combinations."""
    x, references = features[:, :, None], network.references[None, :, None]
    for layer in network.layers:
        assert isinstance(layer, ShapleyLayer)
        out = x.new_zeros(len(x), FEATURES, layer.n_outputs)
        for group in layer.groups:
            assert isinstance(group, ShapleyModules)
            for module, players in enumerate(group.sets.tolist()):
                k = len(players)
                weight = group.first[module].flatten(0, 1)
                values = []
                for there in itertools.product([False, True], repeat=k):
                    rows = [
                        x[:, p] if is_there else references[:, p].expand(len(x), -1)
                        for p, is_there in zip(players, there, strict=True)
                    ]
                    hidden = torch.relu(torch.cat(rows, dim=1) @ weight + group.biases[0][module])
                    values.append(hidden @ group.weights[-1][module])
                # For two players: the mean of the contributions to none and to the other one.
                nobody, second, first, both = values
                out[:, players[0]] += (first - nobody + both - second) / 2
                out[:, players[1]] += (second - nobody + both - first) / 2
        x, references = out, out.new_zeros(1, FEATURES, out.shape[2])
    return x


def explanations(n_samples: int, seconds: float) -> None:
    """Measure explanations of one batch."""
    network, features = paper_network(), torch.randn(n_samples, FEATURES)

    @torch.no_grad()
    def whole() -> Tensor:
        return network.explain(features).layers[-1]

    @torch.no_grad()
    def loop() -> Tensor:
        return one_at_a_time(network, features)

    @torch.no_grad()
    def plain() -> Tensor:
        return network(features)

    if not torch.allclose(whole(), loop(), atol=1e-5):
        raise SystemExit("the loop gives other explanations")
    ways: dict[str, Callable[[], object]] = {
        "all modules at once": whole,
        "one module at a time": loop,
        "scores without explanations": plain,
    }
    if n_samples <= 16:
        ways["Kernel SHAP, default (shap)"] = _kernel_shap(network, features)
    print(f"\nExplanations of {n_samples} sample(s), {FEATURES} features")
    base = None
    for name, way in ways.items():
        taken = timed(way, seconds=seconds).median
        base = base or taken
        each = seconds_text(taken / n_samples)
        print(f"  {name:<32}{each:>10} a sample   {ratio_text(taken / base):>8} as long")


def _kernel_shap(network: ShapNet, features: Tensor) -> Callable[[], object]:
    import shap  # noqa: PLC0415  in the dependency group bench

    @torch.no_grad()
    def model(rows: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(rows.astype(np.float32))).numpy()

    explainer = shap.KernelExplainer(model, np.zeros((1, FEATURES)))
    return lambda: explainer.shap_values(features.numpy(), silent=True)


class Patches(nn.Module):
    """The same stage, computed from patches that are copied out for every combination."""

    def __init__(self, stage: ImageStage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, x: Tensor) -> Tensor:
        """Map (image, channel, height, width) to the same shape with the stage's channels."""
        stage, (height, width) = self.stage, x.shape[2:]
        far_y, far_x = stage.reach
        padded = functional.pad(x, (far_x, far_x, far_y, far_y))
        size = (height + far_y, width + far_x)
        patches = torch.stack(
            [padded[:, :, y : y + size[0], c : c + size[1]] for y, c in stage.offsets], dim=1
        )
        values: list[Tensor | float] = [0.0] * len(stage.offsets)
        shares = shares_of(len(stage.offsets), x)
        for row, there in enumerate(stage.subsets):
            shown = patches * there[None, :, None, None, None].to(x.dtype)
            sums = torch.einsum("nkchw,koc->nohw", shown, stage.weight)
            output = functional.leaky_relu(sums + stage.bias[:, None, None], SLOPE)
            for place in range(len(values)):
                values[place] = values[place] + float(shares[place, row]) * output
        found = x.new_zeros(len(x), len(stage.bias), height, width)
        for value, (y, c) in zip(values, stage.offsets, strict=True):
            assert isinstance(value, Tensor)
            top, left = far_y - y, far_x - c
            found = found + value[..., top : top + height, left : left + width]
        return found


def image_network(width: int, window: tuple[int, int]) -> ImageShapNet:
    """An image network with the paper's dilations (App. I.3)."""
    torch.manual_seed(0)
    return ImageShapNet(1, [*[width] * 6, 10], [1, 3, 5, 7, 9, 11, 13], window)


def step(kind: str, at_once: int, width: int, batch: int, threads: int) -> tuple[float, int]:
    """Seconds of a training step, and the peak memory of its process."""
    torch.set_num_threads(threads)
    network, images = image_network(width, (1, 2)), torch.randn(batch, 1, 32, 32)
    stages = network._stages()
    loops = nn.ModuleList(Patches(stage) for stage in stages)

    def run() -> None:
        for part in images.split(at_once):
            if kind == "patches":
                x = part
                for stage in loops:
                    x = stage(x)
                scores = x.sum(dim=(2, 3))
            else:
                scores = network(part)
            (scores.square().sum() / batch).backward()

    return timed(run, seconds=2.0, fewest=1).median, measuring.peak_bytes(torch.device("cpu"))


def training(width: int, batch: int, threads: int) -> None:
    """Measure a training step of an image network: in small parts, as in the study, and at once."""
    print(f"\nA training step of {batch} images of 32 × 32, {width} channels, windows of 1 × 2")
    base = None
    for at_once in (TRAINED_AT_ONCE, batch):
        for kind, name in (("ours", "shifted views"), ("patches", "patches, copied out")):
            taken, peak = measuring.in_own_process(step, kind, at_once, width, batch, threads)
            base = base or (taken, peak)
            print(
                f"  {name + f', {at_once} at once':<32}{seconds_text(taken):>9}  "
                f"{ratio_text(taken / base[0]):>7} as long   {size_text(peak):>9}  "
                f"{ratio_text(peak / base[1]):>7} as much"
            )


def pruning(width: int, batch: int, seconds: float) -> None:
    """Measure explanations of images in which a share of the pixels is at its reference."""
    network = image_network(width, (1, 2)).eval()
    print(f"\nPruned explanations of {batch} images of 32 × 32, {width} channels")
    rng = np.random.default_rng(0)
    for side in (32, 24, 16, 8):
        images = torch.zeros(batch, 1, 32, 32)
        top = (32 - side) // 2
        shown = rng.normal(size=(batch, 1, side, side)).astype(np.float32)
        images[:, :, top : top + side, top : top + side] = torch.from_numpy(shown)

        @torch.no_grad()
        def dense(images: Tensor = images) -> object:
            return network.explain(images)

        def pruned(images: Tensor = images) -> object:
            return network.pruned(images, 0.0)

        whole = timed(dense, seconds=seconds).median
        fewer = timed(pruned, seconds=seconds).median
        _, shares = network.pruned(images, 0.0)
        print(
            f"  {side} × {side} pixels shown: {100 * np.mean(shares):3.0f} % of the windows in "
            f"{100 * fewer / whole:3.0f} % of the time ({seconds_text(fewer)})"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    about = measuring.machine(torch.device("cpu"))
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    seconds = 0.1 if options.quick else 2.0
    for n_samples in (1, 1024):
        explanations(n_samples, seconds)
    training(8 if options.quick else 128, 2 if options.quick else 16, options.threads)
    pruning(8 if options.quick else 128, 2 if options.quick else 8, seconds)


if __name__ == "__main__":
    main()
