"""Commands of the study of frames that people call by hand."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.core.errors import InputError


class ModelName(StrEnum):
    """Models that can be explained."""

    trn = "trn"
    tsn = "tsn"


class ScoreName(StrEnum):
    """Class scores."""

    probability = "probability"
    logit = "logit"
    mean_of_softmax = "mean_of_softmax"


def explain(
    video: Annotated[Path, typer.Argument(help="A video file, or a table (.csv).")],
    model: Annotated[ModelName, typer.Option(help="Which of the trained models.")] = ModelName.trn,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames spread over the video; default: the study's.")
    ] = None,
    score: Annotated[
        ScoreName | None, typer.Option(help="What a class score is; default: the study's.")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Explain this class beside the predicted one.")
    ] = None,
    subsequences: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Approximate: sample so many subsequences of each length (Algorithm 1), for up to "
            "64 frames. Default: exact.",
        ),
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help="How many times they are sampled.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="The picture; default: <video's name>.<model>.esv.png here.")
    ] = None,
    params: Annotated[Path, typer.Option(help="The study's parameters.")] = Path("params.yaml"),
    results: Annotated[Path, typer.Option(help="Where the trained models are.")] = Path("results"),
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:<number>.")] = None,
    row: Annotated[
        int | None, typer.Option(min=1, help="Of a table: the row, counted below the header.")
    ] = None,
    network: Annotated[
        str, typer.Option(help="Of a table: which of its Shapley explanation networks.")
    ] = "deep",
) -> None:
    """Shapley values of one video's frames, or of one row of a table, in print and as a picture."""
    if video.suffix.lower() == ".csv":
        from pipeline.studies.shapnets.commands import explain_table  # noqa: PLC0415

        explain_table(video, row, network, out, params, results)
        return
    # Here, and not above: `store` should not wait for torch to load.
    from pipeline.studies.frames.explain import Sampling, explain_video  # noqa: PLC0415
    from pipeline.studies.frames.explained import draw_explanation, explained_table  # noqa: PLC0415
    from pipeline.workflow.params import load  # noqa: PLC0415

    target = out or Path(f"{video.stem}.{model.value}.esv.png")
    if target.suffix.lower() != ".png" or target.is_dir():
        raise InputError(f"--out: {target} must name a .png file (an .svg goes beside it)")
    study = load(params)
    settings = study.frames.coalitions
    chosen_score: Any = settings.score if score is None else score.value
    found = explain_video(
        video,
        model.value,
        n_frames=frames or settings.n,
        n_max=study.frames.scales.n_max,
        score=chosen_score,
        approximate=None if subsequences is None else Sampling(subsequences, iterations),
        results=results,
        device=device or study.device,
    )
    table: Table = explained_table(found, model.value, chosen_score, class_name)
    draw_explanation(found, video, model.value, chosen_score, class_name, target)
    Console().print(table, *_remarks(found), f"Picture: {target}", sep="\n")


def _remarks(found: Any) -> list[str]:
    """What should be known of values beside their table."""
    remarks = []
    if found.sampled:
        gap = abs(found.esv.sum(axis=0) - (found.scores - found.empty)).max()
        remarks.append(
            "Values are approximate: subsequences were sampled. Over frames they sum to v(all) − "
            f"v(none) but for {gap:.2g} at most, over all classes."
        )
    if found.repeated:
        remarks.append("The video has fewer frames than were asked for: some are repeated.")
    return remarks


COMMANDS = (explain,)
"""What ``python -m pipeline`` offers of this study."""
