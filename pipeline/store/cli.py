"""``python -m pipeline store``: inspect coalition stores and remove unused ones."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.core.errors import InputError
from pipeline.store import CoalitionStore, DamagedStore, UnreachableStore, open_store
from pipeline.store.access import entries, exists, is_remote, refuse_url, size, trimmed
from pipeline.store.layout import shard_indices
from pipeline.store.planning import SET_ASIDE
from pipeline.store.pruning import LeftAlone, Survey, Unused, prune, survey
from pipeline.store.verification import examine

ROOT = "results/coalitions"
RESULTS = Path("results")
WIDE = 120
"""Columns of a terminal from which a list shows all its fields."""
COUNTS = 40
"""Columns that the numbers in a list take."""

app = typer.Typer(
    no_args_is_help=True, help="Inspect the stores of evaluated coalitions; remove unused ones."
)

Root = Annotated[str, typer.Option(help="Directory or URL in which names of stores are looked up.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("list")
def list_stores(
    root: Annotated[str, typer.Argument(help="Directory or URL that holds stores.")] = ROOT,
    as_json: AsJson = False,
) -> None:
    """List the stores under a directory and those set aside; exit with 1 if any is unreadable."""
    summaries: list[dict[str, Any]] = []
    for path in _stores_under(root):
        try:
            summaries.append(_summary(open_store(path)))
        except (InputError, OSError) as error:
            summaries.append({"path": path, "error": str(error)})
    errors = [summary["error"] for summary in summaries if "error" in summary]
    if as_json:
        typer.echo(json.dumps(summaries, indent=2, ensure_ascii=False))
    elif not summaries:
        typer.echo(f"{root}: no stores")
    else:
        console = Console()
        console.print(_listing(summaries, root, console.width))
        for text in errors:
            typer.echo(text)
    if errors:
        raise typer.Exit(1)


def _listing(summaries: list[dict[str, Any]], root: str, width: int) -> Table:
    names = [_below(summary["path"], root).removesuffix(".zarr") for summary in summaries]
    wide = width >= WIDE
    # The identity is left out where it would make names wrap.
    with_identity = wide or max(map(len, names)) + COUNTS + len(" 01234567") <= width
    table = Table(
        title=Text(f"coalition stores under {root}"),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("store", overflow="fold", min_width=min(max(map(len, names)), width - COUNTS))
    for heading in ("study", "game") if wide else ():
        table.add_column(heading, overflow="fold")
    for heading in ("players", "outputs", "done/asked", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    if with_identity:
        table.add_column("identity", no_wrap=True)
    if wide:
        table.add_column("weights", no_wrap=True)
        table.add_column("created with", overflow="fold")
    for summary, name in zip(summaries, names, strict=True):
        if "error" in summary:
            table.add_row(Text(name), *[""] * (3 if wide else 1), "[red]unreadable[/red]")
            continue
        game = (summary["study"], summary["game"])
        cells = [
            name,
            *(game if wide else ()),
            str(summary["n_players"]),
            str(len(summary["outputs"])),
            f"{_done_text(summary)}/{summary['instances']}",
            _size_text(summary["bytes"]),
            *([summary["identity"][:8]] if with_identity else ()),
            *((summary["weights_sha256"][:8], _versions_text(summary)) if wide else ()),
        ]
        table.add_row(*map(Text, cells))
    return table


@app.command()
def show(
    path: Annotated[str, typer.Argument(help="A store, its URL, or its name such as frames/trn.")],
    root: Root = ROOT,
    as_json: AsJson = False,
) -> None:
    """Show the content of one store and what its values mean."""
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
        ("instances", f"{_done_text(summary)} done of {summary['instances']} requested"),
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
        list[str] | None,
        typer.Argument(help="Stores, their URLs or names; all under the root if none is given."),
    ] = None,
    root: Root = ROOT,
) -> None:
    """Read everything in the stores; list what is damaged and exit with status 1 if anything is."""
    chosen = paths or list(_stores_under(root))
    if not chosen:
        typer.echo(f"{root}: no stores")
    sound = True
    remedies: dict[str, None] = {}
    for path in chosen:
        place = path
        try:
            place = _resolved(path, root)
            store = open_store(place)
            found = examine(store)
        except (InputError, OSError) as error:
            sound = False
            if isinstance(error, DamagedStore):
                typer.echo(f"damaged: {error}")
                # Its record cannot be read, so its path <root>/<study>/<game>.zarr gives the study.
                study = Path(place).absolute().parent.name
                remedies[_remedy(place, study)] = None
            else:
                typer.echo(f"not verified: {error}")
            continue
        for damage in found.damages:
            of = f"instance {damage.instance}: " if damage.instance is not None else ""
            typer.echo(f"damaged: {store.path}: {of}{damage.reason}")
            by_run = damage.index is not None
            remedies[_remedy(store.path, store.record.study, by_run=by_run)] = None
        sound &= not found.damages
        state = "sound" if not found.damages else f"{len(found.damages)} damaged"
        unlisted = "" if found.listed else "; its files cannot be listed, so each was read by name"
        done = f"{found.done} of {len(store)} instances done"
        typer.echo(f"{store.path}: {done}, {state}{unlisted}")
    for remedy in remedies:
        typer.echo(remedy)
    if not sound:
        raise typer.Exit(1)


def _remedy(path: str, study: str, *, by_run: bool = True) -> str:
    """A line that says how to mend a store; ``by_run``: a forced run mends it."""
    if is_remote(path):
        return f"to mend: copy a sound store to {path} again"
    if Path(path).parent.name == SET_ASIDE:
        return f"to mend: remove {path}; no result uses a store that was set aside"
    # Unless forced, Snakemake would consider the results up to date and run nothing.
    run = f"run `snakemake --cores all --forcerun {_receipt(path, study)}`"
    if not by_run:
        return (
            f"to mend: remove from {path} the files that do not belong to it; if a zarr.json "
            f"differs from its copy, remove the store and {run}, which evaluates all of it again"
        )
    return f"to mend: {run}, which evaluates again only what is damaged"


def _receipt(path: str, study: str) -> str:
    """The receipt of a store. Forcing the job that writes it also reruns the jobs before it."""
    return f"results/{study}/receipts/{Path(path).stem}.json"


@app.command("export")
def export_game(
    path: Annotated[str, typer.Argument(help="A store, its URL, or its name such as frames/trn.")],
    instance: Annotated[str, typer.Option(help="Id of the instance.")],
    output: Annotated[str, typer.Option(help="Name of the output, such as a class.")],
    shapiq: Annotated[Path, typer.Option(help="The .npz file, for shapiq.Game.load_values.")],
    root: Root = ROOT,
) -> None:
    """Write one game of a store as a file for shapiq."""
    from pipeline.store.exchange import to_shapiq  # noqa: PLC0415  nothing else here needs it

    try:
        refuse_url(shapiq, "the file for shapiq")
        store = open_store(_resolved(path, root))
        to_shapiq(store, instance, output, shapiq)
    except (InputError, OSError) as error:
        _fail(str(error))
    typer.echo(f"{shapiq}: {store.record.rows} coalitions of {instance}, {output}")


@app.command("import")
def import_games(
    name: Annotated[str, typer.Argument(help="Name of the new store, such as mine/games.")],
    files: Annotated[list[Path], typer.Argument(help="Files that shapiq wrote (.npz).")],
    root: Annotated[Path, typer.Option(help="Directory that holds stores.")] = Path(ROOT),
) -> None:
    """Make a store from complete tables of games that shapiq wrote, one file per instance."""
    from pipeline.store.exchange import from_shapiq  # noqa: PLC0415

    try:
        refuse_url(root, "the directory of the new store")
        for file in files:
            refuse_url(file, "a file of shapiq")
        if len(parts := name.split("/")) != 2 or not all(parts):
            raise InputError(f"{name}: name the store as <study>/<game>")
        made = from_shapiq(files, root / f"{name}.zarr")
    except (InputError, OSError) as error:
        _fail(str(error))
    typer.echo(f"{made.path}: {len(made)} instances of {made.record.n_players} players")


@app.command("prune")
def prune_stores(
    root: Annotated[Path, typer.Option(help="Directory that holds stores.")] = Path(ROOT),
    receipts: Annotated[
        Path, typer.Option(help="Directory of the receipts, at any depth.")
    ] = RESULTS,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; nothing is removed without --yes.")
    ] = False,
) -> None:
    """Ask, then remove the stores that no receipt of an evaluation refers to."""
    removed: Sequence[Unused] = []
    try:
        refuse_url(root, "the directory of stores to prune")
        refuse_url(receipts, "the directory of receipts")
        found = survey(root, receipts)
        left_alone = list(found.left_alone)
        if not as_json:
            _show_survey(found, root, receipts)
        if found.unused and (yes or not as_json):
            if not yes:
                typer.confirm("Remove all of these?", abort=True)
            removed, left_after_all = prune(found, receipts)
            left_alone += left_after_all
            if not as_json:
                _show_left_alone(left_after_all)
                freed = _size_text(sum(each.freed for each in removed))
                typer.echo(f"removed {len(removed)} of {len(found.unused)}, freed {freed}")
    except (InputError, OSError) as error:
        _fail(str(error))
    if as_json:
        typer.echo(json.dumps(_survey_as_json(found, removed, left_alone), indent=2))
    elif Path(".dvc").is_dir():
        typer.echo("copies of stores in DVC's cache stay; `dvc gc` removes them")


def _show_survey(found: Survey, root: Path, receipts: Path) -> None:
    counted = f"{len(found.receipts)} receipts under {receipts}"
    if not found.unused:
        typer.echo(f"{root}: nothing to prune; {counted} name {len(found.kept)} stores there")
    else:
        table = Table(title=Text(f"under {root}, not named by any of {counted}"), box=box.SIMPLE)
        for heading in ("what", "why", "game"):
            table.add_column(heading, overflow="fold")
        table.add_column("identity", no_wrap=True)
        for heading in ("done/asked", "frees"):
            table.add_column(heading, justify="right", no_wrap=True)
        for each in found.unused:
            cells = [
                _below(str(each.path), str(root)),
                each.reason,
                "" if each.game is None else f"{each.study}/{each.game}",
                (each.identity or "")[:8],
                "" if each.instances is None else f"{each.instances_done}/{each.instances}",
                _size_text(each.freed),
            ]
            table.add_row(*map(Text, cells))
        Console().print(table)
        freed = _size_text(sum(each.freed for each in found.unused))
        typer.echo(
            f"{len(found.unused)} to remove, which frees {freed}; files that kept stores share stay"
        )
        if not found.receipts:
            typer.echo(f"there are no receipts under {receipts}: every store counts as unused")
    _show_left_alone(found.left_alone)


def _show_left_alone(left_alone: Sequence[LeftAlone]) -> None:
    for each in left_alone:
        typer.echo(f"left alone: {each.path}: {each.reason}")


def _survey_as_json(
    found: Survey, removed: Sequence[Unused], left_alone: Sequence[LeftAlone]
) -> dict[str, Any]:
    gone = {each.path for each in removed}
    return {
        "receipts": [str(path) for path in found.receipts],
        "kept": [str(path) for path in found.kept],
        "unused": [
            {
                **{k: v for k, v in asdict(each).items() if k not in ("inode", "freed")},
                "path": str(each.path),
                "bytes_freed": each.freed,
                "removed": each.path in gone,
            }
            for each in found.unused
        ],
        "left_alone": [{"path": str(e.path), "reason": e.reason} for e in left_alone],
        "bytes_freed": sum(each.freed for each in found.unused),
    }


def _summary(store: CoalitionStore) -> dict[str, Any]:
    record = store.record
    contents = done = None
    # Some URLs can be read, but their files cannot be listed.
    with suppress(UnreachableStore):
        contents = store.contents()
        shards = shard_indices(entry.name for entry in contents.get("values", []))
        done = int(store.done(shards).sum())
    return {
        "path": store.path,
        "set_aside": Path(store.path).parent.name == SET_ASIDE,
        **{k: v for k, v in record.described().items() if k != "n_coalitions"},
        "coalitions": record.rows,
        "sampled": record.n_coalitions is not None,
        "format_version": store.format_version,
        "instances": len(store),
        "instances_per_shard": store.per_shard,
        "instances_done": done,
        "bytes": size(store.path, contents),
    }


def _stores_under(root: str) -> Iterator[str]:
    if is_remote(root):
        yield from _stores_behind(trimmed(root))
        return
    if not Path(root).is_dir():
        _fail(f"{root}: there is no such directory; evaluate a game first, or give another root")
    for folder, folders, _ in os.walk(root):
        folders.sort()
        yield from (str(Path(folder, f)) for f in folders if f.endswith(".zarr") and f[0] != ".")
        folders[:] = [f for f in folders if not f.endswith(".zarr") and f[0] != "."]


def _stores_behind(url: str) -> Iterator[str]:
    try:
        folders = [e.name for e in entries(url) if e.is_directory and not e.name.startswith(".")]
    except FileNotFoundError:
        _fail(f"{url}: no directory that can be listed; give the URL of a store instead")
    except InputError as error:
        _fail(str(error))
    yield from (f"{url}/{folder}" for folder in folders if folder.endswith(".zarr"))
    for folder in folders:
        if not folder.endswith(".zarr"):
            yield from _stores_behind(f"{url}/{folder}")


def _below(path: str, root: str) -> str:
    """A path relative to a root."""
    if is_remote(root):
        return path.removeprefix(root.rstrip("/") + "/")
    return str(Path(path).relative_to(root))


def _resolved(path: str, root: str) -> str:
    """A store's path, from a path or from its name below ``root``."""
    if is_remote(path) or Path(path).exists():
        return path
    base = root.rstrip("/") or root
    for candidate in (f"{base}/{path}", f"{base}/{path}.zarr"):
        if exists(candidate, "zarr.json"):
            return candidate
    raise InputError(
        f"{path}: no store there, nor at {base}/{path}.zarr; `store list` lists the stores"
    )


def _done_text(summary: dict[str, Any]) -> str:
    done = summary["instances_done"]
    return "unknown" if done is None else str(done)


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
