"""The averaging model's game of one sequence: each coalition is evaluated independently."""

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from pipeline.models.sequences import Averaging
from pipeline.shapley import coalitions
from pipeline.studies.frames.coalition_scores import Score, class_scores, single_scores


def averaging_game(
    model: Averaging, features: torch.Tensor, empty: torch.Tensor, output: int, score: Score
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Scores of any coalitions of one sequence's frames.

    Args:
        model: in evaluation mode, on the device of ``empty``.
        features: (frame, feature_dim).
        empty: (class,) v(∅), in the unit of ``score``.
        output: the class whose score is returned.
        score: what v is.

    Returns:
        A function of masks (coalition,) uint64 → (coalition, 1) float32.
    """
    with torch.no_grad():
        single = single_scores(model.classifier(features.to(empty.device)), score)

    @torch.no_grad()
    def evaluate(masks: NDArray[Any]) -> NDArray[Any]:
        present = torch.from_numpy(coalitions.to_bool(masks, len(single))).to(single)
        sizes = present.sum(dim=1, keepdim=True)
        scores = class_scores(present @ single / sizes.clamp(min=1), score)[:, output]
        scores = torch.where(sizes[:, 0] > 0, scores, empty[output].to(scores))
        found: NDArray[Any] = scores[:, None].cpu().numpy()
        return found

    return evaluate
