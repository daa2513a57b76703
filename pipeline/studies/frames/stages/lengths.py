"""Stage: how many frames support the class, against how many are looked at (Figs. 6b, 11b).

Exact values of the same videos with 1 … max_frames frames each. All of a model's games stand in one
store, as games of max_frames players: with n frames, players from n on are null players. They
change nobody's value, and what they repeat in a table takes no room once it is compressed.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.studies.frames import sampling
from pipeline.studies.frames.coalition_scores import Score
from pipeline.studies.frames.contributions import supporting_share
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.figures.analyses import draw_supporting
from pipeline.studies.frames.game import game_record
from pipeline.studies.frames.lengths import COLUMNS, fall, of_all_lengths, play_lengths
from pipeline.studies.frames.params import LengthsParams
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.trained import load_model
from pipeline.studies.frames.true_class import OUTPUT, stored_shapley_values

VERSION = 1


def main(
    *,
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: LengthsParams,
    score: str,
    stores: Path,
    receipts: Path,
    out: Path,
    table: Path,
    figure: Path,
    label: str | None = None,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Per cent of frames of positive value for the true class, by number of frames.

    The games are played into ``<model>_lengths.zarr`` below ``stores``, with receipts of these
    names below ``receipts``. ``out`` is JSON, ``table`` the same as CSV, ``figure`` a PNG with an
    SVG beside it.
    """
    target, of_class = devices.resolve(device), cast(Score, score)
    classes, counts = read_priors(priors)
    empty = empty_score(counts, of_class)
    lengths = list(range(1, params.max_frames + 1))
    found: dict[str, Any] = {"frames": lengths}
    inputs = {"trn": (trn_features, scales), "tsn": (tsn_features, [tsn])}
    for name, (path, weights) in inputs.items():
        features = read_features(path, n_classes=len(classes), label=label)
        model = load_model(name, weights)
        videos = sampling.evenly(len(features), params.clips)
        record = game_record(name, model, classes, empty, params.max_frames, of_class, OUTPUT)
        store = play_lengths(
            model.to(target),
            empty.to(target),
            of_class,
            features,
            videos,
            of_all_lengths(record),
            stores / f"{name}_lengths.zarr",
            receipts / f"{name}_lengths.json",
        )
        shares, of_videos = [], []
        for i, n in enumerate(lengths):
            of_length = range(i * len(videos), (i + 1) * len(videos))
            esv = stored_shapley_values(store, of_length, n)[:, :, 0]
            shares.append(supporting_share(esv))
            of_videos.append(100 * (esv > 0).mean(axis=1))
        found[name] = {
            "videos": len(videos),
            "supporting_percent": [share for share, _ in shares],
            "standard_error": [error for _, error in shares],
            "falls": [fall(of_n, of_videos[-1]) for of_n in of_videos],
        }
    with figure_style():
        save(
            draw_supporting(
                np.array(lengths),
                {
                    name: (
                        np.array(found[name]["supporting_percent"]),
                        np.array(found[name]["standard_error"]),
                    )
                    for name in inputs
                },
            ),
            figure,
        )
    rows = [
        {
            "model": name,
            "frames": n,
            "videos": found[name]["videos"],
            "supporting_percent": found[name]["supporting_percent"][i],
            "standard_error": found[name]["standard_error"][i],
        }
        for name in inputs
        for i, n in enumerate(lengths)
    ]
    write_table(table, COLUMNS, rows)
    write_json(out, plain(found))
