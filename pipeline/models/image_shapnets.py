"""Shapley explanation networks for images: pixels are the players, windows the active sets.

Wang, Wang and Inouye, "Shapley Explanation Networks", ICLR 2021, Sections 2.3 and 2.5, App. I.3. A
stage slides a window over the image. Its inner network is one linear layer and a leaky ReLU of the
window's pixels. Each pixel gets the sum of its Shapley values over all windows that hold it, with
as many channels as the stage's output. Distant pixels interact through dilations, and through
windows that change from stage to stage: pairs in a row, then pairs in a column. References are 0
everywhere; pixels outside the image are at their reference. Scores are sums over pixels.

A stage multiplies each pixel by the weights of every place in the window, shifts the products, and
takes 2ᵏ sums. It makes no copies of patches. Each pass calls the stage's leaky ReLU module once,
with images first, because hooks such as DeepLIFT's separate inputs and references along that axis.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.arguments import real, whole, wholes
from pipeline.core.errors import InputError
from pipeline.models.arguments import check_like, check_state, finite, tensor
from pipeline.models.shapnets import MOST, combinations, shares_of

SLOPE = 0.01
"""Slope of the leaky ReLU below 0."""

Window = tuple[int, int]
"""Height and width in pixels."""


class ExplainedImages(NamedTuple):
    """Scores of a network, and their explanation."""

    scores: Tensor
    """(image, output)"""
    stages: tuple[Tensor, ...]
    """the Shapley representation (image, channel, height, width) of each stage; the last one is the
    explanation and has one channel per output"""


class ImageStage(nn.Module):
    """A Shapley transform of an image.

    Args:
        channels: channels of the input.
        n_outputs: channels of the output.
        window: (height, width) of the window in pixels.
        dilation: distance between the window's pixels.

    Raises:
        InputError: the window has too many pixels, or the dilation is below 1.
    """

    subsets: Tensor

    def __init__(
        self, channels: int, n_outputs: int, window: Window = (2, 2), dilation: int = 1
    ) -> None:
        super().__init__()
        k = window[0] * window[1]
        if not 1 <= k <= MOST or min(window) < 1 or dilation < 1:
            raise InputError(
                f"window {window} with dilation {dilation}: a window has 1 to {MOST} pixels, and "
                "the dilation is at least 1"
            )
        places = itertools.product(range(window[0]), range(window[1]))
        self.offsets = [(y * dilation, x * dilation) for y, x in places]
        self.reach = self.offsets[-1]
        bound = (k * channels) ** -0.5
        self.weight = nn.Parameter(torch.empty(k, n_outputs, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_outputs).uniform_(-bound, bound))
        self.activation = nn.LeakyReLU(SLOPE)
        self.register_buffer("subsets", combinations(k)[0], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (image, channel, height, width) to the same shape with this stage's channels."""
        views = self._views(x)
        sums: list[Tensor] = []
        for number in range(1, len(self.subsets)):
            # A subset is the subset without its last member, plus that member.
            last = number.bit_length() - 1
            rest = number - (1 << last)
            sums.append((sums[rest - 1] if rest else self.bias[:, None, None]) + views[last])
        # Subsets come first in memory, for the product; the module gets a transposed view.
        outputs = self.activation(torch.stack(sums).transpose(0, 1)).transpose(0, 1)
        values = torch.tensordot(shares_of(len(views), outputs)[:, 1:], outputs, dims=1)
        # The output for an empty window is the same in all windows. Each pixel is in k windows, and
        # a k-th of this output is subtracted in each.
        found = -functional.leaky_relu(self.bias, SLOPE)[:, None, None]
        height, width = x.shape[2:]
        for value, (y, column) in zip(values.unbind(), self.offsets, strict=True):
            top, left = self.reach[0] - y, self.reach[1] - column
            found = found + value[..., top : top + height, left : left + width]
        return found

    def total(self, x: Tensor) -> Tensor:
        """The output summed over pixels: (image, output). It takes one sum instead of 2ᵏ."""
        sums = torch.stack(self._views(x)).sum(dim=0) + self.bias[:, None, None]
        rest = functional.leaky_relu(self.bias, SLOPE)
        pixels = sums.shape[2] * sums.shape[3]
        found: Tensor = self.activation(sums).sum(dim=(2, 3)) - pixels * rest
        return found

    def _views(self, x: Tensor) -> list[Tensor]:
        """Contribution of each place of the window, at every window: (image, output, …) each."""
        weight = self.weight.flatten(0, 1)[:, :, None, None]
        products = functional.conv2d(x, weight).unflatten(1, self.weight.shape[:2]).unbind(1)
        (far_y, far_x) = self.reach
        return [
            functional.pad(product, (far_x - column, column, far_y - y, y))
            for product, (y, column) in zip(products, self.offsets, strict=True)
        ]

    @torch.inference_mode()
    def pruned(self, x: Tensor, threshold: float) -> tuple[Tensor, float]:
        """The output with pixels near their references skipped (Section 2.5), image by image.

        Only pixels with a channel further than the threshold from 0 are multiplied, and only
        windows that hold such a pixel are computed.

        Returns:
            The output, which is exact for a threshold of 0, and the share of windows computed.
        """
        n, _, height, width = x.shape
        active = x.abs().amax(dim=1) > threshold  # (image, height, width)
        far_y, far_x = self.reach
        rows = torch.full((n, height + 2 * far_y, width + 2 * far_x), -1, device=x.device)
        inside = rows[:, far_y : far_y + height, far_x : far_x + width]
        inside[active] = torch.arange(int(active.sum()), device=x.device)
        size = (height + far_y, width + far_x)
        # Index of the active pixel at each place of each window, or -1: (place, image, window …).
        held = torch.stack([rows[:, y : y + size[0], c : c + size[1]] for y, c in self.offsets])
        windows = (held >= 0).any(dim=0)
        held = held[:, windows]  # (place, window)
        pixels = x.permute(0, 2, 3, 1)[active]
        products = torch.einsum("pc,koc->kpo", pixels, self.weight)
        # The last row stands for pixels at their reference.
        products = functional.pad(products, (0, 0, 0, 1))
        views = torch.stack([p[h] for p, h in zip(products, held, strict=True)])
        sums = torch.einsum("sk,kwo->swo", self.subsets.to(views.dtype), views) + self.bias
        outputs = functional.leaky_relu(sums, SLOPE)
        values = torch.tensordot(shares_of(len(views), outputs), outputs, dims=1)
        found = values.new_zeros(len(pixels) + 1, values.shape[2])
        for value, here in zip(values, held, strict=True):
            found.index_add_(0, torch.where(here < 0, len(pixels), here), value)
        out = values.new_zeros(n, height, width, values.shape[2])
        out[active] = found[:-1]
        return out.permute(0, 3, 1, 2), float(windows.double().mean())


class ImageShapNet(nn.Module):
    """A Deep ShapNet for images.

    Args:
        channels: channels of the images.
        widths: output channels of each stage; the last number is the number of outputs.
        dilations: dilation of each stage.
        window: (height, width) in pixels, one for all stages or one per stage.
        taken: number of channels that each stage uses (Section 2.3): its first ones; None: all. The
            others are passed on in front of the stage's output, so the next stage uses them first.
            The last stage uses all.

    Raises:
        InputError: as :class:`ImageStage`, or the numbers of stages or channels do not match.
    """

    structure: Tensor

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        dilations: Sequence[int],
        window: Window | Sequence[Window] = (2, 2),
        taken: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        channels, widths = whole("channels", channels), wholes("widths", widths)
        dilations = wholes("dilations", dilations, None)
        windows = windows_of(window, len(widths))
        if not len(widths) == len(dilations) == len(windows) >= 1:
            raise InputError(
                f"{len(widths)} widths and {len(dilations)} dilations with {len(windows)} windows: "
                "give one of each per stage"
            )
        given = _given(channels, widths, taken)
        shapes = list(zip(windows, dilations, strict=True))
        self.stages = nn.ModuleList(
            ImageStage(some, width, *shape)
            for (_, some), width, shape in zip(given, widths, shapes, strict=True)
        )
        # One row per stage: height and width of its window, dilation, channels available to it.
        structure = [
            [*size, dilation, there]
            for (size, dilation), (there, _) in zip(shapes, given, strict=True)
        ]
        self.register_buffer("structure", torch.tensor(structure))
        self.channels, self.n_outputs = channels, widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Scores (image, output); the last stage's explanation is not computed.

        Raises:
            InputError: images have another shape, dtype or device, or are too small. NaN gives NaN.
        """
        images = self._given(images)
        *before, last = self._stages()
        for stage in before:
            images = _applied(stage, images)
        return last.total(images)

    def explain(self, images: Tensor) -> ExplainedImages:
        """Scores and the Shapley representations of all stages, in one forward pass.

        Raises:
            InputError: as :meth:`forward`.
        """
        images, found = self._given(images), []
        for stage in self._stages():
            images = _applied(stage, images)
            found.append(images)
        return ExplainedImages(images.sum(dim=(2, 3)), tuple(found))

    @torch.inference_mode()
    def pruned(self, images: Tensor, threshold: float) -> tuple[ExplainedImages, list[float]]:
        """As :meth:`explain`, skipping pixels near their references; also shares of windows used.

        Raises:
            InputError: as :meth:`forward`; there is no image, images hold NaN or Inf, or the
                threshold is below 0.
        """
        real("threshold", threshold, least=0)
        images = finite("images", self._given(images))
        if not len(images):
            raise InputError("no images: give at least one")
        found, shares = [], []
        for stage in self._stages():
            n_taken = stage.weight.shape[2]
            own, share = stage.pruned(images[:, :n_taken], threshold)
            images = torch.cat([images[:, n_taken:], own], dim=1)
            found.append(images)
            shares.append(share)
        return ExplainedImages(images.sum(dim=(2, 3)), tuple(found)), shares

    def _stages(self) -> list[ImageStage]:
        return [stage for stage in self.stages if isinstance(stage, ImageStage)]

    def _given(self, images: Tensor) -> Tensor:
        stages = self._stages()
        images = tensor("images", images, stages[0].weight)
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise InputError(
                f"images of shape {tuple(images.shape)}: (image, {self.channels}, height, width) "
                "are needed"
            )
        height, width = images.shape[2:]
        far_y, far_x = (max(stage.reach[axis] for stage in stages) for axis in (0, 1))
        if far_y >= height or far_x >= width:
            raise InputError(
                f"images of {height} × {width} pixels: windows reach over {far_y + 1} × "
                f"{far_x + 1}; take larger images or smaller dilations"
            )
        check_like("images", images, stages[0].weight)
        return images


def _applied(stage: ImageStage, x: Tensor) -> Tensor:
    """A stage's output, preceded by the channels that it does not use."""
    n_taken = stage.weight.shape[2]
    if n_taken == x.shape[1]:
        own: Tensor = stage(x)
        return own
    return torch.cat([x[:, n_taken:], stage(x[:, :n_taken])], dim=1)


def _given(
    channels: int, widths: Sequence[int], taken: Sequence[int] | None
) -> list[tuple[int, int]]:
    """For each stage, the number of channels available and the number that it uses."""
    taken = None if taken is None else wholes("taken", taken, None)
    if taken is not None and len(taken) != len(widths):
        raise InputError(
            f"taken: {list(taken)} for {len(widths)} stages; give one number per stage"
        )
    found, there = [], channels
    for number, width in enumerate(widths):
        some = there if taken is None else taken[number]
        is_last = number == len(widths) - 1
        if not (there if is_last else 1) <= some <= there:
            allowed = f"all {there}" if is_last else f"1 to {there}"
            raise InputError(
                f"taken: stage {number + 1} takes {some} of {there} channels; it may take {allowed}"
            )
        found.append((there, some))
        there = there - some + width
    return found


def windows_of(window: Window | Sequence[Window], n_stages: int) -> list[Window]:
    """The window of each stage; a single window applies to all. Raises InputError if invalid."""
    try:
        given: list[Any] = [window] * n_stages if isinstance(window[0], int) else list(window)
        sizes = [wholes("window", each, None) for each in given]
    except (TypeError, IndexError, KeyError):
        sizes = [[]]
    if any(len(size) != 2 for size in sizes):
        raise InputError(f"window {window!r}: give (height, width), or one such pair per stage")
    return [(height, width) for height, width in sizes]


def from_state(state: dict[str, Tensor]) -> ImageShapNet:
    """The network of a ``state_dict``, which holds the structure.

    Raises:
        InputError: the state belongs to something else.
    """
    check_state(state)
    try:
        structure = state["structure"].tolist()
        weights = [state[f"stages.{i}.weight"] for i in range(len(structure))]
        widths = [weight.shape[1] for weight in weights]
        windows = [(height, width) for height, width, _, _ in structure]
        dilations = [dilation for _, _, dilation, _ in structure]
        taken = [weight.shape[2] for weight in weights]
        found = ImageShapNet(structure[0][3], widths, dilations, windows, taken)
        found.to(weights[0].dtype).load_state_dict(state)
    except (KeyError, RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"this is no state of an image ShapNet: {error}") from None
    return found
