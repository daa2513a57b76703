"""Stage: how well each method's attributions find the frames of the action.

Algorithm 1 is run here. All other attributions are read: exact values, gradients, and what the
stores hold of coalitions of all frames but one and of pairs.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.data.something import read_action_intervals
from pipeline.models import devices
from pipeline.studies.frames import localisation
from pipeline.studies.frames.discard import read_attributions
from pipeline.studies.frames.figures.localisation import draw_localisation
from pipeline.studies.frames.interactions import pair_blocks
from pipeline.studies.frames.methods import METHODS
from pipeline.studies.frames.params import GameParams, LocalisationParams
from pipeline.studies.frames.paths import MODELS
from pipeline.studies.frames.players import long_enough, read_setting, sample_players
from pipeline.studies.frames.summary import inside_interval
from pipeline.studies.frames.values import FrameValues, read_values, store_behind, true_outputs

VERSION = 2


def main(
    *,
    receipts: list[Path],
    values: list[Path],
    gradients: list[Path],
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    game: GameParams,
    params: LocalisationParams,
    out: Path,
    table: Path,
    figure: Path,
    attributions: Path,
    root: Path | None = None,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Areas under ROC curves of TRN and TSN (files in this order), over videos of known actions.

    ``out`` is JSON, ``table`` is CSV with one row per model and method. Without known actions, or
    if frames have no numbers, there are no rows. ``attributions`` (HDF5) holds those of all videos.
    """
    intervals = {} if root is None else read_action_intervals(root)
    features = {"trn": trn_features, "tsn": tsn_features}
    weights = {"trn": scales, "tsn": [tsn]}
    rows: list[dict[str, Any]] = []
    of_models: dict[str, tuple[FrameValues, dict[str, NDArray[np.float64]]]] = {}
    for model, receipt, of_values, of_gradients in zip(
        MODELS, receipts, values, gradients, strict=True
    ):
        known = read_values(of_values)
        setting = read_setting(
            model,
            features[model],
            weights[model],
            priors,
            game.score,
            label=label,
            device=devices.resolve(device),
        )
        long = long_enough(setting.features, game.n, game.short_videos, "frames.coalitions.n")
        players = sample_players(setting.features, long[: game.clips], game.n)
        found = {
            **read_attributions(known, of_gradients),
            **_from_store(receipt, known),
            "algorithm_1": localisation.sampled_values(setting, players, params),
            **localisation.positions(*known.esv_true.shape),
        }
        of_models[model] = known, found
        uids = known.uids if known.frames_are_numbered else ()
        videos = np.array([i for i, uid in enumerate(uids) if uid in intervals], dtype=np.int64)
        if not len(videos):
            continue
        bounds = np.array([intervals[uids[i]] for i in videos])
        inside = inside_interval(known.frames[videos], bounds)
        chosen = {name: found[name][videos] for name in METHODS}
        rows += localisation.compared(model, chosen, inside)
    localisation.write_attributions(attributions, of_models)
    write_table(table, localisation.COLUMNS, rows)
    with figure_style():
        save(draw_localisation(rows), figure)
    write_json(out, plain({"m": params.m, "iterations": params.iterations, "rows": rows}))


def _from_store(receipt: Path, known: FrameValues) -> dict[str, NDArray[np.float64]]:
    """Attributions (video, frame) that follow from a few coalitions, or from pairs."""
    with store_behind(receipt, known) as store:
        outputs, none = true_outputs(store, known), np.full(len(known.uids), -1)
        pairs = pair_blocks(store, outputs, none, "SII")
        sizes = [localisation.interaction_sizes(found["class"]) for _, found in pairs]
        return {
            "leave_one_out": localisation.left_out(store, outputs),
            "pairs": np.concatenate(sizes),
        }
