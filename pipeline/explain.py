"""``python -m pipeline explain``: explains a video's frames, a picture's areas or a table's row."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline.core.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
"""Suffixes of files that are pictures."""

REMOVALS = {
    "trn and tsn": ("delete", "freeze", "mean", "blank"),
    "video models": ("freeze", "mean", "blank", "delete"),
    "picture models": ("mean", "zero", "blur"),
}
"""What models may see in place of absent players, the default first."""


def _removal(kind: str, given: str | None) -> Any:
    allowed = REMOVALS[kind]
    if given is not None and given not in allowed:
        raise InputError(f"--removal: {given!r} is none of {', '.join(allowed)} (for {kind})")
    return given or allowed[0]


class ScoreName(StrEnum):
    """Class scores."""

    probability = "probability"
    logit = "logit"
    mean_of_softmax = "mean_of_softmax"


def _check(video: Path, row: int | None, out: Path | None) -> bool:
    """Whether the file is a table. Raises InputError for a missing row or an unusable ``out``."""
    is_table = video.suffix.lower() == ".csv"
    if is_table and row is None:
        raise InputError(f"--row: give the row of {video} to explain; the first is 1")
    if out is not None and (out.suffix.lower() != ".png" or out.is_dir()):
        raise InputError(f"--out: {out} must name a .png file (an .svg goes beside it)")
    return is_table


def explain(
    video: Annotated[Path, typer.Argument(help="A video, a picture, or a table (.csv).")],
    model: Annotated[
        str,
        typer.Option(
            help="The model to explain: trn or tsn, trained here; torchvision:<network>, such as "
            "torchvision:r3d_18, for pictures torchvision:resnet50; or <module>:<function>, a "
            "function of yours that returns a model (docs/own-models.md)."
        ),
    ] = "trn",
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames spread over the video; default: the study's.")
    ] = None,
    score: Annotated[
        ScoreName | None, typer.Option(help="Kind of class score; default: the study's.")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Explain this class besides the predicted one.")
    ] = None,
    subsequences: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Approximate: sample this many subsequences of each length (Algorithm 1), for up "
            "to 64 frames. Default: exact.",
        ),
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help="How often to sample them.")] = 1,
    areas: Annotated[
        str, typer.Option(help="For a picture: <rows>x<columns>, or segments:<n> (superpixels).")
    ] = "4x4",
    removal: Annotated[
        str | None,
        typer.Option(
            help="What the model sees in place of what is absent. Frames: freeze (the nearest "
            "present one), mean, blank, or delete. Areas: mean (the mean colour), zero, or blur."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="For torchvision's models: a file of weights.")
    ] = None,
    budget: Annotated[
        int, typer.Option(min=4, help="For other models: most coalitions that are evaluated.")
    ] = 4096,
    tolerance: Annotated[
        float,
        typer.Option(
            help="For other models: standard errors at which sampling ends, as a part of the "
            "values' spread."
        ),
    ] = 0.05,
    out: Annotated[
        Path | None, typer.Option(help="The picture; default: <the file's name>.<…>.png here.")
    ] = None,
    params: Annotated[Path, typer.Option(help="File of the parameters.")] = Path("params.yaml"),
    results: Annotated[Path, typer.Option(help="Where the trained models are.")] = Path("results"),
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:<number>.")] = None,
    row: Annotated[
        int | None, typer.Option(min=1, help="For a table: the row, counted from the header down.")
    ] = None,
    network: Annotated[
        str, typer.Option(help="For a table: the Shapley explanation network to use.")
    ] = "deep",
) -> None:
    """Print and draw the Shapley values of a video's frames, a picture's areas or a table's row."""
    video, out = Path(video), None if out is None else Path(out)
    is_table = _check(video, row, out)
    # Imported here so that the `store` commands do not wait for torch to load.
    from pipeline.store.explanations import Effort  # noqa: PLC0415

    common: dict[str, Any] = {
        "score": None if score is None else score.value,
        "class_name": class_name,
        "effort": Effort(budget, tolerance),
        "params": params,
        "results": results,
        "device": device,
    }
    if video.suffix.lower() in PICTURES:
        from pipeline.studies.baselines.explained_picture import explained_picture  # noqa: PLC0415

        table, remarks, target = explained_picture(
            video,
            out,
            model=model,
            areas=areas,
            absent=_removal("picture models", removal),
            weights=weights,
            **common,
        )
    elif is_table:
        from pipeline.studies.shapnets.explain import explained_row  # noqa: PLC0415

        table, remarks, target = explained_row(video, row or 1, network, out, params, results)
    elif model not in ("trn", "tsn"):
        from pipeline.studies.frames.explained import explained_with  # noqa: PLC0415

        table, remarks, target = explained_with(
            video,
            out,
            model=model,
            n_players=frames,
            removal=_removal("video models", removal),
            weights=weights,
            **common,
        )
    else:
        from pipeline.studies.frames.explained import explained  # noqa: PLC0415

        table, remarks, target = explained(
            video,
            out,
            model=model,
            n_frames=frames,
            sampled=None if subsequences is None else (subsequences, iterations),
            removal=_removal("trn and tsn", removal),
            **common,
        )
    console = Console()
    console.print(table)
    # No markup: Rich would read brackets in file names as styles.
    console.print(*remarks, f"Picture: {target}", sep="\n", markup=False, soft_wrap=True)
