"""Attributions of a model's output by its gradients: Integrated Gradients and GradCAM, by captum.

Both explain a module that maps sequences of feature vectors (batch, element, feature) to scores
(batch, class), and give one number per element.

* Integrated Gradients (Sundararajan, Taly, Yan 2017): the gradient integrated along the straight
  line from a baseline x' to the input x, times x − x', summed over an element's features. The sum
  over elements is f(x) − f(x'), up to the quadrature error.
* GradCAM (Selvaraju et al. 2017) with the features as channels and the elements as places: a
  channel's weight is the mean over elements of the gradient, and an element's value is the weighted
  sum of its channels. The paper keeps only positive values; a ranking needs the signed ones.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.core.arguments import one_of, whole
from pipeline.core.errors import InputError
from pipeline.models.arguments import called, check_kind, finite, tensor, weight_of

BaselineKind = Literal["zero", "mean"]
"""The zero vector, or the mean of the rows' feature vectors."""


@dataclass(frozen=True)
class Integrated:
    """Integrated Gradients, and their deviation from completeness."""

    values: Tensor
    """(sequence, element) float64"""
    gap: Tensor
    """(sequence,) float64: the sum of the values, minus f(x) − f(x')"""


def integrated_gradients(
    module: nn.Module,
    features: Tensor,
    target_classes: Tensor,
    *,
    baseline: Tensor,
    steps: int = 50,
    internal_batch: int = 64,
) -> Integrated:
    """Integrated Gradients of every element for one class of each sequence.

    The integral is a Gauss-Legendre sum. captum rounds its weights to float32, so even in float64
    the gap does not fall much below 1e-7 of the values. It also sums the points of float32 features
    in float32, whereas :mod:`pipeline.models.lines` sums in float64.

    Args:
        module: (batch, element, feature) → (batch, class), differentiable, in evaluation mode, on
            the features' device; a row's scores must not depend on the other rows.
        features: (sequence, element, feature) float32 or float64.
        target_classes: (sequence,) integers, counted from 0.
        baseline: x', of a shape that can be broadcast to the features', e.g. (feature,) or
            (element, feature).
        steps: points of the quadrature.
        internal_batch: most rows (points on the lines of the sequences) evaluated at once. Memory
            grows only with it.

    Raises:
        InputError: a shape is wrong, values are NaN or Inf, a class does not exist, the module
            rejects the features, or steps or internal_batch is less than 1.
    """
    steps, internal_batch = whole("steps", steps), whole("internal_batch", internal_batch)
    features, targets = checked(module, features, target_classes)
    baselines = expanded(baseline, features)
    from captum.attr import IntegratedGradients  # noqa: PLC0415  takes seconds to load

    method = IntegratedGradients(module)
    values, gaps = [], []
    for rows in _batches(len(features), max(1, internal_batch // steps)):
        x, start, target = features[rows].detach(), baselines[rows], targets[rows]
        attributed = method.attribute(
            x,
            baselines=start,
            target=target,
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=internal_batch,
        )
        by_element = attributed.detach().double().sum(dim=2)
        with torch.no_grad():
            gained = (module(x).double() - module(start).double()).gather(1, target[:, None])
        values.append(by_element)
        gaps.append(by_element.sum(dim=1) - gained[:, 0])
    return Integrated(torch.cat(values), torch.cat(gaps))


def gradcam(
    module: nn.Module,
    features: Tensor,
    target_classes: Tensor,
    *,
    relu: bool = False,
    internal_batch: int = 64,
) -> Tensor:
    """GradCAM of every element for one class of each sequence.

    Args:
        module: as :func:`integrated_gradients`.
        features: (sequence, element, feature) float32 or float64.
        target_classes: (sequence,) integers, counted from 0.
        relu: whether negative values become zero, as in the paper's maps. Elements that count
            against the class cannot be distinguished then.
        internal_batch: most rows evaluated at once.

    Returns:
        (sequence, element) float64.

    Raises:
        InputError: a shape is wrong, values are NaN or Inf, a class does not exist, the module
            rejects the features, or internal_batch is less than 1.
    """
    internal_batch = whole("internal_batch", internal_batch)
    features, targets = checked(module, features, target_classes)
    from captum.attr import LayerGradCam  # noqa: PLC0415  takes seconds to load

    channels_first = _ChannelsFirst(module)
    method = LayerGradCam(channels_first, channels_first.channels)
    parts = []
    for rows in _batches(len(features), internal_batch):
        # The module's weights may be frozen: only the input then leads to a gradient.
        channels = features[rows].detach().transpose(1, 2).clone().requires_grad_()
        maps = method.attribute(channels, target=targets[rows], relu_attributions=relu)
        parts.append(maps.detach().double()[:, 0])
    return torch.cat(parts)


def baseline_features(kind: BaselineKind, rows: Tensor) -> Tensor:
    """The feature vector that represents the absence of information.

    Args:
        kind: ``zero`` or ``mean``.
        rows: (row, feature) feature vectors, e.g. of all training frames. They set the dtype and
            the device; their mean is taken in float64.

    Returns:
        (feature,) of the rows' dtype.

    Raises:
        InputError: the kind is unknown, there are no rows, or rows hold NaN or Inf.
    """
    one_of("baseline", kind, BaselineKind)
    rows = tensor("rows", rows)
    if rows.dim() != 2 or len(rows) == 0 or not rows.is_floating_point():
        raise InputError(
            f"rows of shape {tuple(rows.shape)}, {rows.dtype}: floats (row, feature) with at least "
            "one row are needed"
        )
    if kind == "zero":
        return rows.new_zeros(rows.shape[1])
    return finite("the rows", rows).mean(dim=0, dtype=torch.float64).to(rows.dtype)


class _ChannelsFirst(nn.Module):
    """A module behind a layer in which features are channels and elements are places."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.channels = nn.Identity()
        self.module = module

    def forward(self, channels: Tensor) -> Tensor:
        """(batch, feature, element) → (batch, class)."""
        return self.module(self.channels(channels).transpose(1, 2))


def expanded(baseline: Tensor, features: Tensor) -> Tensor:
    """One baseline per sequence, of the features' shape; raises InputError if it does not fit."""
    baseline = tensor("the baseline", baseline)
    try:
        baselines = baseline.to(features).expand_as(features)
    except RuntimeError:
        raise InputError(
            f"a baseline of shape {tuple(baseline.shape)} cannot be broadcast to features of "
            f"shape {tuple(features.shape)}"
        ) from None
    if not torch.isfinite(baselines).all():
        raise InputError("the baseline holds NaN or Inf")
    return baselines


def _batches(n_rows: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def checked(module: nn.Module, features: Tensor, target_classes: Tensor) -> tuple[Tensor, Tensor]:
    """Features, and classes as int64 on their device; raises InputError if they are unusable."""
    check_kind("module", module, nn.Module, "; wrap a function in one")
    features = tensor("features", features, weight_of(module))
    target_classes = tensor("target classes", target_classes)
    if features.dim() != 3 or 0 in features.shape or not features.is_floating_point():
        raise InputError(
            f"features of shape {tuple(features.shape)}, {features.dtype}; floats of shape "
            "(sequence, element, feature), each at least 1, are needed"
        )
    bad = ~torch.isfinite(features).flatten(start_dim=1).all(dim=1)
    if bad.any():
        where = torch.nonzero(bad).flatten().tolist()
        raise InputError(f"features hold NaN or Inf in sequence(s) {where[:8]}")
    whole = not (target_classes.is_floating_point() or target_classes.dtype == torch.bool)
    if target_classes.shape != (len(features),) or not whole:
        raise InputError(
            f"target classes of shape {tuple(target_classes.shape)}, {target_classes.dtype}; an "
            f"integer for each of {len(features)} sequences is needed"
        )
    with torch.no_grad():
        scores = called(module, features[:1], "features")
    if scores.dim() != 2 or len(scores) != 1:
        raise InputError(
            f"the module gives scores of shape {tuple(scores.shape)} for one sequence; (1, class) "
            "is needed"
        )
    n_classes = finite("the module's scores", scores).shape[1]
    lowest, highest = int(target_classes.min()), int(target_classes.max())
    if lowest < 0 or highest >= n_classes:
        raise InputError(
            f"target classes from {lowest} to {highest}; the model has classes 0 to {n_classes - 1}"
        )
    return features, target_classes.to(features.device, torch.int64)
