"""Games played into stores, by partitions, through kills and damage, and played again."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.evaluation import (
    StoredGame,
    merge_receipts,
    partition_indices,
    play,
    read_receipt,
    write_receipt,
)
from pipeline.store import CoalitionStore, GameRecord, UnusableValues, open_store, plan

NAMES = [f"v{i}" for i in range(10)]
RECORD = GameRecord(
    study="frames",
    game="trn",
    n_players=3,
    player="a frame of the video",
    outputs=("cat", "dog"),
    value="probability",
    specification={"score": "softmax"},
    weights_sha256="ab" * 32,
    evaluator_version=1,
    versions={},
)


def value_of(name: str) -> np.ndarray:
    number = int(name[1:])
    return (np.arange(16, dtype=np.float32).reshape(8, 2) + 100 * number) / 7


class Evaluator:
    """Tables of a store's instances, and which of them were asked for."""

    def __init__(self, store: CoalitionStore) -> None:
        self.store = store
        self.batches: list[list[str]] = []

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    def __call__(self, indices: Sequence[int]) -> np.ndarray:
        self.batches.append([self.store.instances[i] for i in indices])
        return np.stack([value_of(name) for name in self.batches[-1]])


def check(path: Path) -> None:
    store = open_store(path)
    for i in np.flatnonzero(store.done()):
        np.testing.assert_array_equal(store.read(int(i)), value_of(store.instances[i]))


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


@pytest.mark.parametrize("partition", [(1, 1), (-1, 2), (0, 0)])
def test_no_such_partition(store: CoalitionStore, partition: tuple[int, int]) -> None:
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


def test_values_that_are_not_finite_name_their_instances(path, store: CoalitionStore) -> None:
    def tables(indices: Sequence[int]) -> np.ndarray:
        values = np.stack([value_of(store.instances[i]) for i in indices])
        for row, i in enumerate(indices):
            if store.instances[i] in ("v1", "v3"):
                values[row, 2, 1] = np.nan
        return values

    with pytest.raises(UnusableValues, match=r"'v1' hold nan at coalition 2.*same of 'v3'"):
        play(store, tables, batch_size=5)
    assert np.flatnonzero(store.done()).tolist() == [0, 2, 4]
    check(path)


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


def test_what_another_process_has_done_meanwhile_is_reused(
    path: Path, store: CoalitionStore
) -> None:
    evaluator, other = Evaluator(store), open_store(path, "r+")

    def tables(indices: Sequence[int]) -> np.ndarray:
        for name in ("v3", "v4", "v5"):
            other.write(name, value_of(name))
        return evaluator(indices)

    receipt = play(store, tables, batch_size=2)
    assert evaluator.batches == [["v0", "v1"], ["v2"], ["v6", "v7"], ["v8", "v9"]]
    assert (receipt.instances_evaluated, receipt.instances_reused) == (7, 3)
    check(path)


def test_more_instances_cost_theirs_only(path: Path, store: CoalitionStore) -> None:
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


PLAYER = """
import sys, time
from pathlib import Path
from pipeline.evaluation import play, write_receipt
from pipeline.store import open_store
import numpy as np

path, log, out = map(Path, sys.argv[1:4])
store = open_store(path, "r+")

def value_of(name):
    return (np.arange(16, dtype=np.float32).reshape(8, 2) + 100 * int(name[1:])) / 7

def tables(indices):
    time.sleep(0.02)
    with log.open("a") as lines:
        lines.writelines(f"{store.instances[i]}\\n" for i in indices)
    return np.stack([value_of(store.instances[i]) for i in indices])

write_receipt(play(store, tables, batch_size=2), out)
"""


def player(path: Path, number: int) -> subprocess.Popen[bytes]:
    arguments = [str(path), str(path.parent / "log"), str(path.parent / f"{number}.json")]
    return subprocess.Popen(
        [sys.executable, "-c", PLAYER, *arguments], cwd=Path(__file__).parent.parent
    )


def test_killed_runs_waste_at_most_what_was_in_flight(path: Path) -> None:
    names = [f"v{i}" for i in range(60)]
    plan(path, RECORD, names, names)
    log = path.parent / "log"
    log.touch()
    kills = 3
    for number in range(kills):
        process = player(path, number)
        enough = len(log.read_text().split()) + 8
        deadline = time.monotonic() + 20
        while len(log.read_text().split()) < enough and time.monotonic() < deadline:
            time.sleep(0.005)
        assert process.poll() is None, "finished before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        check(path)
    (path / "values" / "c.59.0.0123.partial").write_bytes(b"debris of a kill")
    store = plan(path, RECORD, names, names)
    finished = int(store.done().sum())
    assert 8 <= finished < 60
    evaluator = Evaluator(store)
    receipt = play(store, evaluator, batch_size=8)
    assert receipt.instances_reused == finished and receipt.instances_damaged == ()
    assert len(evaluator.names) == 60 - finished
    # One batch of two was in flight in each of the killed runs.
    assert len(log.read_text().split()) <= finished + 2 * kills
    check(path)
    assert len(names_in(path / "values")) == 61


def test_two_processes_play_the_same_partition(path: Path) -> None:
    names = [f"v{i}" for i in range(40)]
    plan(path, RECORD, names, names)
    both = [player(path, number) for number in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    receipts = [read_receipt(path.parent / f"{number}.json") for number in range(2)]
    assert open_store(path).done().all()
    check(path)
    made = sum(receipt.instances_evaluated for receipt in receipts)
    assert made == len((path.parent / "log").read_text().split()) >= 40
    assert all(r.instances_evaluated + r.instances_reused == 40 for r in receipts)
    assert len(names_in(path / "values")) == 41


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
    with pytest.raises(InputError, match=r"trn\.json: no evaluation-receipt"):
        read_receipt(file)
    with pytest.raises(InputError, match="there is no receipt"):
        read_receipt(path.parent / "none.json")


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
