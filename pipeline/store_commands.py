"""``python -m pipeline store``: look into coalition stores from a terminal."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.errors import InputError
from pipeline.store import CoalitionStore, DamagedStore, open_store, verify
from pipeline.store.planning import SET_ASIDE

ROOT = Path("results/coalitions")
WIDE = 120
"""Columns of a terminal that has room for all that a list tells."""

app = typer.Typer(no_args_is_help=True, help="Look into the stores of evaluated coalitions.")

Root = Annotated[Path, typer.Option(help="Where stores are looked for by name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("list")
def list_stores(
    root: Annotated[Path, typer.Argument(help="Directory that holds stores.")] = ROOT,
    as_json: AsJson = False,
) -> None:
    """List the stores under a directory, also those set aside; exit with 1 if any is unreadable."""
    summaries: list[dict[str, Any]] = []
    for path in _stores_under(root):
        try:
            summaries.append(_summary(open_store(path)))
        except (InputError, OSError) as error:
            summaries.append({"path": str(path), "error": str(error)})
    errors = [summary["error"] for summary in summaries if "error" in summary]
    if as_json:
        typer.echo(json.dumps(summaries, indent=2, ensure_ascii=False))
    elif not summaries:
        typer.echo(f"{root}: no stores")
    else:
        console = Console()
        console.print(_listing(summaries, root, wide=console.width >= WIDE))
        for text in errors:
            typer.echo(text)
    if errors:
        raise typer.Exit(1)


def _listing(summaries: list[dict[str, Any]], root: Path, *, wide: bool) -> Table:
    table = Table(
        title=Text(f"coalition stores under {root}"),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("store", overflow="fold")
    for heading in ("study", "game") if wide else ():
        table.add_column(heading, overflow="fold")
    for heading in ("players", "outputs", "done/asked", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("weights", "identity"):
        table.add_column(heading, no_wrap=True)
    if wide:
        table.add_column("created with", overflow="fold")
    for summary in summaries:
        name = str(Path(summary["path"]).relative_to(root)).removesuffix(".zarr")
        if "error" in summary:
            table.add_row(Text(name), *[""] * (3 if wide else 1), "[red]unreadable[/red]")
            continue
        game = (summary["study"], summary["game"])
        cells = [
            name,
            *(game if wide else ()),
            str(summary["n_players"]),
            str(len(summary["outputs"])),
            f"{summary['instances_done']}/{summary['instances']}",
            _size_text(summary["bytes"]),
            summary["weights_sha256"][:8],
            summary["identity"][:8],
            *([_versions_text(summary)] if wide else ()),
        ]
        table.add_row(*map(Text, cells))
    return table


@app.command()
def show(
    path: Annotated[str, typer.Argument(help="A store, or its name such as frames/trn.")],
    root: Root = ROOT,
    as_json: AsJson = False,
) -> None:
    """Show what one store holds, and what its values are."""
    try:
        summary = _summary(open_store(_resolved(path, root)))
    except (InputError, OSError) as error:
        _fail(str(error))
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    names = summary["outputs"]
    shown = ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
    sampled = "sampled" if summary["sampled"] else "all of them"
    table = Table(show_header=False, title=Text(summary["path"]), box=box.SIMPLE)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in (
        ("study", summary["study"]),
        ("game", summary["game"]),
        ("players", f"{summary['n_players']}, each {summary['player']}"),
        ("coalitions", f"{summary['coalitions']}, {sampled}"),
        ("outputs", shown),
        ("value", summary["value"]),
        ("instances", f"{summary['instances_done']} done of {summary['instances']} asked for"),
        ("size on disk", _size_text(summary["bytes"])),
        ("specification", json.dumps(summary["specification"], indent=2, ensure_ascii=False)),
        ("evaluator version", str(summary["evaluator_version"])),
        ("weights sha256", summary["weights_sha256"]),
        ("identity", summary["identity"]),
        ("created with", _versions_text(summary)),
    ):
        table.add_row(label, Text(text))
    Console().print(table)


@app.command("verify")
def verify_stores(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Stores, or their names; all if none is given.")
    ] = None,
    root: Root = ROOT,
) -> None:
    """Read all that the stores hold; name what is damaged and exit with status 1 if anything is."""
    chosen = paths or [str(path) for path in _stores_under(root)]
    if not chosen:
        typer.echo(f"{root}: no stores")
    sound = True
    remedies: dict[str, None] = {}
    for path in chosen:
        place = path
        try:
            place = _resolved(path, root)
            store = open_store(place)
            damages = verify(store)
        except (InputError, OSError) as error:
            typer.echo(f"damaged: {error}")
            sound = False
            if isinstance(error, DamagedStore):
                # Its record cannot be read; stores lie at <root>/<study>/<game>.zarr.
                study = Path(place).absolute().parent.name
                remedies[_remedy(Path(place), study)] = None
            continue
        for damage in damages:
            of = f"instance {damage.instance}: " if damage.instance is not None else ""
            typer.echo(f"damaged: {store.path}: {of}{damage.reason}")
            by_run = damage.index is not None
            remedies[_remedy(Path(store.path), store.record.study, by_run=by_run)] = None
        sound &= not damages
        done, asked = int(store.done().sum()), len(store)
        state = "sound" if not damages else f"{len(damages)} damaged"
        typer.echo(f"{store.path}: {done} of {asked} instances done, {state}")
    for remedy in remedies:
        typer.echo(remedy)
    if not sound:
        raise typer.Exit(1)


def _remedy(path: Path, study: str, *, by_run: bool = True) -> str:
    """A line that says how to mend a store."""
    if path.parent.name == SET_ASIDE:
        return f"to mend: remove {path}; no result uses what was set aside"
    # Without being forced Snakemake would see results that are up to date, and run nothing.
    run = f"run `snakemake --cores all --forcerun {study}_coalitions`"
    if not by_run:
        return (
            f"to mend: remove from {path} the files that are no part of it; if a zarr.json differs "
            f"from its copy, remove the store and {run}, which evaluates all of it again"
        )
    return f"to mend: {run}, which evaluates only what is damaged again"


def _summary(store: CoalitionStore) -> dict[str, Any]:
    record = store.record
    return {
        "path": store.path,
        "set_aside": Path(store.path).parent.name == SET_ASIDE,
        **{k: v for k, v in record.attributes().items() if k != "n_coalitions"},
        "coalitions": record.rows,
        "sampled": record.n_coalitions is not None,
        "instances": len(store),
        "instances_done": int(store.done().sum()),
        "bytes": _bytes(store.path),
    }


def _stores_under(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        _fail(f"{root}: there is no such directory; evaluate a game first, or give another root")
    for folder, folders, _ in os.walk(root):
        folders.sort()
        yield from (Path(folder, f) for f in folders if f.endswith(".zarr") and f[0] != ".")
        folders[:] = [f for f in folders if not f.endswith(".zarr") and f[0] != "."]


def _resolved(path: str, root: Path) -> str:
    """A store's path, from a path or from its name below ``root``."""
    if "://" in path or Path(path).exists():
        return path
    for candidate in (root / path, root / f"{path}.zarr"):
        if (candidate / "zarr.json").exists():
            return str(candidate)
    raise InputError(
        f"{path}: no store there, nor at {root / path}.zarr; `list` shows the stores that there are"
    )


def _bytes(path: str) -> int | None:
    """Bytes of a store's files; None where they cannot be listed."""
    if "://" in path:
        return None
    return sum(
        Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names
    )


def _size_text(size: int | None) -> str:
    if size is None:
        return "unknown"
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.3g} TiB"


def _versions_text(summary: dict[str, Any]) -> str:
    return ", ".join(f"{library} {version}" for library, version in summary["versions"].items())


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)
