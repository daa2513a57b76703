"""Integrated Gradients of the multi-scale model, with one projection for all points of a line.

The first layer is affine, so on the line from a baseline to a sequence each half of a subsequence
moves along a line, too: it is known from its two ends. The gradient with respect to the halves is
integrated; only then it is led back to the elements. A general implementation projects every point,
and leads the gradient of every point back through the weights.
"""

import torch
from torch import Tensor

from pipeline.core.arguments import whole
from pipeline.models.arguments import check_kind
from pipeline.models.gradients import Integrated, checked, expanded
from pipeline.models.lines import quadrature
from pipeline.models.sequences import MultiScale
from pipeline.studies.frames.whole_model import Halves, WholeModel, halves_of, projected_frames


def gradients_on_lines(
    module: WholeModel,
    features: Tensor,
    target_classes: Tensor,
    *,
    baseline: Tensor,
    steps: int = 50,
    internal_batch: int = 64,
) -> Integrated:
    """Integrated Gradients of every element for one class of each sequence.

    The arguments and the result are those of
    :func:`pipeline.models.gradients.integrated_gradients`, and so are the points and weights of the
    quadrature.

    Args:
        module: a multi-scale model in evaluation mode, on the features' device.
        features: (sequence, element, feature) float32 or float64.
        target_classes: (sequence,) integers, counted from 0.
        baseline: of a shape that can be broadcast to the features'.
        steps: points of the quadrature.
        internal_batch: most points evaluated at once, but at least one of each sequence.

    Raises:
        InputError: as :func:`pipeline.models.gradients.integrated_gradients`; the model is another
            one.
    """
    steps, internal_batch = whole("steps", steps), whole("internal_batch", internal_batch)
    check_kind("module", module, WholeModel)
    model = module.model
    check_kind("the module's model", model, MultiScale)
    assert isinstance(model, MultiScale)
    features, targets = checked(module, features, target_classes)
    starts = expanded(baseline, features)
    sizes = module.sizes(features.shape[1])
    # Halves at the beginning of the lines, and their changes along the lines.
    first = [
        halves_of(size, projected_frames(model, starts, size), module.bias_of(size))
        for size in sizes
    ]
    along = [projected_frames(model, features.detach() - starts, size) for size in sizes]
    moves = [halves_of(size, of_size) for size, of_size in zip(sizes, along, strict=True)]
    at_once = max(1, internal_batch // len(features))
    integrals = _integrals(module, first, moves, targets, steps, at_once, features.shape[1])
    values = torch.stack(
        [
            _by_element(size, of_size, integral)
            for size, of_size, integral in zip(sizes, along, integrals, strict=True)
        ]
    ).sum(dim=0)
    with torch.no_grad():
        gained = (module(features).double() - module(starts).double()).gather(1, targets[:, None])
    return Integrated(values, values.sum(dim=1) - gained[:, 0])


def _integrals(
    module: WholeModel,
    first: list[Halves],
    moves: list[Halves],
    targets: Tensor,
    steps: int,
    at_once: int,
    n_frames: int,
) -> list[Halves]:
    """Integrals over α of the gradients with respect to the halves: (half, sequence, hidden)."""
    points, weights = quadrature("gauss-legendre", steps)
    found = [(torch.zeros_like(left), torch.zeros_like(right)) for left, right in moves]
    for begin in range(0, steps, at_once):
        chosen = slice(begin, begin + at_once)
        alphas = torch.from_numpy(points[chosen]).to(moves[0][0])[:, None]
        weight = torch.from_numpy(weights[chosen]).to(alphas)[:, None]
        inputs = [
            (_points(left, to_left, alphas), _points(right, to_right, alphas))
            for (left, right), (to_left, to_right) in zip(first, moves, strict=True)
        ]
        with torch.enable_grad():
            scores = module.scores_of_halves(inputs, n_frames)
            of_points = targets.repeat_interleave(len(alphas))
            total = scores.gather(1, of_points[:, None]).sum()
        flat = [half for of_size in inputs for half in of_size]
        gradients = iter(torch.autograd.grad(total, flat))
        for of_size in found:
            for integral in of_size:
                of_line = next(gradients).unflatten(1, (len(targets), len(alphas)))
                integral.add_((weight * of_line).sum(dim=2))
    return found


def _points(start: Tensor, move: Tensor, alphas: Tensor) -> Tensor:
    """Halves at points of the lines: (half, sequence · point, hidden)."""
    return torch.addcmul(start[:, :, None], alphas, move[:, :, None]).flatten(1, 2).requires_grad_()


def _by_element(size: int, along: Tensor, integrals: Halves) -> Tensor:
    """What each element's way contributes: (sequence, element) float64."""
    along = along.detach().requires_grad_()
    with torch.enable_grad():
        halves = halves_of(size, along)
        left, right = (half * of_half for half, of_half in zip(halves, integrals, strict=True))
        total = left.sum() + right.sum()
    (gradient,) = torch.autograd.grad(total, along)
    return (gradient.double() * along.detach().double()).sum(dim=(0, 3)).T
