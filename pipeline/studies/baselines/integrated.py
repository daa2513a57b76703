"""Integrated Gradients over many baselines, and Shapley Integrated Gradients.

Integrated Gradients of a model F between a baseline x' and an input x (Sundararajan, Taly, Yan
2017; Effective Coalitions of Shapley Value for Integrated Gradients, Eq. 3) is, of feature i,

    (x_i − x'_i) · ∫₀¹ ∂F(x' + α (x − x')) / ∂x_i dα.

Shapley Integrated Gradients (the same paper, Algorithm 2 and section 4.3) averages it over the
pictures of coalitions of areas that Algorithm 1 samples: D_i for the player (area) i, where no
coalition of D_i holds i. Appendix B.1 names three ways to use a coalition S, whose picture is x_S:

* proposal 1, Algorithm 2 itself: from x_S to the picture x ("baselines");
* proposal 2: from the zero baseline to x_S ("inputs");
* both together, described only as "proposal 1 + proposal 2": their sum ("both"). A coalition's two
  lines then form one path from the baseline over x_S to x, so the values sum to F(x) − F(x'),
  unlike those of a single proposal.

*Which coalitions count for which feature.* Algorithm 2 computes Integrated Gradients from each
player's D_i in a loop and, after the loop, says "Average all values of Integrated Gradients as each
player's contribution". There are two readings:

* ``all`` (the default): the text as printed. The values of all coalitions of all players are
  averaged, for every feature alike. A coalition that was sampled for two players counts twice, and
  a player with more coalitions counts more. A feature gets nothing from coalitions that hold it, so
  its value is scaled by the share of coalitions without it.
* ``own``: the features of area i get the average over D_i alone. The text supports this reading
  with "for player x_i" in Theorem 3 and "apply Integrated Gradients to compute each player's
  contribution". The Shapley value does the same: a player's marginal contributions are to
  coalitions without it. Since x_S shows the baseline in area i for each S in D_i, proposal 2 would
  give zero everywhere, so under ``own`` its inputs are the pictures of S ∪ {i}.

A player without coalitions (Algorithm 1 found no effective one: a null player) adds nothing to
``all`` and has value 0 under ``own``. Without any coalition at all, all values are 0.

Equal coalitions are integrated once and weighted by how often they were sampled. Lines and the
points on them are one batch dimension, so that a picture takes as few passes as ``batch_size``
allows.
"""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.arguments import one_of, seed_of, whole
from pipeline.core.errors import InputError
from pipeline.models.arguments import called, finite, tensor
from pipeline.models.lines import Lines, Rule, integrals_along, quadrature
from pipeline.studies.baselines.areas import (
    Areas,
    Scores,
    area_sums,
    as_membership,
    checked_areas,
    checked_picture,
    count_players,
    fitted_baseline,
    presence,
)

Proposal = Literal["baselines", "inputs", "both"]
"""Coalitions are baselines (proposal 1), inputs (proposal 2), or both in turn."""

Counted = Literal["all", "own"]
"""Which coalitions count for a feature: those of all players, or only those of its own area."""

BaselineKind = Literal["zero", "mean", "random"]


@dataclass(frozen=True, eq=False)
class Attribution:
    """Contribution of each feature of a picture to a score."""

    values: Tensor
    """(*shape) float64"""
    lines: int
    """Distinct straight lines along which gradients were integrated."""
    gradient_evaluations: int
    """Points at which the gradient was evaluated: lines · steps."""
    largest_gap: float
    """Over the lines, the largest absolute difference between the sum over features of the
    integrated gradients and the difference of the scores at the end and at the start; 0 without
    lines."""

    def per_player(self, areas: Areas) -> Tensor:
        """Sums over the features of each player: (player,) float64."""
        return area_sums(self.values, areas)


def baseline_pictures(
    kind: BaselineKind, pictures: Tensor, *, count: int = 1, seed: int = 0
) -> Tensor:
    """The paper's usual baselines: zero, the mean of some pictures, or some of them at random.

    Args:
        kind: ``zero``, ``mean`` or ``random``.
        pictures: (picture, *shape) floats; they set the shape, the dtype and the device.
        count: number of random pictures, drawn without repeats; the other kinds are one picture.
        seed: of the random pictures.

    Returns:
        (baseline, *shape) of the pictures' dtype.

    Raises:
        InputError: another kind, no pictures, NaN or Inf, a count above the number of pictures.
    """
    one_of("baseline", kind, BaselineKind)
    pictures = tensor("pictures", pictures)
    if pictures.dim() < 2 or len(pictures) == 0 or not pictures.is_floating_point():
        raise InputError(
            f"pictures of shape {tuple(pictures.shape)}, {pictures.dtype}: (picture, *shape) "
            "floats with at least one picture are needed"
        )
    finite("pictures", pictures)
    if kind == "zero":
        return torch.zeros_like(pictures[:1])
    if kind == "mean":
        return pictures.mean(dim=0, keepdim=True, dtype=torch.float64).to(pictures.dtype)
    count = whole("count of random baselines", count, 1, len(pictures))
    chosen = np.random.default_rng(seed_of(seed)).choice(len(pictures), size=count, replace=False)
    return pictures[torch.from_numpy(chosen).to(pictures.device)]


def integrated_gradients(
    scores: Scores,
    picture: Tensor,
    baselines: Tensor,
    *,
    target: int = 0,
    steps: int = 50,
    rule: Rule = "gauss-legendre",
    batch_size: int = 256,
) -> Attribution:
    """Integrated Gradients of a picture, averaged over baselines.

    The values sum to the score of the picture minus the mean of the baselines' scores, up to the
    error of the quadrature.

    Args:
        scores: (batch, *shape) → (batch, output), or (batch,) of one output; differentiable, in
            evaluation mode, on the picture's device; a row's scores must not depend on the others.
        picture: (*shape) floats.
        baselines: (baseline, *shape); :func:`baseline_pictures` makes the usual ones.
        target: number of the output, from 0.
        steps: points of the quadrature, on each line.
        rule: of the quadrature.
        batch_size: the most points in one call of the model; memory grows with it.

    Raises:
        InputError: shapes that do not go together, no baselines, NaN or Inf (also of scores or
            their gradients), a model that does not accept the picture, an output that does not
            exist, steps or batch_size less than 1, another rule.
    """
    shown, baselines = checked_picture(picture, scores), tensor("baselines", baselines)
    if (
        baselines.dim() != shown.dim() + 1
        or baselines.shape[1:] != shown.shape
        or not len(baselines)
    ):
        raise InputError(
            f"baselines of shape {tuple(baselines.shape)} for a picture of shape "
            f"{tuple(shown.shape)}: (baseline, *shape) with at least one baseline is needed"
        )
    starts = baselines.detach().to(shown)
    if not torch.isfinite(starts).all():
        raise InputError("the baselines hold NaN or Inf")

    def lines(first: int, last: int) -> tuple[Tensor, Tensor]:
        return starts[first:last], shown.expand(last - first, *shown.shape)

    weights = torch.full((1, len(starts)), 1 / len(starts), dtype=torch.float64)
    (values,), gap = _integrate(
        scores, lines, [(weights, None)], shown, target, steps, rule, batch_size
    )
    return Attribution(values, len(starts), len(starts) * steps, gap)


def shapley_integrated_gradients(
    scores: Scores,
    picture: Tensor,
    areas: Areas,
    sampled: Sequence[NDArray[Any]],
    *,
    baseline: Tensor | None = None,
    proposal: Proposal = "baselines",
    counted: Counted = "all",
    target: int = 0,
    steps: int = 5,
    rule: Rule = "gauss-legendre",
    batch_size: int = 256,
) -> Attribution:
    """Shapley Integrated Gradients (Algorithm 2) of one picture; see the module's text.

    Args:
        scores: as :func:`integrated_gradients`.
        picture: (*shape) floats.
        areas: the player of every feature, (*shape) or its last axes.
        sampled: for each player the coalitions that Algorithm 1 sampled, as masks: (m,) integers,
            beyond 64 players (m, byte) uint8; m may differ and be 0. They must not hold the player.
        baseline: what absent areas show; its shape must broadcast to the picture's; None: zero. The
            lines of proposal 2 start there too.
        proposal: how coalitions are used.
        counted: which coalitions count for a feature.
        target: number of the output, from 0.
        steps: points of the quadrature, on each line.
        rule: of the quadrature.
        batch_size: the most points in one call of the model; memory grows with it.

    Raises:
        InputError: as :func:`integrated_gradients`, and if ``sampled`` does not have one entry per
            player, or if a coalition holds its own player or a player who does not exist.
    """
    one_of("proposal", proposal, Proposal)
    one_of("counted", counted, Counted)
    shown, areas = checked_picture(picture, scores), checked_areas(areas)
    absent = fitted_baseline(shown, torch.zeros(()) if baseline is None else baseline)
    owners, membership = _sampled(areas, sampled)
    each = ("baselines", "inputs") if proposal == "both" else (proposal,)
    total = torch.zeros(shown.shape, dtype=torch.float64, device=shown.device)
    n_lines, largest_gap = 0, 0.0
    for use in each:
        held = membership.copy()
        if use == "inputs" and counted == "own":
            held[np.arange(len(owners)), owners] = True
        distinct, weights = _weighted(owners, held, counted, to_coalitions=use == "inputs")
        lines = _lines(shown, absent, areas, distinct, to_coalitions=use == "inputs")
        group_of = None if counted == "all" else areas
        (values,), gap = _integrate(
            scores, lines, [(weights, group_of)], shown, target, steps, rule, batch_size
        )
        total += values
        n_lines += len(distinct)
        largest_gap = max(largest_gap, gap)
    return Attribution(total, n_lines, n_lines * steps, largest_gap)


def counted_both_ways(
    scores: Scores,
    picture: Tensor,
    areas: Areas,
    sampled: Sequence[NDArray[Any]],
    *,
    baseline: Tensor | None = None,
    target: int = 0,
    steps: int = 5,
    rule: Rule = "gauss-legendre",
    batch_size: int = 256,
) -> dict[Counted, Attribution]:
    """Proposal 1 under both rules for which coalitions count, from the same gradients.

    Arguments and errors as :func:`shapley_integrated_gradients`. Each attribution equals the result
    of that function, and reports the same number of gradients.
    """
    shown, areas = checked_picture(picture, scores), checked_areas(areas)
    absent = fitted_baseline(shown, torch.zeros(()) if baseline is None else baseline)
    owners, membership = _sampled(areas, sampled)
    distinct, of_all = _weighted(owners, membership, "all", to_coalitions=False)
    _, of_own = _weighted(owners, membership, "own", to_coalitions=False)
    lines = _lines(shown, absent, areas, distinct, to_coalitions=False)
    (all_, own), gap = _integrate(
        scores, lines, [(of_all, None), (of_own, areas)], shown, target, steps, rule, batch_size
    )
    n_lines = len(distinct)
    return {
        "all": Attribution(all_, n_lines, n_lines * steps, gap),
        "own": Attribution(own, n_lines, n_lines * steps, gap),
    }


def _sampled(
    areas: Areas, sampled: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The player that each coalition was sampled for, and its members: (m,), (m, player)."""
    n_players = count_players(areas)
    if not isinstance(sampled, Sized):
        raise InputError(
            f"coalitions: is a {type(sampled).__name__}; a list with one entry per player is needed"
        )
    if len(sampled) != n_players:
        raise InputError(
            f"coalitions were sampled for {len(sampled)} players; there are {n_players} areas"
        )
    tables = []
    for player, masks in enumerate(sampled):
        table = as_membership(masks, n_players)
        if table[:, player].any():
            raise InputError(
                f"coalition {int(np.argmax(table[:, player]))} of those sampled for player "
                f"{player} holds that player; its marginal contributions are to coalitions "
                "without it"
            )
        tables.append(table)
    owners = np.repeat(np.arange(n_players), [len(table) for table in tables])
    return owners, np.concatenate(tables)


def _weighted(
    owners: NDArray[np.intp], held: NDArray[np.bool_], counted: Counted, *, to_coalitions: bool
) -> tuple[NDArray[np.bool_], Tensor]:
    """Distinct coalitions, and the weight of each in each average: (line, player), (group, line).

    ``all`` has one group, ``own`` one per player. Coalitions whose line has no length count in the
    averages' denominators but are not integrated: the empty coalition if lines lead to coalitions,
    that of all players if lines lead from them.
    """
    distinct, of = np.unique(held, axis=0, return_inverse=True)
    n_players = held.shape[1]
    groups = np.zeros_like(owners) if counted == "all" else owners
    weights = np.zeros((1 if counted == "all" else n_players, len(distinct)))
    np.add.at(weights, (groups, of.ravel()), 1.0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
    sizes = distinct.sum(axis=1)
    moves = sizes > 0 if to_coalitions else sizes < n_players
    return distinct[moves], torch.from_numpy(np.ascontiguousarray(weights[:, moves]))


def _lines(
    picture: Tensor,
    absent: Tensor,
    areas: Areas,
    membership: NDArray[np.bool_],
    *,
    to_coalitions: bool,
) -> Lines:
    def lines(first: int, last: int) -> tuple[Tensor, Tensor]:
        kept = presence(picture, areas, membership[first:last])
        masked = torch.where(kept, picture, absent)
        if to_coalitions:
            return absent.expand_as(masked), masked
        return masked, picture.expand_as(masked)

    return lines


def _integrate(
    scores: Scores,
    lines: Lines,
    weightings: Sequence[tuple[Tensor, Areas | None]],
    like: Tensor,
    target: int,
    steps: int,
    rule: Rule,
    batch_size: int,
) -> tuple[list[Tensor], float]:
    """Weighted sums over lines of Integrated Gradients, (*shape) float64, and the largest gap.

    Args:
        scores: the model.
        lines: starts and ends of the lines, computed when needed.
        weightings: for each sum the weights (group, line) float64 of each line for each group's
            features; and the group of every feature, shaped as areas, None if there is one group.
        like: a picture, for shape, dtype and device.
        target: number of the output.
        steps: points on each line.
        rule: of the quadrature.
        batch_size: points in a pass.
    """
    target, batch_size = whole("output", target, 0), whole("batch size", batch_size)
    points = quadrature(rule, steps)
    with torch.no_grad():
        finite("the model's scores", _chosen(called(scores, like[None], "pictures"), target))
    n_lines = weightings[0][0].shape[1]
    weights = [weight.T.to(like.device) for weight, _ in weightings]
    indices = [_group_index(group_of, like) for _, group_of in weightings]
    sums = [torch.zeros(like.numel(), dtype=torch.float64, device=like.device) for _ in weightings]
    integrals = torch.zeros(n_lines, dtype=torch.float64, device=like.device)

    def chosen(at: Tensor, _: Tensor) -> Tensor:
        found = _chosen(scores(at), target)
        if not found.requires_grad:
            raise InputError("the model's score does not depend on the picture by gradients")
        return found

    for some, partial in integrals_along(chosen, lines, n_lines, points, batch_size=batch_size):
        integrals[some] += partial.sum(dim=1)
        for number, index in enumerate(indices):
            weight = weights[number][some]
            weight = weight if index is None else weight[:, index]
            sums[number] += (weight * partial).sum(dim=0)
    gap = _largest_gap(scores, lines, integrals, target, batch_size)
    for total in sums:
        finite("the gradients of the model's scores", total)
    return [total.view(like.shape) for total in sums], gap


def _group_index(group_of: Areas | None, like: Tensor) -> Tensor | None:
    """The group of every feature: (feature,)."""
    if group_of is None:
        return None
    groups = np.broadcast_to(group_of, like.shape).ravel().astype(np.int64)
    return torch.from_numpy(groups).to(like.device)


def _chosen(values: Tensor, target: int) -> Tensor:
    columns = values[:, None] if values.dim() == 1 else values
    if columns.dim() != 2:
        raise InputError(
            f"the model gave values of shape {tuple(values.shape)}; (batch, output) is needed"
        )
    if not 0 <= target < columns.shape[1]:
        raise InputError(
            f"output {target} does not exist; the model has outputs 0 to {columns.shape[1] - 1}"
        )
    return columns[:, target]


def _largest_gap(
    scores: Scores, lines: Lines, integrals: Tensor, target: int, batch_size: int
) -> float:
    largest = 0.0
    with torch.no_grad():
        for first in range(0, len(integrals), batch_size):
            last = min(first + batch_size, len(integrals))
            starts, ends = lines(first, last)
            gained = [_scores_at(scores, each, target) for each in (ends, starts)]
            gaps = integrals[first:last] - (gained[0] - gained[1])
            largest = max(largest, float(gaps.abs().max()))
    return largest


def _scores_at(scores: Scores, at: Tensor, target: int) -> Tensor:
    """(row,) float64; a picture expanded to many rows is scored once."""
    if len(at) > 1 and at.stride(0) == 0:
        return _chosen(scores(at[:1]), target).double().expand(len(at))
    return _chosen(scores(at), target).double()
