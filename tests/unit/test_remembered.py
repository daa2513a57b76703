"""Sampled coalitions are kept and reused by other requests, runs and processes."""

import json
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from players import ended, finished, start, wait_until

from pipeline.core.errors import InputError
from pipeline.store import CoalitionStore, GameRecord, UnusableValues, open_store, plan, verify
from pipeline.store import cli as store_commands
from pipeline.store.evaluation import read_receipt, write_receipt
from pipeline.store.pages import Remembered, RememberedGame, remembered
from pipeline.store.pruning import survey
from pipeline.store.stored_game import StoredGame

RECORD = GameRecord(
    study="frames",
    game="trn",
    n_players=6,
    player="a frame of the video",
    outputs=("cat", "dog"),
    value="probability",
    specification={"score": "softmax"},
    weights_sha256="ab" * 32,
    evaluator_version=1,
    versions={},
    n_coalitions=5,
)


def players_of(mask: object, n_players: int) -> list[int]:
    """Players of one coalition, by the definition of a mask."""
    if isinstance(mask, np.ndarray):
        return [i for i in range(n_players) if int(mask[i // 8]) & 1 << i % 8]
    return [i for i in range(n_players) if int(mask) & 1 << i]


def value_of(mask: object, name: str, record: GameRecord = RECORD) -> np.ndarray:
    """The value of one coalition, different for each coalition and input: (output,)."""
    seed = f"{players_of(mask, record.n_players)} {name} {record.weights_sha256}"
    rng = np.random.default_rng(random.Random(seed).getrandbits(64))
    return rng.normal(size=len(record.outputs))


def oracle(masks: np.ndarray, name: str, record: GameRecord = RECORD) -> np.ndarray:
    """Direct evaluation: (coalition, output) float32."""
    values = [value_of(mask, name, record) for mask in masks]
    return np.array(values).reshape(-1, len(record.outputs)).astype(np.float32)


class Evaluator:
    """Evaluates games, and records each requested coalition."""

    def __init__(self, record: GameRecord = RECORD) -> None:
        self.record = record
        self.asked: Counter[tuple[str, tuple[int, ...]]] = Counter()

    def __call__(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        def evaluate(masks: np.ndarray) -> np.ndarray:
            for mask in masks:
                self.asked[name, tuple(players_of(mask, self.record.n_players))] += 1
            return np.array([value_of(mask, name, self.record) for mask in masks])

        return evaluate

    @property
    def count(self) -> int:
        return self.asked.total()


def masks(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def draw(rng: np.random.Generator, n_players: int, size: int) -> np.ndarray:
    """Random masks, some of them repeated."""
    members = rng.random((size, n_players)) < rng.random((size, 1))
    if size > 2:
        members[-1] = members[0]
    if n_players > 64:
        return np.packbits(members, axis=1, bitorder="little")
    return np.array([sum(1 << int(i) for i in np.flatnonzero(row)) for row in members], np.uint64)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames" / "sampled.zarr"


def ask(
    path: Path, wanted: np.ndarray, evaluator: Evaluator, name: str = "a", digest: str | None = None
) -> RememberedGame:
    """One run that requests coalitions of one instance; checks their values."""
    with remembered(path, evaluator.record) as memory:
        content = digest or name
        game = memory.game(name, content, evaluator(content))
        np.testing.assert_array_equal(game(wanted), oracle(wanted, content, evaluator.record))
    return game


@pytest.mark.parametrize(
    ("n_players", "rows"), [(1, 1), (3, 4), (63, 7), (64, 16), (65, 9), (72, 300)]
)
def test_random_requests_agree_with_direct_evaluation(
    path: Path, n_players: int, rows: int
) -> None:
    record = replace(RECORD, n_players=n_players, n_coalitions=rows)
    rng = np.random.default_rng(n_players)
    evaluator = Evaluator(record)
    names = ["a", "a#0", "b/ü", "#"]
    ever: set[tuple[str, tuple[int, ...]]] = set()
    for _ in range(3):
        before = set(ever)
        run: set[tuple[str, tuple[int, ...]]] = set()
        with remembered(path, record) as memory:
            assert (memory.receipt(0).evaluations_made, memory.receipt(0).instances) == (0, 0)
            for _ in range(5):
                name = names[rng.integers(len(names))]
                game = memory.game(name, name, evaluator(name))
                assert (game.n_players, game.outputs) == (n_players, record.outputs)
                for size in rng.integers(0, 12, 2):
                    wanted = draw(rng, n_players, int(size))
                    values = game(wanted)
                    assert values.dtype == np.float32
                    np.testing.assert_array_equal(values, oracle(wanted, name, record))
                    run |= {(name, tuple(players_of(mask, n_players))) for mask in wanted}
                if rng.random() < 0.2:
                    memory.keep()
            receipt = memory.receipt(1.5, "cpu")
        ever |= run
        assert (receipt.evaluations_made, receipt.evaluations_reused) == (
            len(run - before),
            len(run & before),
        )
        assert receipt.instances_evaluated == len({name for name, _ in run - before})
        assert receipt.instances_evaluated + receipt.instances_reused == receipt.instances
    # Each coalition was evaluated once in all.
    assert evaluator.asked == Counter(ever)
    assert verify(open_store(path)) == []


def test_counts_are_of_different_coalitions(path: Path) -> None:
    evaluator = Evaluator()
    game = ask(path, masks(1, 2, 2, 1, 3), evaluator)
    assert (game.made, game.reused) == (3, 0)
    with remembered(path, RECORD) as memory:
        game = memory.game("a", "a", evaluator("a"))
        game(masks(3, 3, 4))
        game(masks(4, 3, 1))
        assert (game.made, game.reused) == (1, 2)
        memory.keep()
        # Read again from the disk: coalitions already counted are skipped.
        del game
        game = memory.game("a", "a", evaluator("a"))
        game(masks(4, 3, 2))
        assert (game.made, game.reused) == (1, 3)
        receipt = memory.receipt(0.12345, "a GPU", (1, 3))
    assert evaluator.count == 4
    assert (receipt.instances, receipt.instances_evaluated, receipt.instances_reused) == (1, 1, 0)
    assert (receipt.evaluations_made, receipt.evaluations_reused) == (1, 3)
    assert (receipt.study, receipt.game, receipt.identity) == ("frames", "trn", RECORD.identity)
    assert (receipt.store, receipt.partition) == (str(path), (1, 3))
    assert (receipt.seconds, receipt.device) == (0.123, "a GPU")
    write_receipt(receipt, path.parent / "receipt.json")
    assert read_receipt(path.parent / "receipt.json") == receipt


def test_two_games_of_one_instance_share_their_values(path: Path) -> None:
    evaluator = Evaluator()
    with remembered(path, RECORD) as memory:
        first, second = (memory.game("a", "a", evaluator("a")) for _ in range(2))
        first(masks(1, 2))
        second(masks(2, 3))
        assert (first.made, second.made, evaluator.count) == (3, 3, 3)


def test_what_is_not_kept_yet_is_not_evaluated_again(path: Path) -> None:
    evaluator = Evaluator()
    with remembered(path, RECORD) as memory:
        memory.game("a", "a", evaluator("a"))(masks(1, 2))
        assert memory.game("a", "a", evaluator("a"))(masks(2, 1)).shape == (2, 2)
    assert evaluator.count == 2


def test_a_page_that_is_not_full_repeats_its_last_coalition(path: Path) -> None:
    ask(path, masks(9, 3, 7, 1, 0, 20, 30), Evaluator())
    store = open_store(path)
    assert store.done().all() and len(store) == 2
    found = [store.masks(i).tolist() for i in range(2)]
    assert found == [[0, 1, 3, 7, 9], [20, 30, 30, 30, 30]]
    for i in range(2):
        np.testing.assert_array_equal(store.read(i), oracle(store.masks(i), "a"))
    assert all(name.startswith("a#") for name in store.instances)
    assert store.input_sha256 == ("a", "a")


def test_other_programs_read_it(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = masks(1, 2, 3, 4, 5, 6)
    ask(path, wanted, Evaluator())
    ask(path, wanted, Evaluator(), "b")
    group = zarr.open_group(path, mode="r")
    assert group["values"].shape == (4, 5, 2)
    for name, row, coalitions in zip(
        group["instance"][:], group["values"][:], group["masks"][:], strict=True
    ):
        np.testing.assert_array_equal(row, oracle(coalitions, name.partition("#")[0]))
    store_commands.verify_stores([str(path)])
    assert "4 of 4 instances done, sound" in capsys.readouterr().out
    store_commands.show(str(path), as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["sampled"] and shown["coalitions"] == 5
    game = StoredGame(open_store(path), 0)
    np.testing.assert_array_equal(game(masks(2, 1)), oracle(masks(2, 1), "a"))


def test_another_digest_is_evaluated_and_the_former_stays(path: Path) -> None:
    evaluator = Evaluator()
    wanted = masks(1, 2, 3)
    assert ask(path, wanted, evaluator, digest="old").made == 3
    assert ask(path, wanted, evaluator, digest="new").made == 3
    assert ask(path, wanted, evaluator, digest="old").made == 0
    with remembered(path, RECORD) as memory:
        new = memory.game("a", "new", evaluator("new"))(wanted)
        old = memory.game("a", "old", evaluator("old"))(wanted)
        assert memory.receipt(0).instances == 1
    np.testing.assert_array_equal(new, oracle(wanted, "new"))
    np.testing.assert_array_equal(old, oracle(wanted, "old"))
    assert evaluator.count == 6


def test_another_game_sets_the_store_aside_and_takes_it_back(path: Path) -> None:
    first, second = Evaluator(), Evaluator(replace(RECORD, weights_sha256="cd"))
    wanted = masks(1, 2, 3)
    ask(path, wanted, first)
    assert ask(path, wanted, second).made == 3
    assert open_store(path).record.identity == second.record.identity
    # Reading alone moves nothing.
    assert ask(path, wanted, first).reused == 3
    assert open_store(path).record.identity == second.record.identity
    game = ask(path, masks(3, 4), first)
    assert (game.made, game.reused) == (1, 1)
    assert open_store(path).done().tolist() == [True, True]
    assert ask(path, wanted, second).made == 0
    assert first.count == 4 and second.count == 3


def test_pages_that_another_plan_left_out_are_found(path: Path) -> None:
    evaluator = Evaluator()
    ask(path, masks(1, 2), evaluator, "a")
    ask(path, masks(1, 2), evaluator, "b")
    store = open_store(path)
    plan(path, RECORD, store.instances[:1], ["a"], masks=store.masks(0)[None])
    assert ask(path, masks(1, 2), evaluator, "b").made == 0
    ask(path, masks(3), evaluator, "a")
    assert evaluator.count == 5 and len(open_store(path)) == 3
    assert names_in(path.parent) == [".sampled.zarr.claims", "sampled.zarr"]


@pytest.mark.parametrize("array", ["values", "masks"])
@pytest.mark.parametrize("same", [True, False])
def test_damage_is_reported_and_evaluated_again(
    path: Path, array: str, same: bool, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = Evaluator()
    wanted = masks(*range(1, 13))
    ask(path, wanted, evaluator)
    ask(path, wanted, evaluator, "b")
    store = open_store(path)
    shard = store.shard(1, "values" if array == "values" else "masks")
    content = bytearray(shard.read_bytes())
    content[10] ^= 4
    shard.write_bytes(content)
    lost = masks(6, 7, 8, 9, 10)
    assert verify(store)
    with caplog.at_level(logging.WARNING), remembered(path, RECORD) as memory:
        game = memory.game("a", "a", evaluator("a"))
        assert f"damaged {array} of instance '{store.instances[1]}'" in caplog.text
        again = lost if same else lost[:2]
        np.testing.assert_array_equal(game(again), oracle(again, "a"))
        memory.game("b", "b", evaluator("b"))(wanted)
        receipt = memory.receipt(0)
    assert (receipt.evaluations_made, receipt.evaluations_reused) == (len(again), len(wanted))
    assert receipt.instances_damaged == ("a",)
    assert verify(open_store(path)) == []
    game = ask(path, wanted, evaluator)
    assert game.made == len(lost) - len(again)
    assert evaluator.count == 2 * len(wanted) + len(lost)


def test_damaged_lists_begin_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    evaluator = Evaluator()
    ask(path, masks(1, 2), evaluator)
    os.truncate(path / "zarr.json", 50)
    assert ask(path, masks(1, 2), evaluator).made == 2
    assert "damaged coalition store" in caplog.text
    assert ask(path, masks(1, 2), evaluator).made == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused_and_the_others_kept(path: Path, bad: float) -> None:
    def evaluate(wanted: np.ndarray) -> np.ndarray:
        values = oracle(wanted, "a").astype(np.float64)
        values[wanted == 7, 1] = bad
        return values

    with (
        pytest.raises(UnusableValues, match=r"instance 'a': .* 0x7, output 'dog' is"),
        remembered(path, RECORD) as memory,
    ):
        memory.game("a", "a", evaluate)(masks(5, 7, 9))
    assert set(open_store(path).masks(0).tolist()) == {5, 9}
    game = ask(path, masks(5, 7, 9), Evaluator())
    assert (game.made, game.reused) == (1, 2)


def test_unusable_values_are_never_written(path: Path) -> None:
    for values, match in ((np.full((2, 2), np.nan), "0x1"), (np.zeros((2, 3)), r"shape \(2, 3\)")):
        with pytest.raises(UnusableValues, match=match), remembered(path, RECORD) as memory:
            memory.game("a", "a", lambda wanted, values=values: values)(masks(1, 2))
    assert not path.exists()


def test_what_was_evaluated_before_an_exception_is_kept(path: Path) -> None:
    evaluator = Evaluator()
    with pytest.raises(KeyboardInterrupt), remembered(path, RECORD) as memory:
        memory.game("a", "a", evaluator("a"))(masks(1, 2))
        raise KeyboardInterrupt
    assert ask(path, masks(1, 2), evaluator).made == 0


def test_the_error_that_ended_a_run_is_the_one_that_is_raised(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(self: Remembered) -> None:
        raise InputError("the disk is full")

    monkeypatch.setattr(Remembered, "keep", failing)
    with pytest.raises(ZeroDivisionError), remembered(path, RECORD):
        raise ZeroDivisionError
    assert "could not be stored: the disk is full" in caplog.text


def test_evaluations_are_kept_meanwhile(path: Path) -> None:
    evaluator = Evaluator()
    with remembered(path, RECORD, keep_every=0) as memory:
        memory.game("a", "a", evaluator("a"))(masks(1, 2))
        assert open_store(path).done().tolist() == [True]
        # Not again at once, because storing has just taken time.
        memory.game("a", "a", evaluator("a"))(masks(3))
        assert len(open_store(path)) == 1
    with remembered(path, RECORD, keep_every=1000) as memory:
        memory.game("a", "a", evaluator("a"))(masks(4))
        assert len(open_store(path)) == 2
    assert len(open_store(path)) == 3 and evaluator.count == 4


def test_after_the_end_stored_values_are_given_and_no_others_made(path: Path) -> None:
    evaluator = Evaluator()
    game = ask(path, masks(1, 2), evaluator)
    np.testing.assert_array_equal(game(masks(2)), oracle(masks(2), "a"))
    with pytest.raises(InputError, match="the store is closed"):
        game(masks(3))


def test_a_kill_between_plan_and_writes_loses_only_the_values_being_stored(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = Evaluator()
    ask(path, masks(1, 2), evaluator)

    class Killed(BaseException):
        pass

    def killed(self: CoalitionStore, *arguments: object) -> None:
        raise Killed

    with (
        monkeypatch.context() as patch,
        pytest.raises(Killed),
        remembered(path, RECORD) as memory,
    ):
        patch.setattr(CoalitionStore, "write", killed)
        memory.game("a", "a", evaluator("a"))(masks(1, 5))
        memory.game("b", "b", evaluator("b"))(masks(1, 5))
    assert open_store(path).done().tolist() == [True, False, False]
    game = ask(path, masks(1, 2, 5), evaluator)
    assert (game.made, game.reused) == (1, 2)
    store = open_store(path)
    assert store.done().all() and len(store) == 2


@pytest.mark.parametrize(
    ("n_players", "wanted", "match"),
    [
        (6, masks(3, 64), "0x40 holds players beyond the 6"),
        (6, np.array([-1]), "beyond the 6"),
        (6, np.array([0.5]), "a row of integers"),
        (6, masks(1)[None], "a row of integers"),
        (66, masks(1), r"\(m, 9\), uint8"),
        (66, np.array([[0] * 8 + [4]], np.uint8), "00 04 holds players beyond the 66"),
    ],
)
def test_what_is_no_coalition_is_refused(
    path: Path, n_players: int, wanted: np.ndarray, match: str
) -> None:
    record = replace(RECORD, n_players=n_players)
    with remembered(path, record) as memory:
        game = memory.game("a", "a", Evaluator(record)("a"))
        with pytest.raises(InputError, match=f"instance 'a': .*{match}"):
            game(wanted)
        with pytest.raises(InputError, match="neither may be empty"):
            memory.game("", "a", Evaluator(record)("a"))
    assert not path.exists()


def test_what_is_no_store_of_pages_is_refused_and_left_alone(path: Path) -> None:
    with (
        pytest.raises(InputError, match="of an enumerated game"),
        remembered(path, replace(RECORD, n_coalitions=None)),
    ):
        pass
    chosen = np.arange(5, dtype=np.uint64)[None]
    plan(path, RECORD, ["a"], ["a"], masks=chosen).write(0, oracle(chosen[0], "a"))
    with pytest.raises(InputError, match="lists 'a', not pages"), remembered(path, RECORD):
        pass
    assert open_store(path).done().all()
    other = path.parent / "other.zarr"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="no zarr group"), remembered(other, RECORD):
        pass
    assert (other / "mine.txt").read_text() == "mine"


def test_a_store_in_use_is_not_removed_as_unused(path: Path) -> None:
    def reasons() -> list[str]:
        # Record locks do not exclude their own process, and end when it closes the file.
        return [each.reason for each in survey(path.parent, path.parent).left_alone]

    ask(path, masks(1), Evaluator())
    other = start(hold_open, path)
    with ended(other):
        wait_until((path.parent / "there").exists, "the store is open")
        assert reasons() == ["is being evaluated"]
    assert reasons() == []


def hold_open(path: Path) -> None:
    with remembered(path, RECORD):
        (path.parent / "there").touch()
        time.sleep(60)


def keep_often(path: Path, name: str, times: int) -> None:
    """The work of a process that adds pages, to its own instances and to common ones."""
    os.fsync = lambda descriptor: None
    with remembered(path, RECORD) as memory:
        evaluator = Evaluator()
        for mask in range(times):
            for instance in (name, "common"):
                memory.game(instance, instance, evaluator(instance))(masks(mask))
            memory.keep()
        write_receipt(memory.receipt(0), path.parent / f"{name}.json")


def test_processes_that_keep_at_once_lose_no_page(path: Path) -> None:
    path.parent.mkdir()
    times = 3
    names = ["x", "y", "z"]
    started = [start(keep_often, path, name, times) for name in names]
    with ended(*started):
        assert finished(*started) == [0, 0, 0]
    store = open_store(path)
    assert store.done().all() and verify(store) == []
    for name in [*names, "common"]:
        evaluator = Evaluator()
        assert ask(path, masks(*range(times)), evaluator, name).made == 0
    # Each process found what others had kept, unless both evaluated it at the same moment.
    receipts = [read_receipt(path.parent / f"{name}.json") for name in names]
    assert all(r.evaluations_made + r.evaluations_reused == 2 * times for r in receipts)
    assert names_in(path.parent) == [".sampled.zarr.claims", "sampled.zarr"] + [
        f"{name}.json" for name in names
    ]


def test_what_another_process_keeps_meanwhile_is_found(path: Path) -> None:
    evaluator = Evaluator()
    with remembered(path, RECORD) as memory:
        memory.game("a", "a", evaluator("a"))(masks(1))
        other = start(keep_often, path, "x", 2)
        with ended(other):
            assert finished(other) == [0]
        game = memory.game("x", "x", evaluator("x"))
        np.testing.assert_array_equal(game(masks(0, 1)), oracle(masks(0, 1), "x"))
        assert (game.made, game.reused) == (0, 2)
    assert ask(path, masks(1), evaluator).made == 0 and evaluator.count == 1


def keep_and_wait(path: Path) -> None:
    """The work of a process that keeps values, evaluates more, and never ends."""
    with remembered(path, RECORD) as memory:
        game = memory.game("a", "a", Evaluator()("a"))
        game(masks(1, 2))
        memory.keep()
        game(masks(3))
        (path.parent / "there").touch()
        time.sleep(60)


def test_a_kill_loses_only_values_that_were_not_kept(path: Path) -> None:
    path.parent.mkdir()
    process = start(keep_and_wait, path)
    with ended(process):
        wait_until((path.parent / "there").exists, "it has kept")
        process.kill()
    evaluator = Evaluator()
    game = ask(path, masks(1, 2, 3), evaluator)
    assert (game.made, game.reused) == (1, 2)
    assert list(evaluator.asked) == [("a", (0, 1))]


@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_processes_killed_at_any_time_lose_no_kept_values_and_block_no_other(
    path: Path, delay: float
) -> None:
    evaluator = Evaluator()
    ask(path, masks(*range(20, 40)), evaluator)
    process = start(keep_often, path, "x", 1000)
    with ended(process):
        wait_until(lambda: len(list(path.glob("values/c.*"))) > 5, "it keeps")
        time.sleep(delay)
    game = ask(path, masks(*range(20, 40)), evaluator)
    assert (game.made, game.reused) == (0, 20)
    ask(path, masks(1), evaluator, "y")
    assert verify(open_store(path)) == []
    assert ask(path, masks(1), evaluator, "y").made == 0
