"""Gradients of a model along straight lines, and their integrals, as used by Integrated Gradients.

Integrated Gradients of a score F between a start x' and an end x (Sundararajan, Taly, Yan 2017,
Eq. 1) are, for feature i,

    (x_i − x'_i) · ∫₀¹ ∂F(x' + α (x − x')) / ∂x_i dα.

The integral is a weighted sum over points α of a quadrature. The lines and their points share one
batch dimension, so many short lines take as few passes as one long line.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.arguments import one_of, whole

Floats = NDArray[np.float64]

Rule = Literal["gauss-legendre", "midpoint"]
"""Gauss-Legendre is exact for gradients that are polynomials of degree 2·steps − 1 in α; the
midpoint rule does not rely on smoothness, which networks of ReLUs lack."""

Lines = Callable[[int, int], tuple[Tensor, Tensor]]
"""Makes starts and ends, (line, *shape) each, of the lines from the first number to the second
(exclusive)."""

PointScores = Callable[[Tensor, Tensor], Tensor]
"""Scores (point,) of points (point, *shape), given each point's line, (point,) int64. The function
is differentiable, and a point's score does not depend on other points."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients at some points. The first and last line may have more points in other batches."""

    lines: slice
    """the lines of the points"""
    of: Tensor
    """(point,) int64, each point's line, counted from the first of ``lines``"""
    step: Tensor
    """(point,) int64, each point's index in the quadrature"""
    gradients: Tensor
    """(point, feature)"""
    along: Tensor
    """(line, feature), end minus start"""


def quadrature(rule: Rule, steps: int) -> tuple[Floats, Floats]:
    """Points in 0…1 and their weights, which sum to 1: two (steps,) float64.

    Raises:
        InputError: the rule is unknown, or steps is less than 1.
    """
    one_of("quadrature", rule, Rule)
    steps = whole("steps", steps)
    if rule == "midpoint":
        return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)
    return _gauss_legendre(steps)


@lru_cache(maxsize=16)
def _gauss_legendre(steps: int) -> tuple[Floats, Floats]:
    points, weights = np.polynomial.legendre.leggauss(steps)
    return (points + 1) / 2, weights / 2


def gradients_along(
    scores: PointScores, lines: Lines, n_lines: int, points: Floats, *, batch_size: int
) -> Iterator[Gradients]:
    """Gradients at the same points of every line, batch after batch.

    Args:
        scores: scores of points.
        lines: makes starts and ends, as they are needed.
        n_lines: number of lines.
        points: (step,) α in 0…1.
        batch_size: most points per pass. A multiple of ``len(points)`` keeps lines whole.
    """
    steps, total = len(points), n_lines * len(points)
    for begin in range(0, total, batch_size):
        end = min(begin + batch_size, total)
        first, last = begin // steps, (end - 1) // steps + 1
        starts, ends = (each.detach() for each in lines(first, last))
        rows = torch.arange(begin, end, device=starts.device)
        of, step = rows // steps - first, rows % steps
        alphas = torch.from_numpy(points).to(starts)
        along = (ends - starts).flatten(start_dim=1)
        at = starts.flatten(start_dim=1)[of] + alphas[step, None] * along[of]
        with torch.enable_grad():
            inputs = at.view(len(rows), *starts.shape[1:]).requires_grad_()
            (gradients,) = torch.autograd.grad(scores(inputs, of + first).sum(), inputs)
        yield Gradients(slice(first, last), of, step, gradients.flatten(start_dim=1), along)


def integrals_along(
    scores: PointScores, lines: Lines, n_lines: int, rule: tuple[Floats, Floats], *, batch_size: int
) -> Iterator[tuple[slice, Tensor]]:
    """Integrated Gradients of every line, in parts to be added up.

    Args:
        scores: scores of points.
        lines: makes starts and ends, as they are needed.
        n_lines: number of lines.
        rule: points and weights, (step,) each: :func:`quadrature`.
        batch_size: most points per pass; memory grows with it.

    Yields:
        Some lines, and the contribution of one batch of points to their integrals: (line, feature)
        float64. A line whose points are in two batches is in both.
    """
    points, weights = rule
    for part in gradients_along(scores, lines, n_lines, points, batch_size=batch_size):
        # Each row of this table is a line, so the product sums each line's points.
        n_points, device = len(part.of), part.of.device
        shape = (part.lines.stop - part.lines.start, n_points)
        table = torch.zeros(shape, dtype=torch.float64, device=device)
        table[part.of, torch.arange(n_points, device=device)] = torch.from_numpy(weights).to(
            device
        )[part.step]
        yield part.lines, (table @ part.gradients.double()) * part.along.double()
