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
from pipeline.store import CoalitionStore, open_store, verify
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
    """List the stores under a directory, also those that were set aside."""
    if not root.is_dir():
        _fail(f"{root}: there is no such directory; evaluate a game first, or give another ROOT")
    summaries: list[dict[str, Any]] = []
    for path in _stores_under(root):
        try:
            summaries.append(_summary(open_store(path)))
        except (InputError, OSError) as error:
            summaries.append({"path": str(path), "error": str(error)})
    if as_json:
        typer.echo(json.dumps(summaries, indent=2, ensure_ascii=False))
        return
    if not summaries:
        typer.echo(f"{root}: no stores")
        return
    console = Console()
    console.print(_listing(summaries, root, wide=console.width >= WIDE))
    for summary in summaries:
        if "error" in summary:
            typer.echo(summary["error"])


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
    paths: Annotated[list[str], typer.Argument(help="Stores, or their names.")],
    root: Root = ROOT,
) -> None:
    """Read all that the stores hold; name what is damaged and exit with status 1 if anything is."""
    sound = True
    for path in paths:
        try:
            store = open_store(_resolved(path, root))
            damages = verify(store)
        except (InputError, OSError) as error:
            typer.echo(f"damaged: {error}")
            sound = False
            continue
        for damage in damages:
            of = f"instance {damage.instance}: " if damage.instance is not None else ""
            typer.echo(f"damaged: {store.path}: {of}{damage.reason}")
        sound &= not damages
        done, asked = int(store.done().sum()), len(store)
        state = "sound" if not damages else f"{len(damages)} damaged"
        typer.echo(f"{store.path}: {done} of {asked} instances done, {state}")
    if not sound:
        raise typer.Exit(1)


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
