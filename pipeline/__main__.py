"""``python -m pipeline …``: what people call by hand."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.core.errors import InputError
from pipeline.store.cli import app as store_app
from pipeline.workflow.documents import default_documents, write_documents

app = typer.Typer(
    help="Tells what a model's output is owed to.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(store_app, name="store", help="Look into stores; make room.")


class ModelName(StrEnum):
    """Models that can be explained."""

    trn = "trn"
    tsn = "tsn"


class ScoreName(StrEnum):
    """Class scores."""

    probability = "probability"
    logit = "logit"
    mean_of_softmax = "mean_of_softmax"


@app.callback()
def _root() -> None:
    """Tells what a model's output is owed to."""


@app.command()
def explain(
    video: Annotated[Path, typer.Argument(help="A video file.")],
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
) -> None:
    """Element Shapley Values of one video's frames, as a table and a picture."""
    # Here, and not above: `store` should not wait for torch to load.
    from pipeline.studies.frames.explain import Sampling, explain_video  # noqa: PLC0415
    from pipeline.studies.frames.explained import draw_explanation, explained_table  # noqa: PLC0415
    from pipeline.workflow.params import load  # noqa: PLC0415

    target = out or Path(f"{video.stem}.{model.value}.esv.png")
    if target.suffix.lower() != ".png" or target.is_dir():
        raise InputError(f"--out: {target} must name a .png file (an .svg goes beside it)")
    study = load(params)
    settings = study.frames.coalitions
    chosen_score = score.value if score is not None else settings.score
    found = explain_video(
        video,
        model.value,
        n_frames=frames or settings.n,
        score=chosen_score,
        approximate=None if subsequences is None else Sampling(subsequences, iterations),
        results=results,
        device=device or study.device,
    )
    table: Table = explained_table(found, model.value, chosen_score, class_name)
    draw_explanation(found, video, model.value, chosen_score, class_name, target)
    console = Console()
    console.print(table)
    if found.sampled:
        gap = abs(found.esv.sum(axis=0) - (found.scores - found.empty)).max()
        console.print(
            "Values are approximate: subsequences were sampled. Over frames they sum to v(all) − "
            f"v(none) but for {gap:.2g} at most, over all classes."
        )
    if found.repeated:
        console.print("The video has fewer frames than were asked for: some are repeated.")
    console.print(f"Picture: {target}")


@app.command("dvc-yaml")
def write_dvc_yaml(
    params: Annotated[Path, typer.Option(help="The parameters.")] = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="Where it is written.")] = Path("dvc.yaml"),
) -> None:
    """Write dvc.yaml, read off the rules: what DVC tracks, for the studies and files in use."""
    from pipeline.workflow import dvc_yaml  # noqa: PLC0415
    from pipeline.workflow.snakemake_side import read_dag  # noqa: PLC0415
    from pipeline.workflow.units import read_units  # noqa: PLC0415

    dvc_yaml.write(read_units(read_dag(params, "all")), out)


@app.command()
def documents(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Markdown files; default: README.md and docs/*.md.", show_default=False
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the results are.")] = Path("results"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit status 1 if any table differs.")
    ] = False,
) -> None:
    """Write the tables of results that documents hold, such as the README's, from the results."""
    found = write_documents(paths or default_documents(Path()), results, check=check)
    for document in found:
        for name in document.tables:
            if name not in document.outdated:
                state = "as the results are"
            else:
                state = "differs from the results" if check else "written"
            typer.echo(f"{document.path}: {name} {state}")
        for name in document.left:
            typer.echo(f"{document.path}: {name} left as it is: its study has no results here")
    if check and any(document.outdated for document in found):
        raise typer.Exit(1)


def main() -> None:
    """Run a command; bad input ends in its message and status 1."""
    try:
        app()
    except InputError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {_escaped(error)}")
        sys.exit(1)


def _escaped(error: InputError) -> str:
    return str(error).replace("[", r"\[")


if __name__ == "__main__":
    main()
