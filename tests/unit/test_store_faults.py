"""Tests stores with kills, full disks and damage, using real processes and disks."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from players import (
    RECORD,
    check,
    ended,
    evaluated,
    finished,
    noting,
    plan_once,
    player,
    start,
    value_of,
    wait_until,
)
from typer.testing import CliRunner

from pipeline.core.errors import InputError
from pipeline.store import (
    CoalitionStore,
    DamagedShard,
    DamagedStore,
    GameRecord,
    MissingInstance,
    open_store,
    plan,
    verify,
)
from pipeline.store.cli import app
from pipeline.store.evaluation import play

OTHER = replace(RECORD, weights_sha256="cd" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames" / "trn.zarr"


def named(count: int) -> list[str]:
    return [f"v{i}" for i in range(count)]


def filled(path: Path, names: list[str], record: GameRecord = RECORD) -> CoalitionStore:
    store = plan(path, record, names, names)
    for i in np.flatnonzero(~store.done()):
        store.write(int(i), value_of(names[i]))
    return store


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


Marks = dict[str, tuple[int, int]]
"""inode and time of change by the name of the shard."""


def shards(path: Path) -> Marks:
    return {
        entry.name: (entry.stat().st_ino, entry.stat().st_mtime_ns)
        for entry in os.scandir(path / "values")
        if entry.name.startswith("c.") and not entry.name.endswith(".partial")
    }


def test_twenty_kills_of_a_player(path: Path) -> None:
    rng = random.Random(20)
    names, batch, kills = named(400), 4, 20
    path.parent.mkdir()
    plan(path, RECORD, names, names)
    finished_early: Marks = {}
    for kill in range(kills):
        process = player(path, batch_size=batch, seconds=0.01)
        with ended(process):
            if kill % 4 == 0:
                # While it starts, or reads stored values.
                time.sleep(rng.uniform(0, 0.08))
            else:
                enough = len(evaluated(path)) + rng.randint(1, 2 * batch)
                wait_until(lambda: len(evaluated(path)) >= enough, "some evaluations")
                time.sleep(rng.uniform(0, 0.015))
        assert process.exitcode == -signal.SIGKILL, "finished before it could be killed"
        check(path)
        assert finished_early.items() <= shards(path).items()
        finished_early = shards(path)
    assert 20 < len(finished_early) < len(names)
    last = player(path, batch_size=batch, seconds=0)
    with ended(last):
        assert finished(last) == [0]
    assert finished_early.items() <= shards(path).items()
    assert len(shards(path)) == len(names)
    check(path)
    assert set(evaluated(path)) == set(names)
    assert len(evaluated(path)) <= len(names) + kills * batch
    assert verify(plan(path, RECORD, names, names)) == []
    # Killed writes leave no files.
    assert names_in(path / "values") == sorted([*shards(path), "zarr.json"])


@pytest.mark.usefixtures("per_shard")
def test_twenty_kills_of_a_plan(path: Path) -> None:
    rng = random.Random(21)
    names = named(40)
    path.parent.mkdir()
    filled(path, names)
    filled(path, names, OTHER)
    began = time.monotonic()
    filled(path, names)
    usual = time.monotonic() - began
    killed = 0
    for _ in range(20):
        some = rng.sample(names, rng.randint(1, 40))
        process = start(plan_once, path, some, rng.choice([RECORD, OTHER]))
        with ended(process):
            wait_until((path.parent / "began").exists, "a plan")
            time.sleep(rng.uniform(0, 1.2 * usual))
        killed += process.exitcode == -signal.SIGKILL
        (path.parent / "began").unlink()
        if path.exists():
            check(path)
        # Sometimes several are killed before one finishes.
        if rng.random() < 0.5:
            record = rng.choice([RECORD, OTHER])
            store = plan(path, record, names, names)
            assert store.record == record and store.done().all()
            assert verify(store) == []
            check(path)
    assert killed > 5
    for record in (RECORD, OTHER):
        assert plan(path, record, names, names).done().all()
        check(path)
    assert not [name for name in names_in(path.parent) if name.startswith(".")]


# --- full disks ---


def on_a_small_disk(scenario: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a function of this module in a process with its own small disk at ``folder/disk``.

    The function's assertions hold if the process returns 0.
    """
    disk = folder / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=256k tmpfs {disk}"
    # A separate mount namespace leaves nothing mounted, whatever happens.
    private = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    try:
        probe = subprocess.run([*private, mount], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a small disk cannot be made here: there is no unshare")
    if probe.returncode:
        pytest.skip(f"a small disk cannot be made here: {probe.stderr.strip()}")
    here = Path(__file__).parent
    program = (
        f"import test_store_faults as t; from pathlib import Path; t.{scenario}(Path('{disk}'))"
    )
    return subprocess.run(
        [*private, f'{mount} && exec "$0" "$@"', sys.executable, "-c", program],
        cwd=here.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)


def leave_free(disk: Path, pages: int) -> None:
    """Fill a disk until only some pages are free."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    status = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (status.f_bfree - pages) * status.f_bsize or 1)


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        action()
    return str(caught.value)


def full_disk_while_playing(disk: Path) -> None:
    path = disk / "trn.zarr"
    # On another disk.
    journal = disk.parent / "evaluated"
    names = named(100)
    store = plan(path, RECORD, names, names)

    def tables(indices):
        with journal.open("a") as file:
            file.writelines(f"{names[i]}\n" for i in indices)
        return np.stack([value_of(names[i]) for i in indices])

    text = refusal(lambda: play(store, tables, batch_size=4))
    assert str(path) in text and "disk is full" in text and "Make room" in text
    done = int(store.done().sum())
    assert 10 < done < 100
    before = shards(path)
    check(path)
    assert verify(open_store(path)) == [] and len(before) == done
    assert len(names_in(path / "values")) == done + 1, "debris of the write that failed"
    # The disk is as full as before; another try loses nothing.
    assert "disk is full" in refusal(lambda: play(store, tables, batch_size=4))
    assert before.items() <= shards(path).items()
    before, done = shards(path), int(store.done().sum())
    journal.unlink()
    make_room(disk)
    receipt = play(open_store(path, "r+"), tables, batch_size=4)
    assert receipt.instances_evaluated == 100 - done and receipt.instances_damaged == ()
    assert journal.read_text().split() == [names[i] for i in range(100) if i >= done]
    assert before.items() <= shards(path).items()
    check(path)
    assert open_store(path).done().all()


def full_disk_while_planning(disk: Path) -> None:
    path = disk / "frames" / "trn.zarr"
    names = named(12)
    filled(path, names)
    before = {p: (p.stat().st_ino, p.read_bytes()) for p in path.rglob("*") if p.is_file()}
    more = [f"v{i}" for i in range(100, 400)]
    refused = 0
    for record in (RECORD, OTHER):
        for pages in range(25):
            leave_free(disk, pages)
            try:
                plan(path, record, [*reversed(names), *more], [*names, *more])
            except InputError as error:
                refused += 1
                assert str(path) in str(error) and "disk is full" in str(error)
                now = {p: (p.stat().st_ino, p.read_bytes()) for p in path.rglob("*") if p.is_file()}
                assert now == before
                assert {"trn.zarr"} <= {*names_in(path.parent)} <= {".trn.zarr.new", "trn.zarr"}
                assert open_store(path).done().all()
                check(path)
            else:
                break
        assert pages > 3
        (disk / "ballast").unlink()
        assert filled(path, names).done().all()
        assert ".trn.zarr.new" not in names_in(path.parent)
        before = {p: (p.stat().st_ino, p.read_bytes()) for p in path.rglob("*") if p.is_file()}
    assert refused > 6


@pytest.mark.parametrize("scenario", ["full_disk_while_playing", "full_disk_while_planning"])
def test_a_full_disk(tmp_path: Path, scenario: str) -> None:
    done = on_a_small_disk(scenario, tmp_path)
    assert done.returncode == 0, done.stderr


# --- damage ---


@pytest.fixture
def many_chunks(path: Path, monkeypatch: pytest.MonkeyPatch) -> CoalitionStore:
    """Three instances, four chunks in each shard."""
    monkeypatch.setattr("pipeline.store.layout.CHUNK_BYTES", 20)
    store = filled(path, named(3))
    assert store._values.chunks == (1, 2, 2)
    return store


def never_wrong(store: CoalitionStore) -> bool:
    """Whether the damage of the second instance is found; checks that no wrong value is read."""
    found = False
    for read in (lambda: store.read("v1"), lambda: store.read_many([0, 1, 2])[1]):
        try:
            values = read()
        except (DamagedShard, MissingInstance):
            found = True
        else:
            np.testing.assert_array_equal(values, value_of("v1"))
    return found


def test_any_flipped_byte_of_a_shard_is_found(many_chunks: CoalitionStore) -> None:
    shard = many_chunks.shard("v1")
    content = shard.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        shard.write_bytes(changed)
        assert never_wrong(many_chunks), f"byte {position} of {len(content)}"


def test_any_truncated_shard_is_found(many_chunks: CoalitionStore) -> None:
    shard = many_chunks.shard("v1")
    content = shard.read_bytes()
    for size in range(len(content)):
        shard.write_bytes(content[:size])
        assert never_wrong(many_chunks), f"{size} of {len(content)} bytes"


def test_garbage_is_found(many_chunks: CoalitionStore) -> None:
    shard = many_chunks.shard("v1")
    content = shard.read_bytes()
    rng = random.Random(3)
    size = len(content)
    for garbage in (
        bytes(size),
        b"\xff" * size,
        content + b"\0",
        content * 2,
        content[::-1],
        *(rng.randbytes(rng.randint(1, 2 * size)) for _ in range(40)),
        # Garbage before a sound index, and a damaged index after sound data.
        rng.randbytes(size - 84) + content[-84:],
        content[:-84] + rng.randbytes(84),
    ):
        shard.write_bytes(garbage)
        found = never_wrong(many_chunks)
        assert found or garbage in (content * 2,), garbage[:20]


def test_only_what_is_damaged_is_evaluated_again(path: Path, caplog) -> None:
    store = filled(path, named(30))
    before = shards(path)
    rng = random.Random(4)

    def flipped(place: float) -> Callable[[Path], object]:
        def damage(shard: Path) -> None:
            content = bytearray(shard.read_bytes())
            content[round(place * (len(content) - 1))] ^= 16
            shard.write_bytes(content)

        return damage

    damages: dict[str, Callable[[Path], object]] = {
        "v3": flipped(0),
        "v4": flipped(0.5),
        "v11": flipped(1),
        "v12": flipped(0.9),
        "v13": lambda shard: os.truncate(shard, 50),
        "v14": lambda shard: os.truncate(shard, 0),
        "v20": lambda shard: shard.write_bytes(rng.randbytes(100)),
        "v29": lambda shard: shard.unlink(),
    }
    for name, damage in damages.items():
        damage(store.shard(name))
    assert {d.instance for d in verify(store)} == damages.keys() - {"v29"}
    receipt = play(store, noting(store, 0), batch_size=3)
    assert sorted(evaluated(path)) == sorted(damages)
    assert set(receipt.instances_damaged) == damages.keys() - {"v29"}
    assert (receipt.instances_evaluated, receipt.instances_reused) == (8, 22)
    for name in receipt.instances_damaged:
        assert f"'{name}'" in caplog.text
    whole = {store.shard(name).name for name in named(30) if name not in damages}
    assert {name: before[name] for name in whole}.items() <= shards(path).items()
    check(path)
    assert verify(store) == []


# --- later formats ---


@pytest.mark.usefixtures("per_shard")
def test_a_store_of_a_later_format_is_refused_and_changed_by_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = named(3)
    root = path.parent
    opened = filled(path, names)
    opened.erase("v2")
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["format_version"] = 4
    (path / "zarr.json").write_text(json.dumps(metadata))
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in root.rglob("*")}
    (root / "results").mkdir()
    attempts: list[Callable[[], object]] = [
        lambda: open_store(path),
        lambda: open_store(path, "r+"),
        lambda: plan(path, RECORD, names, names),
        lambda: plan(path, RECORD, names[:1], names[:1]),
        lambda: plan(path, OTHER, names, names),
        # Opened at the known version, and replaced since.
        lambda: play(opened, noting(opened, 0), batch_size=2),
    ]
    for attempt in attempts:
        with pytest.raises(InputError) as caught:
            attempt()
        assert not isinstance(caught.value, DamagedStore)
        if attempt is not attempts[-1]:
            assert "format version 4; versions up to 3" in str(caught.value)
    assert evaluated(path) == []
    for command in (
        ["prune", "--yes", "--root", root, "--receipts", root / "results"],
        ["verify", path],
        ["show", path],
        ["list", root],
    ):
        result = CliRunner().invoke(app, [str(word) for word in command], env={"COLUMNS": "400"})
        assert "format version 4" in result.output, command
        assert result.exit_code == (0 if command[0] == "prune" else 1)
    (root / "results").rmdir()
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in root.rglob("*")} == before
