"""How long attributions of a picture take, method by method.

Shapley Integrated Gradients integrate along as many lines as Algorithm 1 samples distinct
coalitions. They are compared with Integrated Gradients from as many baselines at as many points, so
that both evaluate equally many gradients and differ only in where the lines start. A user's
alternative, Integrated Gradients from one baseline, is timed too.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.studies.baselines.areas import Scores, picture_game
from pipeline.studies.baselines.effective import EffectiveShapley
from pipeline.studies.baselines.explained import Shown
from pipeline.studies.baselines.integrated import (
    Attribution,
    Proposal,
    integrated_gradients,
    shapley_integrated_gradients,
)
from pipeline.studies.baselines.params import AttributionsParams
from pipeline.studies.baselines.sizes import sample_coalitions

CAPTUM_RULES = {"gauss-legendre": "gausslegendre", "midpoint": "riemann_middle"}

METHODS = {
    "sig": "SIG (proposal 1), coalitions given",
    "ig": "IG, as many baselines and points",
    "captum": "the same by captum's IntegratedGradients, one batch",
    "plain": "IG from one baseline",
    "algorithm_1": "sampling the coalitions of SIG (Algorithm 1), on the model itself",
    "sig_inputs": "SIG by proposal 2, coalitions given",
    "sig_both": "SIG by proposals 1 and 2, coalitions given",
}
TOGETHER: dict[str, tuple[str, tuple[str, ...]]] = {
    "sig_with_algorithm_1": (
        "SIG (proposal 1), with the sampling of its coalitions",
        ("sig", "algorithm_1"),
    ),
}
"""Sums of several timed methods: description, methods"""


@dataclass(frozen=True, eq=False)
class Work:
    """The tasks to time for one picture."""

    tasks: dict[str, Callable[[], object]]
    """by the names of METHODS"""
    gradient_evaluations: dict[str, int]
    model_evaluations: dict[str, int]


def prepare(
    shown: Shown,
    training: Tensor,
    params: AttributionsParams,
    batch_size: int,
    evaluated_at_once: int,
) -> Work:
    """The tasks of one picture, all with the same model.

    Args:
        shown: the picture.
        training: (picture, *shape), from which baselines are drawn.
        params: of the methods; its seed is that of coalitions and baselines.
        batch_size: points per call of the model for gradients.
        evaluated_at_once: pictures per call of the model for scores alone.
    """
    scores, picture = shown.scores, shown.picture
    game = picture_game(
        scores, picture, shown.areas, baseline=shown.absent, batch_size=evaluated_at_once
    )

    def algorithm_1() -> EffectiveShapley:
        return sample_coalitions(game, params, np.random.SeedSequence([params.seed, 0]))

    sample = algorithm_1()
    coalitions = [player.coalitions for player in sample.samples]
    given: dict[str, Any] = {"rule": params.quadrature, "batch_size": batch_size}

    def sig(proposal: Proposal) -> Attribution:
        return shapley_integrated_gradients(
            scores,
            picture,
            shown.areas,
            coalitions,
            baseline=shown.absent,
            proposal=proposal,
            counted=params.counted,
            steps=params.steps,
            **given,
        )

    gradients = {"sig": sig("baselines"), "sig_inputs": sig("inputs")}
    counts = {name: found.gradient_evaluations for name, found in gradients.items()}
    lines = max(1, counts["sig"] // params.steps)
    chosen = np.random.default_rng([params.seed, 1]).integers(len(training), size=lines)
    drawn = training[torch.from_numpy(chosen)].to(picture)
    one, steps = shown.absent[None], params.plain_steps
    tasks: dict[str, Callable[[], object]] = {
        "sig": lambda: sig("baselines"),
        "ig": lambda: integrated_gradients(scores, picture, drawn, steps=params.steps, **given),
        "captum": lambda: captum_values(scores, picture, drawn, params.steps, params.quadrature),
        "plain": lambda: integrated_gradients(scores, picture, one, steps=steps, **given),
        "algorithm_1": algorithm_1,
        "sig_inputs": lambda: sig("inputs"),
        "sig_both": lambda: sig("both"),
    }
    counts["sig_both"] = sum(counts.values())
    counts |= dict.fromkeys(("ig", "captum"), lines * params.steps)
    counts |= {"plain": steps, "algorithm_1": 0}
    return Work(tasks, counts, {**dict.fromkeys(tasks, 0), "algorithm_1": sample.evaluations})


def captum_values(
    scores: Scores, picture: Tensor, baselines: Tensor, steps: int, rule: str
) -> Tensor:
    """captum's Integrated Gradients, averaged over the baselines of one batch: (*shape)."""
    from captum.attr import IntegratedGradients  # noqa: PLC0415  takes seconds to load

    inputs = picture.expand_as(baselines).contiguous()
    found = IntegratedGradients(scores).attribute(
        inputs, baselines=baselines, target=0, n_steps=steps, method=CAPTUM_RULES[rule]
    )
    mean: Tensor = found.detach().double().mean(dim=0)
    return mean


def seconds_of(
    works: list[Work], runs: int, device: torch.device, advance: Callable[[], object]
) -> dict[str, NDArray[np.float64]]:
    """Seconds that each task takes: (run, picture), by the names of METHODS.

    Tasks take turns, picture by picture and run by run, so that the machine's other load affects
    all of them alike. Each task runs once before the timing.
    """
    for task in works[0].tasks.values():
        task()
    taken = {name: np.empty((runs, len(works))) for name in works[0].tasks}
    for run in range(runs):
        for number, work in enumerate(works):
            for name, task in work.tasks.items():
                _wait(device)
                start = time.perf_counter()
                task()
                _wait(device)
                taken[name][run, number] = time.perf_counter() - start
            advance()
    return taken


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(
    taken: Mapping[str, NDArray[np.float64]], above: tuple[str, ...], below: str
) -> dict[str, float]:
    """Time of some tasks divided by that of another, for each run over all pictures together.

    Args:
        taken: seconds (run, picture), by task.
        above: tasks whose seconds are added up.
        below: the task in the denominator.

    Returns:
        ``median``, ``lowest`` and ``highest`` over runs.
    """
    of_runs = sum(taken[name].sum(axis=1) for name in above) / taken[below].sum(axis=1)
    return {
        "median": float(np.median(of_runs)),
        "lowest": float(of_runs.min()),
        "highest": float(of_runs.max()),
    }
