"""Exchange with shapiq, shap and xarray: games and values leave and enter in their forms."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.shapley import coalitions
from pipeline.store import CoalitionStore, GameRecord, plan
from pipeline.store.record import IMPORTED

if TYPE_CHECKING:
    import shap
    import xarray

Floats = NDArray[np.floating[Any]]


def to_shapiq(
    store: CoalitionStore, instance: int | str, output: int | str, path: str | os.PathLike[str]
) -> None:
    """Write one game of a store as a file that ``shapiq.Game.load_values`` reads.

    Args:
        store: of complete tables or of sampled coalitions of at most 64 players.
        instance: its id or its index.
        output: its name or its index.
        path: of the ``.npz`` file; it is replaced as a whole.

    Raises:
        InputError: another suffix, an unknown instance or output, more than 64 players, and what
            ``CoalitionStore.read`` raises.
    """
    target, n = Path(path), store.record.n_players
    if target.suffix != ".npz":
        raise InputError(f"{target}: shapiq reads such tables from files that end in .npz")
    column, i = _output(store.record.outputs, output), store.index(instance)
    masks = _masks(store, i)
    values = store.read(i)[:, column].astype(np.float64)
    empty = np.flatnonzero(masks == 0)
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            values=values,
            coalitions=coalitions.to_bool(masks, n),
            n_players=n,
            normalization_value=values[empty[0]] if len(empty) else 0.0,
        )


def _masks(store: CoalitionStore, i: int) -> NDArray[np.unsignedinteger[Any]]:
    n = store.record.n_players
    if n > 64:
        raise InputError(f"{store.path}: has {n} players; tables for shapiq have at most 64")
    if store.record.n_coalitions is None:
        return np.arange(2**n, dtype=np.uint64)
    return store.masks(i)


def _output(outputs: Sequence[str], output: int | str) -> int:
    if isinstance(output, str):
        if output in outputs:
            return list(outputs).index(output)
        names = ", ".join(map(repr, outputs[:8])) + (", …" if len(outputs) > 8 else "")
        raise InputError(f"output: there is no {output!r}; there are {names}")
    if not 0 <= output < len(outputs):
        raise InputError(f"output: {output} is not between 0 and {len(outputs) - 1}")
    return output


def from_shapiq(
    paths: Sequence[str | os.PathLike[str]],
    store: str | os.PathLike[str],
    *,
    player: str = "a player",
    value: str = "value of a table made elsewhere",
) -> CoalitionStore:
    """Make a store from complete tables as shapiq writes them (``Game.save_values``, ``.npz``).

    Args:
        paths: one file per instance, all of games with the same number of players. The files'
            names without suffix become the instances' ids.
        store: path of the store, ``<root>/<study>/<game>.zarr``; study and game are its record's.
        player: what a player is.
        value: what the value function is.

    Raises:
        InputError: no files, two of one name, a file that is no such table or holds objects, that
            lacks coalitions or repeats one, values that are not finite, or files with different
            numbers of players. Nothing is written then.
    """
    files, target = [Path(path) for path in paths], Path(store)
    names = [file.name.removesuffix(".npz") for file in files]
    if not files or len(set(names)) < len(names):
        raise InputError(f"{target}: give at least one file, all with different names")
    tables = [read_table(file) for file in files]
    rows = {len(table) for table in tables}
    if len(rows) > 1:
        found = zip(files, tables, strict=True)
        counts = ", ".join(f"{file}: {len(table).bit_length() - 1}" for file, table in found)
        raise InputError(f"the games have different numbers of players: {counts}")
    digests = [hashlib.sha256(table.tobytes()).hexdigest() for table in tables]
    record = GameRecord(
        study=target.parent.name,
        game=target.name.removesuffix(".zarr"),
        n_players=rows.pop().bit_length() - 1,
        player=player,
        outputs=("value",),
        value=value,
        specification=IMPORTED,
        weights_sha256="",
        evaluator_version=1,
        versions={},
    )
    made = plan(target, record, names, digests)
    done = made.done()
    made.write_many({i: table[:, None] for i, table in enumerate(tables) if not done[i]})
    return made


def read_table(path: Path) -> NDArray[np.float32]:
    """Values of all coalitions from a file that shapiq wrote: (2**n,) in mask order.

    Raises InputError as :func:`from_shapiq`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            members, values = np.asarray(file["coalitions"]), np.asarray(file["values"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{path}: is no table as shapiq writes it (.npz): {error}") from None
    if members.ndim != 2 or values.shape != members.shape[:1] or values.dtype.kind != "f":
        raise InputError(
            f"{path}: has coalitions of shape {members.shape} and {values.dtype} values of shape "
            f"{values.shape}; expected (coalition, player) and (coalition,)"
        )
    n = members.shape[1]
    coalitions.check_enumerable(n)
    masks = coalitions.from_bool(members.astype(bool)).astype(np.int64)
    if len(masks) != 2**n or len(np.unique(masks)) != 2**n:
        raise InputError(
            f"{path}: has {len(np.unique(masks))} different coalitions in {len(masks)} rows; "
            f"a complete table of {n} players has {2**n}"
        )
    table = np.empty(2**n, dtype=np.float32)
    with np.errstate(over="ignore"):
        table[masks] = values
    if not np.isfinite(table).all():
        raise InputError(f"{path}: holds a value that is NaN, Inf or too large for float32")
    return table


def to_shap(
    values: Floats,
    base: Floats,
    *,
    players: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    data: NDArray[Any] | None = None,
) -> "shap.Explanation":
    """Values as an explanation that shap's plots draw.

    Args:
        values: (player, output) or (instance, player, output).
        base: v(∅): (output,) or (instance, output).
        players: names of the players; numbers from 0 by default.
        outputs: names of the outputs.
        data: what each player is, (player,) or (instance, player); numbers by default.

    Raises:
        InputError: shapes that do not fit.
    """
    import shap  # noqa: PLC0415  slow to load

    values, base = np.asarray(values, dtype=np.float64), np.asarray(base, dtype=np.float64)
    if values.ndim not in (2, 3) or base.shape != (*values.shape[:-2], values.shape[-1]):
        raise InputError(
            f"values of shape {values.shape} and base {base.shape}; expected (…, player, output) "
            "and (…, output), with at most one more dimension"
        )
    names = _names("players", players, values.shape[-2])
    return shap.Explanation(
        values=values,
        base_values=base,
        data=np.broadcast_to(np.arange(len(names)), values.shape[:-1]) if data is None else data,
        feature_names=names,
        output_names=_names("outputs", outputs, values.shape[-1]),
    )


def _names(what: str, given: Sequence[str] | None, count: int) -> list[str]:
    names = [str(i) for i in range(count)] if given is None else list(given)
    if len(names) != count:
        raise InputError(f"{what}: {len(names)} names for {count}")
    return names


def to_dataset(
    values: Floats,
    *,
    instances: Sequence[str],
    outputs: Sequence[str],
    more: Mapping[str, tuple[Sequence[str], NDArray[Any]]] | None = None,
) -> "xarray.Dataset":
    """Values as a labelled data set, which xarray selects, averages and writes.

    Args:
        values: (instance, player, output).
        instances: ids.
        outputs: names.
        more: further variables by name: dimensions and array.

    Raises:
        InputError: shapes that do not fit.
    """
    import xarray  # noqa: PLC0415  slow to load

    values = np.asarray(values)
    if values.ndim != 3 or (len(instances), len(outputs)) != (len(values), values.shape[2]):
        raise InputError(
            f"values of shape {values.shape}, {len(instances)} instances and {len(outputs)} "
            "outputs; expected (instance, player, output)"
        )
    return xarray.Dataset(
        {"value": (("instance", "player", "output"), values), **(more or {})},
        coords={
            "instance": list(instances),
            "player": np.arange(values.shape[1]),
            "output": list(outputs),
        },
    )
