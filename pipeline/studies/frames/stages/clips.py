"""Stage: which frames of every video a model of the user's gets, and what it predicts.

The model is checked before anything is enumerated. The list stands in for feature files.
"""

import csv
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.models import devices
from pipeline.studies.frames.own_clips import list_clips, videos_of, write_clips
from pipeline.studies.frames.own_game import load_own_model
from pipeline.studies.frames.params import DatasetParams, GameParams, OwnModelParams

VERSION = 1


def main(
    *,
    model: str,
    own_model: OwnModelParams,
    game: GameParams,
    dataset: DatasetParams,
    root: Path,
    out: Path,
    skipped: Path,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """List the clips of a data set's validation split, or of all videos in a folder.

    ``out`` is JSON; ``skipped`` becomes a table (CSV) of the videos that are left out. Raises
    InputError if they are more than the share ``max_skipped`` of ``dataset``.
    """
    target = devices.resolve(device)
    network = load_own_model(model, own_model, game.score, target)
    videos = videos_of(root, dataset.validation_clips)
    clips, left_out = list_clips(
        videos,
        model,
        network,
        n=game.n,
        removal=own_model.removal,
        short_videos=game.short_videos,
        device=target,
        threads=threads,
    )
    if len(left_out) > dataset.max_skipped * len(videos):
        raise InputError(
            f"{len(left_out)} of {len(videos)} videos cannot be used, more than the share "
            f"frames.dataset.max_skipped: {dataset.max_skipped} allows, such as {left_out[0][1]}. "
            "Repair or remove them, or raise max_skipped"
        )
    with replacing(skipped) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["split", "id", "used", "reason"])
        table.writerows(("validation", name, "no", reason) for name, reason in left_out)
    write_clips(clips, out)
