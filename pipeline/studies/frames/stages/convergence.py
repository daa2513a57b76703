"""Stage: how near approximate values come to exact ones, and for how many evaluations.

Exact values come from stores of complete tables. The TRN's coalitions follow from those one
smaller, so its sampled estimators read there as well. A coalition of the TSN is evaluated by
itself: what estimators sample of it is kept in a store of samples, as where there are too many
players for complete tables, and found by the next method, budget and run.
"""

from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.shapley.methods import METHODS
from pipeline.studies.frames.convergence import (
    COLUMNS,
    algorithm_1,
    draw_algorithm_1,
    draw_estimators_of_stage,
    enumerated,
    estimators,
    sampled_of_stage,
)
from pipeline.studies.frames.game import read_game
from pipeline.studies.frames.params import CoalitionsParams, ConvergenceParams
from pipeline.studies.frames.values import unit_of

VERSION = 1


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: ConvergenceParams,
    score: str,
    short_videos: str,
    stores: Path,
    receipts: Path,
    out: Path,
    table: Path,
    figures: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Errors of Algorithm 1 over m × i, and of other estimators over budgets of evaluations.

    Games are played into ``trn_convergence.zarr``, ``tsn_convergence.zarr`` and
    ``tsn_sampled.zarr`` below ``stores``, with receipts of these names below ``receipts``. ``out``
    is JSON and ``table`` CSV with a row a configuration; figures are written below ``figures``.
    """
    target = devices.resolve(device)
    rows: list[dict[str, Any]] = []
    inputs = {"trn": (trn_features, scales), "tsn": (tsn_features, [tsn])}
    openers = {"trn": enumerated, "tsn": sampled_of_stage}
    for name, (path, weights) in inputs.items():
        frames = params.trn_frames if name == "trn" else params.tsn_frames
        of_game = CoalitionsParams.model_validate(
            {
                "n": frames,
                "score": score,
                "outputs": "all",
                "short_videos": short_videos,
                "clips": params.clips,
            }
        )
        game = read_game(name, path, weights, priors, of_game, label=label, spread=True)
        if not game.instances:
            raise InputError(
                f"{path}: no video has {frames} frames, and shorter ones are left out; lower "
                f"frames.convergence.{name}_frames, or set frames.coalitions.short_videos: repeat"
            )
        with openers[name](game, stores, receipts, target) as study:
            rows += algorithm_1(name, study, params, target)
            rows += estimators(name, study, params)
    write_table(table, COLUMNS, rows)
    unit = unit_of(score)
    with figure_style():
        for name in inputs:
            of_model = [row for row in rows if row["model"] == name]
            save(draw_algorithm_1(of_model, unit), figures / f"algorithm_1_{name}.png")
            save(draw_estimators_of_stage(name, of_model, unit), figures / f"estimators_{name}.png")
    described = {
        name: {"unbiased": method.unbiased, "description": method.description}
        for name, method in METHODS.items()
    }
    write_json(out, plain({"methods": described, "rows": rows}))
