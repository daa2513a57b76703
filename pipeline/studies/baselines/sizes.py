"""Proposal 1 with other areas than those of the exact values (section 4.3).

"As the area decreases, the result will get closer to [the] ratio between Shapley value": coalitions
of larger and of smaller areas are sampled. The resulting attributions are summed over the areas of
the study, which have exact values.
"""

from dataclasses import replace

import numpy as np

from pipeline.shapley.games import Game
from pipeline.studies.baselines.areas import Areas, picture_game, square_areas
from pipeline.studies.baselines.effective import MOST_PLAYERS, EffectiveShapley, effective_shapley
from pipeline.studies.baselines.explained import Shown
from pipeline.studies.baselines.integrated import Attribution, shapley_integrated_gradients
from pipeline.studies.baselines.params import AttributionsParams


def other_areas(height: int, width: int, side: int) -> dict[str, Areas]:
    """Areas of twice the side, and of half of it, if there are such and Algorithm 1 takes them.

    Args:
        height, width: pixels of the pictures.
        side: pixels of the study's own areas.
    """

    def count(of_side: int) -> int:
        return -(-height // of_side) * -(-width // of_side)

    found = {}
    if count(2 * side) > 1:
        found["larger"] = square_areas(height, width, 2 * side)
    smaller = next((s for s in range(-(-side // 2), side) if count(s) <= MOST_PLAYERS), None)
    if smaller is not None:
        found["smaller"] = square_areas(height, width, smaller)
    return found


def sample_coalitions(
    game: Game, params: AttributionsParams, seed: np.random.SeedSequence
) -> EffectiveShapley:
    """Algorithm 1 with the given parameters."""
    return effective_shapley(
        game,
        per_size=params.per_size,
        n_kept=params.kept,
        tolerance=params.tolerance,
        bins=params.bins,
        seed=seed,
    )


def with_areas(
    shown: Shown,
    areas: Areas,
    params: AttributionsParams,
    seed: np.random.SeedSequence,
    *,
    evaluated_at_once: int,
    batch_size: int,
) -> tuple[Attribution, int]:
    """Shapley Integrated Gradients by proposal 1, with coalitions of given areas.

    Args:
        shown: the picture.
        areas: the players.
        params: of Algorithm 1, and of the quadrature.
        seed: of the draws.
        evaluated_at_once: pictures per call of the model for scores.
        batch_size: points per call of the model for gradients.

    Returns:
        The attribution, and how many coalitions were evaluated.
    """
    given = replace(shown, areas=areas)
    game = picture_game(
        given.scores, given.picture, areas, baseline=given.absent, batch_size=evaluated_at_once
    )
    sample = sample_coalitions(game, params, seed)
    found = shapley_integrated_gradients(
        given.scores,
        given.picture,
        areas,
        [one.coalitions for one in sample.samples],
        baseline=given.absent,
        counted=params.counted,
        steps=params.steps,
        rule=params.quadrature,
        batch_size=batch_size,
    )
    return found, sample.evaluations
