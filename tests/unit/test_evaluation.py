"""Fills stores by partitions, through kills and damage, and fills them again."""

import errno
import fcntl
import json
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from players import (
    RECORD,
    check,
    ended,
    evaluated,
    finished,
    player,
    start,
    take_part,
    value_of,
    wait_until,
)

from pipeline.core.errors import InputError
from pipeline.store import CoalitionStore, UnusableValues, open_store, plan
from pipeline.store.claims import Claims, claims_file
from pipeline.store.evaluation import (
    merge_receipts,
    partition_indices,
    partition_of,
    play,
    read_receipt,
    write_receipt,
)
from pipeline.store.stored_game import StoredGame

NAMES = [f"v{i}" for i in range(10)]


class Evaluator:
    """Tables of a store's instances; records which of them are requested."""

    def __init__(self, store: CoalitionStore) -> None:
        self.store = store
        self.batches: list[list[str]] = []

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    def __call__(self, indices: Sequence[int]) -> np.ndarray:
        self.batches.append([self.store.instances[i] for i in indices])
        return np.stack([value_of(name) for name in self.batches[-1]])


def contents(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (path / "values").iterdir()}


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trn.zarr"


@pytest.fixture
def store(path: Path) -> CoalitionStore:
    return plan(path, RECORD, NAMES, NAMES)


@pytest.mark.usefixtures("per_shard")
def test_what_is_missing_is_evaluated_once(path: Path, store: CoalitionStore) -> None:
    evaluator = Evaluator(store)
    store.write("v4", value_of("v4"))
    receipt = play(store, evaluator, batch_size=4, device="cpu")
    assert [len(batch) for batch in evaluator.batches] == [4, 4, 1]
    assert evaluator.names == [name for name in NAMES if name != "v4"]
    assert (receipt.instances, receipt.instances_evaluated, receipt.instances_reused) == (10, 9, 1)
    assert (receipt.evaluations_made, receipt.evaluations_reused) == (72, 8)
    assert receipt.instances_damaged == () and receipt.seconds >= 0 and receipt.device == "cpu"
    check(path)
    again = play(store, evaluator, batch_size=4)
    assert (again.evaluations_made, again.evaluations_reused) == (0, 80)
    assert len(evaluator.batches) == 3


@pytest.mark.usefixtures("per_shard")
def test_any_number_of_partitions_gives_the_same_bytes(tmp_path: Path) -> None:
    expected = None
    for count in (1, 2, 3, 7, 12):
        path = tmp_path / f"{count}.zarr"
        store = plan(path, RECORD, NAMES, NAMES)
        evaluator = Evaluator(store)
        receipts = [
            play(store, evaluator, batch_size=3, partition=(index, count))
            for index in reversed(range(count))
        ]
        assert sorted(evaluator.names) == NAMES
        merged = merge_receipts(receipts)
        assert (merged.instances, merged.evaluations_made) == (10, 80)
        expected = expected or contents(path)
        assert contents(path) == expected


@pytest.mark.parametrize(("n", "count"), [(10, 1), (10, 3), (3, 7), (1000, 7), (1, 1)])
def test_partitions_are_those_of_array_split(n: int, count: int) -> None:
    for index, expected in enumerate(np.array_split(np.arange(n), count)):
        assert list(partition_indices(n, (index, count))) == expected.tolist()


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("partition", [(1, 1), (-1, 2), (0, 0)])
def test_partitions_that_do_not_exist_are_refused(
    store: CoalitionStore, partition: tuple[int, int]
) -> None:
    with pytest.raises(InputError, match="partition"):
        play(store, Evaluator(store), batch_size=1, partition=partition)


@pytest.mark.parametrize("damage", ["flip data", "flip index", "truncate", "empty", "remove"])
def test_damage_is_evaluated_again_and_nothing_else(
    path: Path, store: CoalitionStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    play(store, Evaluator(store), batch_size=4)
    sound = contents(path)
    shard = store.shard("v6")
    content = bytearray(shard.read_bytes())
    if damage == "remove":
        shard.unlink()
    elif damage in ("truncate", "empty"):
        os.truncate(shard, 0 if damage == "empty" else len(content) // 2)
    else:
        content[10 if damage == "flip data" else -10] ^= 4
        shard.write_bytes(content)
    evaluator = Evaluator(store)
    with caplog.at_level(logging.WARNING):
        receipt = play(store, evaluator, batch_size=4)
    assert evaluator.batches == [["v6"]]
    assert receipt.evaluations_made == 8 and receipt.evaluations_reused == 72
    found = damage != "remove"
    assert receipt.instances_damaged == (("v6",) if found else ())
    assert ("'v6'" in caplog.text) == found
    assert contents(path) == sound


@pytest.mark.usefixtures("per_shard")
def test_values_that_are_not_finite_name_their_instances(path, store: CoalitionStore) -> None:
    def tables(indices: Sequence[int]) -> np.ndarray:
        values = np.stack([value_of(store.instances[i]) for i in indices])
        for row, i in enumerate(indices):
            if store.instances[i] in ("v1", "v3"):
                values[row, 2, 1] = np.nan
        return values

    with pytest.raises(UnusableValues, match=r"'v1' hold nan at coalition 2.*same holds for 'v3'"):
        play(store, tables, batch_size=5)
    assert np.flatnonzero(store.done()).tolist() == [0, 2, 4]
    check(path)


@pytest.mark.usefixtures("per_shard")
def test_a_wrong_number_of_tables(store: CoalitionStore) -> None:
    with pytest.raises(ValueError, match="tables of 2 instances for 3"):
        play(store, lambda indices: np.zeros((2, 8, 2)), batch_size=3)
    with pytest.raises(UnusableValues, match="shape"):
        play(store, lambda indices: np.zeros((3, 8, 1)), batch_size=3)


def test_a_full_disk_keeps_what_was_finished(
    path: Path, store: CoalitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, moves = os.replace, []

    def filling(*args: object) -> None:
        moves.append(args)
        if len(moves) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        move(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", filling)
        with pytest.raises(InputError, match="disk is full"):
            play(store, Evaluator(store), batch_size=2)
    assert store.done().sum() == 5
    assert len(names_in(path / "values")) == 6
    evaluator = Evaluator(store)
    play(store, evaluator, batch_size=2)
    assert evaluator.names == NAMES[5:]
    check(path)


@pytest.mark.usefixtures("per_shard")
def test_what_another_process_has_done_meanwhile_is_reused(
    path: Path, store: CoalitionStore
) -> None:
    evaluator, other = Evaluator(store), open_store(path, "r+")

    def tables(indices: Sequence[int]) -> np.ndarray:
        for name in ("v3", "v4", "v5"):
            other.write(name, value_of(name))
        return evaluator(indices)

    receipt = play(store, tables, batch_size=2)
    assert evaluator.batches == [["v0", "v1"], ["v2", "v6"], ["v7", "v8"], ["v9"]]
    assert (receipt.instances_evaluated, receipt.instances_reused) == (7, 3)
    check(path)


@pytest.mark.usefixtures("per_shard")
def test_only_new_instances_are_evaluated(path: Path, store: CoalitionStore) -> None:
    play(store, Evaluator(store), batch_size=4)
    names = ["v20", *reversed(NAMES), "v21"]
    store = plan(path, RECORD, names, names)
    evaluator = Evaluator(store)
    receipt = play(store, evaluator, batch_size=4)
    assert evaluator.names == ["v20", "v21"] and receipt.evaluations_made == 16
    check(path)
    other = plan(path, replace(RECORD, evaluator_version=2), names, names)
    assert play(other, Evaluator(other), batch_size=9).evaluations_made == 96
    back = plan(path, RECORD, names, names)
    assert play(back, Evaluator(back), batch_size=9).evaluations_made == 0


def test_killed_runs_waste_at_most_what_was_in_flight(path: Path) -> None:
    names = [f"v{i}" for i in range(60)]
    plan(path, RECORD, names, names)
    kills = 3
    for number in range(kills):
        process = player(path, number)
        with ended(process):
            enough = len(evaluated(path)) + 8
            wait_until(lambda: len(evaluated(path)) >= enough, "8 instances more")
        assert process.exitcode == -signal.SIGKILL, "finished before it could be killed"
        check(path)
    (path / "values" / "c.59.0.0123.partial").write_bytes(b"debris of a kill")
    store = plan(path, RECORD, names, names)
    done = int(store.done().sum())
    assert 8 <= done < 60
    evaluator = Evaluator(store)
    receipt = play(store, evaluator, batch_size=8)
    assert receipt.instances_reused == done and receipt.instances_damaged == ()
    assert len(evaluator.names) == 60 - done
    # One batch of two was in flight in each of the killed runs.
    assert len(evaluated(path)) <= done + 2 * kills
    check(path)
    assert len(names_in(path / "values")) == 61


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("partitions", [[(0, 1)] * 2, [(0, 2), (0, 3), (0, 1), (1, 2)]])
def test_at_once_no_instance_is_evaluated_twice(path: Path, partitions) -> None:
    names = [f"v{i}" for i in range(60)]
    store = plan(path, RECORD, names, names)
    every = [
        player(path, number, partition=partition, batch_size=3 + number, seconds=0.05)
        for number, partition in enumerate(partitions)
    ]
    with ended(*every):
        assert finished(*every) == [0] * len(every)
    assert sorted(evaluated(path)) == sorted(names)
    check(path)
    receipts = [read_receipt(path.parent / f"{number}.json") for number in range(len(every))]
    assert sum(receipt.instances_evaluated for receipt in receipts) == 60
    assert sum(receipt.instances_evaluated > 0 for receipt in receipts) > 1
    for receipt, partition in zip(receipts, partitions, strict=True):
        owned = len(partition_of(store, partition))
        assert receipt.instances == owned
        assert receipt.instances_evaluated + receipt.instances_reused == owned
        assert receipt.evaluations_made == 8 * receipt.instances_evaluated
    assert len(names_in(path / "values")) == store.n_shards + 1
    assert store.done().all()


def test_a_waiting_process_evaluates_the_claims_of_a_killed_one(path: Path) -> None:
    plan(path, RECORD, NAMES, NAMES)
    doomed = player(path, 0, batch_size=4, seconds=60)
    with ended(doomed):
        wait_until(lambda: len(evaluated(path)) == 4, "the first batch")
        other = player(path, 1, batch_size=4)
        with ended(other):
            wait_until(lambda: open_store(path).done().sum() == 6, "the others")
            # Now it waits for the rest without evaluating it.
            assert finished(other, within=0.2) == [None]
            assert sorted(evaluated(path)) == NAMES
            doomed.kill()
            assert finished(other) == [0]
    assert evaluated(path)[-4:] == evaluated(path)[:4]
    assert read_receipt(path.parent / "1.json").instances_evaluated == 10
    check(path)
    assert open_store(path).done().all()


def test_a_waiting_process_reuses_what_the_other_finished(path: Path) -> None:
    plan(path, RECORD, NAMES, NAMES)
    slow = player(path, 0, batch_size=7, seconds=0.6)
    with ended(slow):
        wait_until(lambda: len(evaluated(path)) == 7, "the first batch")
        other = player(path, 1, batch_size=7, seconds=0)
        with ended(other):
            assert finished(slow, other) == [0, 0]
    assert sorted(evaluated(path)) == NAMES
    receipts = [read_receipt(path.parent / f"{number}.json") for number in range(2)]
    assert [receipt.instances_evaluated for receipt in receipts] == [7, 3]


def test_a_waiting_process_does_not_poll(
    path: Path, store: CoalitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = start(take_part, path, 3)
    with ended(owner):
        wait_until((path.parent / "there").exists, "a claim")
        take, wait = Claims.take, Claims.wait
        taken: list[int] = []

        def counting(claims: Claims, index: int) -> bool:
            taken.append(index)
            assert len(taken) < 20, "asks again and again"
            return take(claims, index)

        def waiting(claims: Claims, index: int) -> None:
            assert index == 3 and store.done().sum() == 9
            owner.kill()
            wait(claims, index)

        monkeypatch.setattr(Claims, "take", counting)
        monkeypatch.setattr(Claims, "wait", waiting)
        evaluator = Evaluator(store)
        play(store, evaluator, batch_size=4)
    assert [len(batch) for batch in evaluator.batches] == [4, 4, 1, 1]
    assert evaluator.batches[-1] == ["v3"]


def test_what_is_finished_just_before_it_is_claimed_is_reused(
    path: Path, store: CoalitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Claims.take

    def late(claims: Claims, index: int) -> bool:
        if index in (0, 5):
            store.write(index, value_of(NAMES[index]))
        return take(claims, index)

    monkeypatch.setattr(Claims, "take", late)
    evaluator = Evaluator(store)
    receipt = play(store, evaluator, batch_size=4)
    assert evaluator.names == [name for name in NAMES if name not in ("v0", "v5")]
    assert receipt.instances_reused == 2
    check(path)


def test_damage_that_several_find_at_once_is_mended_once(path: Path) -> None:
    store = plan(path, RECORD, NAMES, NAMES)
    play(store, Evaluator(store), batch_size=10)
    bad = ["v2", "v3", "v7"]
    for name in bad:
        os.truncate(store.shard(name), 9)
    every = [player(path, number, batch_size=1, seconds=0.05) for number in range(3)]
    with ended(*every):
        assert finished(*every) == [0] * 3
    assert sorted(evaluated(path)) == bad
    receipts = [read_receipt(path.parent / f"{number}.json") for number in range(3)]
    assert sorted(name for receipt in receipts for name in receipt.instances_damaged) == bad
    assert sum(receipt.instances_evaluated for receipt in receipts) == 3
    check(path)
    assert store.done().all()


def test_what_was_mended_meanwhile_is_not_erased(
    path: Path, store: CoalitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(store, Evaluator(store), batch_size=10)
    os.truncate(store.shard("v3"), 9)
    os.truncate(store.shard("v5"), 9)
    wait = Claims.wait

    def mending(claims: Claims, index: int) -> None:
        wait(claims, index)
        if index == 3:
            store.erase("v3")
            store.write("v3", value_of("v3"))

    monkeypatch.setattr(Claims, "wait", mending)
    evaluator = Evaluator(store)
    receipt = play(store, evaluator, batch_size=10)
    assert evaluator.names == ["v5"] and receipt.instances_damaged == ("v5",)
    assert receipt.instances_reused == 9


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("lacking", [errno.ENOLCK, errno.EOPNOTSUPP, None])
def test_without_record_locks_all_goes_on(
    path: Path, store: CoalitionStore, monkeypatch, caplog, lacking: int | None
) -> None:
    if lacking is None:
        # No file can be made there.
        claims_file(path).mkdir()
    else:

        def lockf(*args: object) -> None:
            raise OSError(lacking, os.strerror(lacking))

        monkeypatch.setattr(fcntl, "lockf", lockf)
    evaluator = Evaluator(store)
    assert play(store, evaluator, batch_size=4).instances_evaluated == 10
    assert evaluator.names == NAMES
    check(path)
    assert caplog.text.count("cannot be claimed") == 1


@pytest.mark.usefixtures("per_shard")
def test_nothing_is_claimed_where_nothing_is_to_be_done(path: Path, store: CoalitionStore) -> None:
    play(store, Evaluator(store), batch_size=4)
    assert names_in(path.parent) == [".trn.zarr.claims", "trn.zarr"]
    claims_file(path).unlink()
    read_only = open_store(path)
    assert play(read_only, Evaluator(read_only), batch_size=4).instances_reused == 10
    behind = open_store(f"file://{path}")
    assert play(behind, Evaluator(behind), batch_size=4).instances_reused == 10
    assert names_in(path.parent) == ["trn.zarr"]


def test_claims_are_the_same_by_any_name_of_a_store(tmp_path: Path, monkeypatch) -> None:
    store = tmp_path / "disk" / "trn.zarr"
    store.mkdir(parents=True)
    (tmp_path / "link.zarr").symlink_to(store)
    monkeypatch.chdir(tmp_path)
    names = (store, Path("disk/trn.zarr"), tmp_path / "link.zarr", "link.zarr")
    assert {claims_file(name) for name in names} == {store.parent / ".trn.zarr.claims"}


def test_progress_counts_each_instance_once(
    path: Path, store: CoalitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, list[int]] = {}

    @contextmanager
    def progress(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        shown[unit] = [total, 0]

        def advance(n: int) -> None:
            shown[unit][1] += n

        yield advance

    monkeypatch.setattr("pipeline.store.evaluation.progress", progress)
    store.write("v1", value_of("v1"))
    store.write("v2", value_of("v2"))
    os.truncate(store.shard("v2"), 5)
    evaluator, other = Evaluator(store), open_store(path, "r+")

    def tables(indices: Sequence[int]) -> np.ndarray:
        for name in ("v8", "v9"):
            other.write(name, value_of(name))
        return evaluator(indices)

    receipt = play(store, tables, batch_size=3)
    assert evaluator.names == ["v0", "v2", "v3", "v4", "v5", "v6", "v7"]
    assert shown == {"instances": [2, 2], "evaluations": [72, 72]}
    assert receipt.instances_reused == 3


@pytest.mark.usefixtures("per_shard")
def test_planning_a_store_again_ends_its_evaluation(path: Path, store: CoalitionStore) -> None:
    def tables(indices: Sequence[int]) -> np.ndarray:
        fresh = plan(path, RECORD, NAMES[::-1], NAMES[::-1])
        # In the new plan, an index may mean another instance than in this play.
        play(fresh, Evaluator(fresh), batch_size=10)
        return np.stack([value_of(store.instances[i]) for i in indices])

    with pytest.raises(InputError, match="planned again"):
        play(store, tables, batch_size=5)
    check(path)


@pytest.mark.usefixtures("per_shard")
def test_receipts(path: Path, store: CoalitionStore) -> None:
    receipts = [
        play(store, Evaluator(store), batch_size=4, partition=(i, 2), device="cpu")
        for i in range(2)
    ]
    file = path.parent / "receipts" / "trn.json"
    write_receipt(receipts[0], file)
    assert read_receipt(file) == receipts[0]
    content = json.loads(file.read_text())
    assert content == json.loads(json.dumps(asdict(receipts[0])))
    assert content["store"] == str(path) and content["identity"] == RECORD.identity
    assert (content["format"], content["study"], content["partition"]) == (
        "evaluation-receipt",
        "frames",
        [0, 2],
    )
    assert names_in(file.parent) == ["trn.json"]
    merged = merge_receipts(reversed(receipts))
    assert (merged.instances, merged.evaluations_made, merged.device) == (10, 80, "cpu")
    with pytest.raises(InputError, match="one for each of 2"):
        merge_receipts(receipts[:1])
    with pytest.raises(InputError, match="one for each of 2"):
        merge_receipts([receipts[0], receipts[0]])
    with pytest.raises(InputError, match="one game"):
        merge_receipts([receipts[0], replace(receipts[1], identity="other")])
    with pytest.raises(InputError, match="one game"):
        merge_receipts([])
    file.write_text("{}")
    with pytest.raises(InputError, match=r"trn\.json: not an evaluation-receipt"):
        read_receipt(file)
    with pytest.raises(InputError, match="there is no receipt"):
        read_receipt(path.parent / "none.json")


@pytest.mark.usefixtures("per_shard")
def test_a_stored_game_is_a_game(store: CoalitionStore) -> None:
    play(store, Evaluator(store), batch_size=4)
    game = StoredGame(store, "v3")
    assert (game.n_players, game.outputs) == (3, ("cat", "dog"))
    masks = np.array([5, 0, 7, 5], dtype=np.uint64)
    np.testing.assert_array_equal(game(masks), value_of("v3")[[5, 0, 7, 5]])
    np.testing.assert_array_equal(game(masks.astype(np.int64)), game(masks))
    assert game(np.empty(0, dtype=np.uint64)).shape == (0, 2)
    with pytest.raises(InputError, match="'v3': the value of coalition 0x8 is not stored"):
        game(np.array([1, 8], dtype=np.uint64))
    with pytest.raises(InputError):
        game(np.array([-1]))
    with pytest.raises(InputError, match="row of integers"):
        game(np.array([0.5]))
    store.erase("v4")
    with pytest.raises(InputError, match="'v4' has not been evaluated"):
        StoredGame(store, "v4")(masks)


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("n_players", [20, 64, 70])
def test_a_stored_game_that_was_sampled(tmp_path: Path, n_players: int) -> None:
    record = replace(RECORD, n_players=n_players, n_coalitions=50)
    rng = np.random.default_rng(1)
    if n_players > 64:
        masks = rng.integers(0, 256, (2, 50, 9), dtype=np.uint8)
    else:
        masks = rng.integers(0, 1 << (n_players - 1), (2, 50), dtype=np.uint64)
        masks |= np.uint64(1 << (n_players - 1))
    store = plan(tmp_path / "x.zarr", record, ["a", "b"], ["1", "2"], masks=masks)
    values = rng.random((2, 50, 2), dtype=np.float32)
    play(store, lambda indices: values[list(indices)], batch_size=2)
    game = StoredGame(store, "b")
    rows = rng.permutation(50)
    np.testing.assert_array_equal(game(masks[1][rows]), values[1][rows])
    with pytest.raises(InputError, match="'b': the value of coalition"):
        game(masks[0][:2])
