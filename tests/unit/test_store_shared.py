"""Stores whose instances share shards: they keep all guarantees of a store, with fewer files."""

import errno
import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from players import (
    RECORD,
    check,
    ended,
    evaluated,
    finished,
    noting,
    player,
    value_of,
    wait_until,
)

from pipeline.core.errors import InputError
from pipeline.store import (
    CoalitionStore,
    DamagedShard,
    DamagedStore,
    MissingInstance,
    UnusableValues,
    open_store,
    plan,
    verify,
)
from pipeline.store.evaluation import partition_of, play, read_receipt
from pipeline.store.layout import FEW_SHARDS, MANY_SHARDS, instances_per_shard
from pipeline.store.merging import merge

K = 4
"""Instances in a shard."""


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    sharing(monkeypatch, K)


def sharing(monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    """Plan stores with ``k`` instances in a shard."""
    monkeypatch.setattr(
        "pipeline.store.planning.instances_per_shard", lambda record, n, before=None: k
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames" / "trn.zarr"


def named(count: int, first: int = 0) -> list[str]:
    return [f"v{i}" for i in range(first, first + count)]


def filled(path: Path, names: Sequence[str], record=RECORD) -> CoalitionStore:
    store = plan(path, record, names, names)
    done = store.done()
    store.write_many({i: value_of(names[i]) for i in range(len(names)) if not done[i]})
    return store


def files(path: Path) -> dict[str, int]:
    """Inodes of the shards by name."""
    return {f.name: f.stat().st_ino for f in (path / "values").iterdir() if f.name[0] == "c"}


def contents(path: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in (path / "values").iterdir()}


# --- how many share a shard ---


def test_only_many_small_instances_share_shards() -> None:
    small = replace(RECORD, n_players=8)  # 2 KiB an instance
    assert instances_per_shard(small, FEW_SHARDS) == 1
    assert instances_per_shard(small, 200_000) == 196
    assert -(-200_000 // 196) < 10_000
    large = replace(RECORD, n_players=16)  # 512 KiB
    assert instances_per_shard(large, 24_777) == 8
    huge = replace(large, outputs=tuple(map(str, range(174))))
    assert instances_per_shard(huge, 24_777) == 1
    sampled = replace(small, n_players=80, n_coalitions=16)
    assert instances_per_shard(sampled, 200_000) == 1


def test_the_number_stays_until_it_makes_too_many_files() -> None:
    small = replace(RECORD, n_players=8)
    for n in (10, FEW_SHARDS, MANY_SHARDS):
        assert instances_per_shard(small, n, 1) == 1
    assert instances_per_shard(small, MANY_SHARDS + 1, 1) == 5
    assert instances_per_shard(small, 10, 196) == 196
    assert instances_per_shard(small, 200_000, 50) == 50
    assert instances_per_shard(small, 300_000, 50) == 293
    huge = replace(RECORD, n_players=20, outputs=("a", "b", "c"))
    assert instances_per_shard(huge, 10 * MANY_SHARDS, 1) == 1


def test_the_number_is_recorded_and_the_format_is_later(path: Path) -> None:
    store = filled(path, named(10))
    group = zarr.open_group(path, mode="r")
    assert dict(group.attrs)["instances_per_shard"] == K == store.per_shard
    assert group.attrs["format_version"] == store.format_version == 3
    assert group["values"].shards == (K, 8, 2)
    assert group["values"].chunks == (1, 8, 2)
    assert sorted(files(path)) == ["c.0.0.0", "c.1.0.0", "c.2.0.0"]
    assert store.shard("v5").name == "c.1.0.0"
    group = zarr.open_group(path)
    group.attrs["instances_per_shard"] = 7
    with pytest.raises(DamagedStore, match="shards of 4 instances"):
        open_store(path)


def test_a_store_of_one_each_is_as_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sharing(monkeypatch, 1)
    store = filled(path, named(3))
    assert store.format_version == 2
    assert "instances_per_shard" not in zarr.open_group(path, mode="r").attrs


# --- values ---


def test_zarr_and_xarray_read_it(path: Path) -> None:
    store = plan(path, RECORD, named(6), named(6))
    for i in (1, 4):
        store.write(i, value_of(f"v{i}"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xarray.open_zarr(path)
        values = dataset["values"].values
    assert np.isnan(values[[0, 2, 3, 5]]).all()
    np.testing.assert_array_equal(values[1], value_of("v1"))
    np.testing.assert_array_equal(zarr.open_group(path)["values"][4], value_of("v4"))


@pytest.mark.parametrize("chunk_bytes", [20, 1 << 20])
def test_the_bytes_are_those_that_zarr_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr("pipeline.store.layout.CHUNK_BYTES", chunk_bytes)
    names = named(6)
    expected = None
    rng = random.Random(5)
    for attempt in range(4):
        place = path.with_name(f"{attempt}.zarr")
        store = plan(place, RECORD, names, names)
        if attempt == 0:
            if store._chunks_each > 1:
                continue  # zarr puts several chunks of an instance into another order
            zarr.open_group(place)["values"][:] = np.stack([value_of(name) for name in names])
        elif attempt == 1:
            store.write_many({i: value_of(names[i]) for i in range(6)})
        else:
            for i in rng.sample(range(6), 6):
                store.write(i, value_of(names[i]))
            store.erase(2)
            store.write(2, value_of("v2"))
        expected = expected or contents(place)
        assert contents(place) == expected
        check(place)
        read = zarr.open_group(place, mode="r")["values"][:]
        np.testing.assert_array_equal(read, np.stack([value_of(name) for name in names]))


def test_rows_that_do_not_fill_their_last_chunk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.store.layout.CHUNK_BYTES", 30)
    drawn = {**RECORD.specification, "drawn": "walks, seed 0"}
    record = replace(RECORD, n_players=3000, n_coalitions=7, specification=drawn)
    store = plan(path, record, named(5), named(5))
    assert store._values.chunks == (1, 2, 2) and store._values.shards == (K, 8, 2)
    values = np.random.default_rng(0).random((5, 7, 2), dtype=np.float32)
    store.write_many(dict(enumerate(values)))
    np.testing.assert_array_equal(store.read_many(range(5)), values)
    np.testing.assert_array_equal(zarr.open_group(path)["values"][:], values)
    assert verify(store) == []


def test_others_of_the_shard_are_kept(path: Path) -> None:
    names = named(6)
    store = filled(path, names)
    before = files(path)
    store.erase("v2")
    assert store.done().tolist() == [True, True, False, True, True, True]
    check(path)
    assert verify(store) == []
    with pytest.raises(MissingInstance, match="'v2' has not been evaluated; 5 of 6 have"):
        store.read_many([1, 2])
    assert files(path)["c.1.0.0"] == before["c.1.0.0"]
    for name in ("v0", "v1", "v3"):
        store.erase(name)
    assert sorted(files(path)) == ["c.1.0.0"]
    store.erase("v0")
    with pytest.raises(UnusableValues, match="'v1' hold nan"):
        store.write_many({0: value_of("v0"), 1: np.full((8, 2), np.nan)})
    assert sorted(files(path)) == ["c.1.0.0"], "nothing is written"
    store.write("v1", value_of("v1"))
    assert store.is_done("v1") and not store.is_done("v0") and not store.is_done("v3")
    check(path)


def test_writers_at_once_lose_nothing(path: Path) -> None:
    names = named(24)
    plan(path, RECORD, names, names)
    starts = threading.Barrier(6)

    def write(number: int) -> None:
        store = open_store(path, "r+")
        starts.wait()
        for i in range(number, 24, 6):
            store.write(i, value_of(names[i]))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_store(path).done().all()
    check(path)


# --- plans ---


def test_more_instances_keep_those_of_a_shard_that_was_not_full(path: Path) -> None:
    filled(path, named(6))
    before = files(path)
    store = plan(path, RECORD, named(11), named(11))
    assert store.done().tolist() == [True] * 6 + [False] * 5
    assert files(path) == before, "whole shards are linked"
    tables = noting(store, 0)
    assert play(store, tables, batch_size=2).instances_evaluated == 5
    assert sorted(evaluated(path)) == sorted(named(5, 6))
    assert files(path)["c.0.0.0"] == before["c.0.0.0"]
    check(path)


def test_fewer_instances_leave_nothing_behind(path: Path) -> None:
    filled(path, named(8))
    store = plan(path, RECORD, named(5), named(5))
    assert store.done().all() and not store.strays()
    # Others take the places of those that are gone.
    names = [*named(5), *named(3, 20)]
    store = plan(path, RECORD, names, names)
    assert store.done().tolist() == [True] * 5 + [False] * 3
    check(path)
    store = plan(path, RECORD, named(8), named(8))
    assert store.done().all()
    check(path)
    assert [f.name for f in path.parent.iterdir()] == ["trn.zarr"]


def test_one_changed_digest_costs_one_evaluation(path: Path) -> None:
    names = named(9)
    filled(path, names)
    before = files(path)
    digests = [*names[:5], "another", *names[6:]]
    store = plan(path, RECORD, names, digests)
    receipt = play(store, noting(store, 0), batch_size=3)
    assert evaluated(path) == ["v5"]
    assert (receipt.evaluations_made, receipt.evaluations_reused) == (8, 64)
    after = files(path)
    assert {n for n in before if before[n] != after[n]} == {"c.1.0.0"}
    check(path)


def test_a_store_that_grows_a_lot_is_packed_and_evaluates_nothing_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.store.layout.FEW_SHARDS", 3)
    monkeypatch.setattr("pipeline.store.layout.MANY_SHARDS", 6)
    monkeypatch.setattr("pipeline.store.planning.instances_per_shard", instances_per_shard)
    versions, sizes = [], []
    for n in (4, 2, 6, 14, 16, 60, 7):
        store = filled(path, named(n))
        check(path)
        assert verify(store) == []
        versions.append(store.format_version)
        sizes.append(store.per_shard)
    assert sizes == [1, 1, 1, 5, 5, 20, 20] or sizes[0] > 1
    assert store.done().all()
    store = plan(path, RECORD, named(60), named(60))
    assert store.done().all()
    check(path)


def test_a_store_of_the_second_version_goes_on_and_is_packed_when_it_is_large(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing(monkeypatch, 1)
    store = filled(path, named(5))
    assert store.format_version == 2
    before = {f: f.read_bytes() for f in path.rglob("*") if f.is_file()}
    monkeypatch.setattr("pipeline.store.planning.instances_per_shard", instances_per_shard)
    plan(path, RECORD, named(5), named(5))
    assert {f: f.read_bytes() for f in path.rglob("*") if f.is_file()} == before
    shards = files(path)
    store = plan(path, RECORD, named(7), named(7))
    assert store.per_shard == 1 and files(path) == shards
    sharing(monkeypatch, K)
    store = plan(path, RECORD, named(9), named(9))
    assert store.format_version == 3 and store.done().sum() == 5
    assert sorted(files(path)) == ["c.0.0.0", "c.1.0.0"]
    check(path)


def test_chunks_of_another_length_are_written_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path, named(6))
    monkeypatch.setattr("pipeline.store.layout.CHUNK_BYTES", 20)
    store = plan(path, RECORD, named(9), named(9))
    assert store._values.chunks == (1, 2, 2)
    assert store.done().sum() == 6
    check(path)
    assert verify(store) == []


def test_damage_stays_known_when_chunks_are_moved(path: Path, caplog) -> None:
    store = filled(path, named(8))
    content = bytearray(store.shard("v0").read_bytes())
    content[3] ^= 8  # in the values of v0
    store.shard("v0").write_bytes(content)
    os.truncate(store.shard("v4"), 40)
    names = ["v7", *named(7)]
    with caplog.at_level(logging.WARNING):
        store = plan(path, RECORD, names, names)
    assert "damaged values of instance 'v4' (values shard 1)" in caplog.text
    assert [d.instance for d in verify(store)] == ["v0"]
    receipt = play(store, noting(store, 0), batch_size=3)
    assert receipt.instances_damaged == ("v0",)
    assert sorted(evaluated(path)) == ["v0", "v4", "v5", "v6", "v7"]
    check(path)


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_agree_with_an_oracle(
    path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    records = [RECORD, replace(RECORD, weights_sha256="cd")]
    ever: set[tuple[str, str, str]] = set()
    for _ in range(12):
        sharing(monkeypatch, rng.choice([1, 2, 3, 5]))
        names = rng.sample(named(12), rng.randint(1, 10))
        digests = [f"{name} {rng.choice('12')}" for name in names]
        record = rng.choice(records)
        store = plan(path, record, names, digests)
        keys = [(record.identity, *pair) for pair in zip(names, digests, strict=True)]
        assert store.done().tolist() == [key in ever for key in keys]
        check(path)
        if rng.random() < 0.3:
            gone = rng.randrange(len(names))
            store.erase(gone)
            assert not store.is_done(gone)
            store.write(gone, value_of(names[gone]))
            ever.add(keys[gone])
        chosen = {i for i in range(len(names)) if rng.random() < 0.6 and not store.is_done(i)}
        store.write_many({i: value_of(names[i]) for i in chosen})
        ever |= {keys[i] for i in chosen}
        check(path)
        assert verify(store) == [] and not store.strays()


def test_values_beyond_the_end_are_found_and_swept(path: Path) -> None:
    names = named(8)
    shard = filled(path, names).shard("v7").read_bytes()
    store = plan(path, RECORD, named(6), named(6))
    store.shard("v5").write_bytes(shard)
    assert store.strays() == {1}
    (damage,) = verify(store)
    assert (damage.instance, damage.index) == (None, 1)
    store = plan(path, RECORD, named(6), named(6))
    assert verify(store) == [] and store.done().all()
    check(path)


# --- damage ---


@pytest.fixture(params=[20, 1 << 20])
def several(path: Path, monkeypatch: pytest.MonkeyPatch, request) -> CoalitionStore:
    """Two shards; with four chunks for each instance, or one."""
    monkeypatch.setattr("pipeline.store.layout.CHUNK_BYTES", request.param)
    return filled(path, named(2 * K))


def never_wrong(store: CoalitionStore) -> set[str]:
    """The instances that are found damaged or missing; checks that no wrong value is read."""
    bad = set()
    for name in store.instances:
        try:
            values = store.read(name)
        except (DamagedShard, MissingInstance):
            bad.add(name)
        else:
            np.testing.assert_array_equal(values, value_of(name))
    try:
        store.read_many(range(len(store)))
        assert not bad
    except (DamagedShard, MissingInstance) as error:
        assert any(f"'{name}'" in str(error) for name in bad)
    return bad


def test_any_flipped_byte_damages_one_instance_or_the_index(several: CoalitionStore) -> None:
    shard = several.shard("v0")
    content = shard.read_bytes()
    index = len(content) - 16 * several._n_chunks - 4
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        shard.write_bytes(changed)
        bad = never_wrong(several)
        if position < index:
            assert len(bad) == 1, f"byte {position}"
            lost = "only this instance"
        else:
            assert bad == set(named(K)), f"byte {position}"
            lost = "only what this shard holds"
        with pytest.raises(DamagedShard, match=lost):
            several.read(min(bad))
        assert {d.instance for d in verify(several)} == bad


def test_any_truncated_shard_is_found(several: CoalitionStore) -> None:
    shard = several.shard("v0")
    content = shard.read_bytes()
    for size in range(len(content)):
        shard.write_bytes(content[:size])
        assert never_wrong(several) == set(named(K)), f"{size} of {len(content)} bytes"


def test_garbage_is_found(several: CoalitionStore) -> None:
    shard = several.shard("v0")
    content, rng = shard.read_bytes(), random.Random(3)
    size = len(content)
    for garbage in (
        b"",
        bytes(size),
        b"\xff" * size,
        content + b"\0",
        content[::-1],
        *(rng.randbytes(rng.randint(1, 2 * size)) for _ in range(40)),
    ):
        shard.write_bytes(garbage)
        assert never_wrong(several) == set(named(K))


def test_only_what_is_damaged_is_evaluated_again(path: Path, caplog) -> None:
    store = filled(path, named(20))
    sound, before = contents(path), files(path)

    def flip(name: str, position: int) -> None:
        content = bytearray(store.shard(name).read_bytes())
        content[position] ^= 16
        store.shard(name).write_bytes(content)

    flip("v0", 0)  # in the first chunk, which is v0's
    flip("v4", -1)  # the index
    os.truncate(store.shard("v8"), 9)
    store.shard("v12").unlink()
    damaged = ["v0", *named(8, 4)]
    receipt = play(store, noting(store, 0), batch_size=3)
    assert sorted(evaluated(path)) == sorted([*damaged, *named(4, 12)])
    assert sorted(receipt.instances_damaged) == sorted(damaged)
    assert (receipt.instances_evaluated, receipt.instances_reused) == (13, 7)
    for name in damaged:
        assert f"'{name}'" in caplog.text
    assert contents(path) == sound
    assert files(path)["c.4.0.0"] == before["c.4.0.0"]
    assert verify(store) == []


# --- evaluation ---


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_partitions_take_whole_shards(path: Path, count: int) -> None:
    names = named(18)
    store = plan(path, RECORD, names, names)
    parts = [partition_of(store, (index, count)) for index in range(count)]
    assert [i for part in parts for i in part] == list(range(18))
    assert all(part.start % K == 0 for part in parts if part)
    receipts = path.parent / "receipts"
    for index in range(count):
        process = player(path, index, partition=(index, count), seconds=0)
        with ended(process):
            assert finished(process) == [0]
    paths = [path.parent / f"{index}.json" for index in range(count)]
    merge(paths, receipts / "trn.json")
    merged = read_receipt(receipts / "trn.json")
    assert (merged.instances, merged.instances_evaluated) == (18, 18)
    check(path)


def test_a_receipt_of_a_part_that_lacks_an_instance_is_refused(path: Path) -> None:
    names = named(10)
    store = plan(path, RECORD, names, names)
    for index in range(2):
        process = player(path, index, partition=(index, 2), seconds=0)
        with ended(process):
            assert finished(process) == [0]
    store.erase("v9")
    paths = [path.parent / f"{index}.json" for index in range(2)]
    with pytest.raises(InputError, match=r"1\.json said; removed"):
        merge(paths, path.parent / "trn.json")
    assert [p.exists() for p in paths] == [True, False]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 50])
def test_batches_are_full_whatever_the_shards(path: Path, batch_size: int) -> None:
    names = named(22)
    store = plan(path, RECORD, names, names)
    store.write_many({i: value_of(names[i]) for i in (0, 5, 6, 21)})
    batches: list[list[int]] = []

    def tables(indices: Sequence[int]) -> np.ndarray:
        batches.append(list(indices))
        return np.stack([value_of(names[i]) for i in indices])

    play(store, tables, batch_size=batch_size)
    assert [i for batch in batches for i in batch] == [
        i for i in range(22) if i not in (0, 5, 6, 21)
    ]
    assert all(len(batch) == batch_size for batch in batches[:-1])
    check(path)
    assert store.done().all()


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_failure_keeps_what_was_evaluated(
    path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr("pipeline.store.evaluation.KEEP_SECONDS", seconds)
    names = named(12)
    store = plan(path, RECORD, names, names)
    seen: list[int] = []

    def tables(indices: Sequence[int]) -> np.ndarray:
        seen.append(int(store.done().sum()))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return np.stack([value_of(names[i]) for i in indices])

    with pytest.raises(KeyboardInterrupt):
        play(store, tables, batch_size=3)
    # Every batch at once, or only complete shards.
    assert seen == ([0, 3, 6, 9] if seconds == 0 else [0, 0, 4, 8])
    assert store.done().sum() == 9
    check(path)


def test_values_that_are_not_finite_spare_their_shard(path: Path) -> None:
    names = named(8)
    store = plan(path, RECORD, names, names)

    def tables(indices: Sequence[int]) -> np.ndarray:
        values = np.stack([value_of(names[i]) for i in indices])
        values[[i == 5 for i in indices]] = np.nan
        return values

    with pytest.raises(UnusableValues, match="'v5' hold nan"):
        play(store, tables, batch_size=8)
    assert store.done().tolist() == [i != 5 for i in range(8)]
    check(path)


def test_a_full_disk_keeps_what_was_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = named(12)
    store = plan(path, RECORD, names, names)
    move, moves = Path.replace, []

    def filling(source: Path, target: Path) -> Path:
        moves.append(target)
        if len(moves) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return move(source, target)

    tables = noting(store, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", filling)
        with pytest.raises(InputError, match="disk is full"):
            play(store, tables, batch_size=2)
    assert store.done().sum() == 8
    assert sorted(f.name for f in (path / "values").iterdir()) == [
        "c.0.0.0",
        "c.1.0.0",
        "zarr.json",
    ]
    check(path)
    play(store, tables, batch_size=2)
    assert evaluated(path) == [*named(12), *named(4, 8)]


def test_kills_lose_what_was_under_way_and_nothing_else(path: Path) -> None:
    rng = random.Random(7)
    names = named(240)
    path.parent.mkdir()
    plan(path, RECORD, names, names)
    kills, done = 8, np.zeros(240, dtype=bool)
    for kill in range(kills):
        process = player(path, batch_size=3, seconds=0.01)
        with ended(process):
            enough = len(evaluated(path)) + rng.randint(1, 20)
            wait_until(lambda: len(evaluated(path)) >= enough, "some evaluations")
        assert process.exitcode == -signal.SIGKILL
        check(path)
        now = open_store(path).done()
        assert (now >= done).all(), f"kill {kill} lost finished instances"
        done = now
    last = player(path, batch_size=3, seconds=0)
    with ended(last):
        assert finished(last) == [0]
    check(path)
    # At most a shard and a batch were under way each time.
    assert len(evaluated(path)) <= 240 + kills * (K + 3)
    store = plan(path, RECORD, names, names)
    assert verify(store) == []
    assert not [f for f in (path / "values").iterdir() if f.name.endswith(".partial")]


def test_a_waiting_process_evaluates_what_a_killed_one_had_claimed(path: Path) -> None:
    names = named(10)
    plan(path, RECORD, names, names)
    doomed = player(path, 0, batch_size=2, seconds=60)
    with ended(doomed):
        wait_until(lambda: len(evaluated(path)) == 2, "the first batch")
        other = player(path, 1, batch_size=2, seconds=0)
        with ended(other):
            # All but the shard that the first one holds.
            wait_until(lambda: open_store(path).done().sum() == 6, "the others")
            assert finished(other, within=0.2) == [None]
            doomed.kill()
            assert finished(other) == [0]
    assert read_receipt(path.parent / "1.json").instances_evaluated == 10
    check(path)
    assert open_store(path).done().all()


def test_damage_that_several_find_at_once_is_mended_once(path: Path) -> None:
    store = filled(path, named(12))
    os.truncate(store.shard("v0"), 9)
    content = bytearray(store.shard("v8").read_bytes())
    content[3] ^= 1
    store.shard("v8").write_bytes(content)
    bad = sorted([*named(4), "v8"])
    every = [player(path, number, batch_size=1, seconds=0.05) for number in range(3)]
    with ended(*every):
        assert finished(*every) == [0] * 3
    assert sorted(evaluated(path)) == bad
    receipts = [read_receipt(path.parent / f"{number}.json") for number in range(3)]
    assert sorted(name for receipt in receipts for name in receipt.instances_damaged) == bad
    check(path)
    assert store.done().all()
