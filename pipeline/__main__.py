"""``python -m pipeline …``: the commands that people run by hand."""

import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.core.errors import InputError
from pipeline.explain import explain
from pipeline.store.cli import app as store_app
from pipeline.workflow.documents import default_documents, write_documents

app = typer.Typer(
    help="Explains the outputs of models with Shapley values.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(explain)
app.add_typer(store_app, name="store", help="Inspect stores; remove unused ones.")


@app.callback()
def _root() -> None:
    """Explains the outputs of models with Shapley values."""


@app.command("dvc-yaml")
def write_dvc_yaml(
    params: Annotated[Path, typer.Option(help="The parameters.")] = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("dvc.yaml"),
) -> None:
    """Write dvc.yaml from the rules: what DVC tracks, for the studies and files in use."""
    from pipeline.workflow import dvc_yaml  # noqa: PLC0415
    from pipeline.workflow.internals import read_dag  # noqa: PLC0415
    from pipeline.workflow.units import read_units  # noqa: PLC0415

    dvc_yaml.write(read_units(read_dag(params, "all")), out)


@app.command()
def documents(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Markdown files; default: README.md, docs/*.md, docs/results/*.md.",
            show_default=False,
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit status 1 if any table differs.")
    ] = False,
) -> None:
    """Update the tables of results in documents, such as those in README.md."""
    found = write_documents(paths or default_documents(Path()), results, check=check)
    for document in found:
        for name in document.tables:
            if name not in document.outdated:
                state = "up to date"
            else:
                state = "differs from the results" if check else "written"
            typer.echo(f"{document.path}: {name} {state}")
        for name in document.left:
            typer.echo(f"{document.path}: {name} left unchanged: its study has no results here")
    if check and any(document.outdated for document in found):
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def report(
    context: typer.Context,
    opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Make the page of results, and whatever is missing for it: results/report/index.html.

    Further options go to snakemake, such as --configfile presets/quick.yaml.
    """
    from pipeline.studies.report.paths import PAGE  # noqa: PLC0415

    command = [sys.executable, "-m", "snakemake", "--cores", "all", *context.args, "--", PAGE]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise typer.Exit(status)
    if not opened:
        typer.echo(PAGE)
    elif not webbrowser.open(Path(PAGE).resolve().as_uri()):
        typer.echo(f"no browser was found; open {PAGE} yourself")


def main() -> None:
    """Run a command. After an InputError, print its message and exit with status 1."""
    try:
        app()
    except InputError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {_escaped(error)}")
        sys.exit(1)


def _escaped(error: InputError) -> str:
    return str(error).replace("[", r"\[")


if __name__ == "__main__":
    main()
