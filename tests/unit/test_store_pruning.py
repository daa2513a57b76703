"""What ``store prune`` removes, and what it must keep."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from players import RECORD, ended, evaluated, player, start, take_part, value_of, wait_until
from typer.testing import CliRunner, Result

from pipeline.store import CoalitionStore, open_store, plan, verify
from pipeline.store.cli import app
from pipeline.store.evaluation import Receipt, play, write_receipt
from pipeline.store.locking import locked
from pipeline.store.pruning import find_receipts, prune, survey

OTHER = replace(RECORD, weights_sha256="cd" * 32)
TSN = replace(RECORD, game="tsn")
NAMES = ["v0", "v1", "v2"]
ROOT = Path("results/coalitions")
STORE = ROOT / "frames" / "trn.zarr"
SECOND = ROOT / "frames" / "tsn.zarr"
ASIDE = ROOT / "frames" / "set-aside"
RECEIPT = Path("results/frames/receipts/trn.json")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(path: Path, record=RECORD, names=NAMES) -> tuple[CoalitionStore, Receipt]:
    """A store with all values, and the receipt for it."""
    store = plan(path, record, names, names)

    def tables(indices):
        return np.stack([value_of(store.instances[i]) for i in indices])

    return store, play(store, tables, batch_size=9)


def call(*arguments: str | Path, answer: str | None = None) -> Result:
    environment = {"COLUMNS": "200", "TERM": "dumb"}
    chosen = ["prune", *map(str, arguments)]
    return CliRunner().invoke(app, chosen, env=environment, input=answer)


def files(folder: Path = ROOT) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.lstat().st_ino for p in folder.rglob("*")}


def stores() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.zarr"))


def link_count(path: Path) -> int:
    return path.stat().st_nlink


def test_nothing_to_prune() -> None:
    _, receipt = made(STORE)
    write_receipt(receipt, RECEIPT)
    before = files()
    for arguments in ((), ("--yes",)):
        result = call(*arguments)
        assert result.exit_code == 0 and "nothing to prune" in result.output
        assert "dvc gc" not in result.output
    assert files() == before


def test_stores_without_a_receipt_are_removed_after_asking() -> None:
    _, receipt = made(STORE)
    write_receipt(receipt, RECEIPT)
    made(SECOND, TSN)
    before = files()
    for answer in ("n\n", "", "\n"):
        result = call(answer=answer)
        assert result.exit_code == 1 and files() == before
    for text in ("frames/tsn.zarr", "no receipt names it", TSN.identity[:8], "3/3", "1 to remove"):
        assert text in result.output
    assert "frames/trn.zarr" not in result.output
    result = call(answer="y\n")
    assert result.exit_code == 0 and "removed 1 of 1" in result.output
    assert stores() == ["frames/trn.zarr"]
    assert sorted(p.name for p in STORE.parent.iterdir()) == [".trn.zarr.claims", "trn.zarr"]
    assert verify(open_store(STORE)) == [] and open_store(STORE).done().all()


def test_another_identity_at_the_same_path_is_not_the_receipts() -> None:
    _, receipt = made(STORE)
    write_receipt(receipt, RECEIPT)
    made(STORE, OTHER)
    # The named game was set aside; no receipt names the one in its place.
    result = call("--json")
    content = json.loads(result.output)
    assert [(e["identity"], e["removed"]) for e in content["unused"]] == [
        (OTHER.identity, False),
        (RECORD.identity, False),
    ]
    assert [e["reason"] for e in content["unused"]] == [
        "receipts name another game there",
        "set aside",
    ]
    made(STORE)
    assert json.loads(call("--json", "--yes").output)["unused"][0]["removed"]
    assert stores() == ["frames/trn.zarr"] and not ASIDE.exists()
    assert open_store(STORE).record == RECORD


def test_json_removes_with_yes_only() -> None:
    made(SECOND, TSN)
    before = files()
    content = json.loads(call("--json").output)
    assert files() == before
    (unused,) = content["unused"]
    assert unused["path"] == str(SECOND) and unused["instances_done"] == 3
    assert (unused["study"], unused["game"]) == ("frames", "tsn")
    on_disk = [p for p in SECOND.rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in on_disk)
    assert unused["bytes_freed"] == content["bytes_freed"] == size
    assert json.loads(call("--json", "--yes").output)["unused"][0]["removed"]
    assert stores() == []


def test_only_the_last_link_of_a_shard_frees_it() -> None:
    _, receipt = made(STORE)
    # The smaller plan shares its shards with the one set aside.
    _, receipt = made(STORE, names=["v1"])
    write_receipt(receipt, RECEIPT)
    (aside,) = ASIDE.iterdir()
    shared = STORE / "values" / "c.0.0.0"
    assert link_count(shared) == 2
    own = sum(p.stat().st_size for p in aside.rglob("*") if p.is_file())
    content = json.loads(call("--json").output)
    assert content["bytes_freed"] == own - shared.stat().st_size
    # Removing both frees their shared files once.
    RECEIPT.unlink()
    both = json.loads(call("--json").output)
    distinct = {p.stat().st_ino: p.stat().st_size for p in ROOT.rglob("*") if p.is_file()}
    assert len(both["unused"]) == 2
    assert both["bytes_freed"] == sum(distinct.values())
    assert call("--yes").exit_code == 0 and stores() == []


def test_receipts_at_any_depth_and_behind_links(folder: Path) -> None:
    _, first = made(STORE)
    _, second = made(SECOND, TSN)
    write_receipt(first, Path("results/frames/deep/receipts/trn.json"))
    elsewhere = folder / "elsewhere"
    write_receipt(replace(second, store=str(SECOND.resolve())), elsewhere / "receipts" / "tsn.json")
    Path("results/linked").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(elsewhere)
    Path("results/frames/deep/receipts/.tsn.partial.json").write_text("half")
    Path("results/frames/other.json").write_text("no receipt")
    assert len(find_receipts(Path("results"))) == 2
    assert "nothing to prune; 2 receipts" in call().output
    content = json.loads(call("--receipts", "results/linked", "--json").output)
    assert [e["path"] for e in content["unused"]] == [str(STORE)]


@pytest.mark.parametrize("content", ["{", "{}", "[1]", "number", "newer"])
def test_a_receipt_that_cannot_be_read_stops_all(content: str) -> None:
    _, receipt = made(STORE)
    write_receipt(receipt, RECEIPT)
    made(SECOND, TSN)
    bad = RECEIPT.with_name("bad.json")
    fields = json.loads(RECEIPT.read_text())
    changed = {"number": {"store": 5}, "newer": {"format_version": 99}}.get(content)
    bad.write_text(content if changed is None else json.dumps({**fields, **changed}))
    before = files()
    for arguments in (("--yes",), ("--json", "--yes"), ()):
        result = call(*arguments, answer="y\n")
        assert result.exit_code == 1 and files() == before
        assert "nothing is pruned" in result.output and str(bad) in result.output


def test_no_such_directories(folder: Path) -> None:
    result = call("--yes")
    assert result.exit_code == 1 and f"{ROOT}: there is no such directory" in result.output
    made(STORE)
    result = call("--yes", "--receipts", "none")
    assert result.exit_code == 1 and "none: there is no such directory of receipts" in result.output
    assert stores() == ["frames/trn.zarr"]


def test_without_receipts_it_says_so() -> None:
    made(STORE)
    result = call(answer="n\n")
    assert result.exit_code == 1
    assert "there are no receipts under results: every store counts as unused" in result.output
    assert call("--yes").exit_code == 0 and stores() == []


def test_receipts_of_stores_elsewhere_stop_all(folder: Path, monkeypatch) -> None:
    _, receipt = made(STORE)
    write_receipt(receipt, RECEIPT)
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    result = call("--root", folder / ROOT, "--receipts", folder / "results", "--yes")
    assert result.exit_code == 1 and "are relative to the working directory" in result.output
    assert (folder / STORE / "zarr.json").exists()
    (folder / ROOT / "more").mkdir()
    monkeypatch.chdir(folder)
    result = call("--root", folder / ROOT, "--yes")
    assert result.exit_code == 0 and "nothing to prune" in result.output


def test_leftovers_of_killed_processes_are_removed() -> None:
    _, receipt = made(STORE)
    write_receipt(receipt, RECEIPT)
    for leftover in (".trn.zarr.new", ".trn.zarr.trash", ".gone.zarr.trash"):
        shutil.copytree(STORE, STORE.parent / leftover)
    (STORE.parent / ".gone.zarr.claims").touch()
    keep = [STORE.parent / name for name in (".hidden", ".x.zarr.other", "notes.txt")]
    for path in keep:
        path.touch()
    result = call(answer="y\n")
    assert result.exit_code == 0 and "removed 4 of 4" in result.output
    assert sorted(p.name for p in STORE.parent.iterdir()) == sorted(
        [".trn.zarr.claims", "trn.zarr", *(path.name for path in keep)]
    )


@pytest.mark.parametrize("user", ["planner", "writer", "player"])
def test_what_is_in_use_is_left_alone(folder: Path, user: str) -> None:
    _, receipt = made(STORE)
    write_receipt(receipt, RECEIPT)
    plan(SECOND, TSN, NAMES, NAMES).write("v0", value_of("v0"))
    (SECOND.parent / ".tsn.zarr.new").mkdir()
    process = None
    if user == "player":
        process = player(folder / SECOND, batch_size=1, seconds=60)
        wait_until(lambda: len(evaluated(folder / SECOND)) == 1, "a claim")
    lock = {
        "planner": lambda: locked(SECOND.parent, exclusive=True),
        "writer": lambda: locked(SECOND, exclusive=False),
        "player": nullcontext,
    }[user]()
    with ended(*([] if process is None else [process])), lock:
        result = call("--yes")
        assert result.exit_code == 0
        assert f"left alone: {SECOND}: " in result.output
        assert open_store(SECOND).done()[0]
        # A plan's unfinished directory is removed only if no plan is running.
        assert (SECOND.parent / ".tsn.zarr.new").exists() == (user == "planner")
    assert call("--yes").exit_code == 0
    assert stores() == ["frames/trn.zarr"]


def test_a_store_counts_as_in_use_between_two_claims(folder: Path) -> None:
    made(SECOND, TSN)
    process = start(take_part, folder / SECOND)
    with ended(process):
        wait_until((SECOND.parent / "there").exists, "a player without claims")
        found = survey(ROOT, Path("results"))
        assert [each.reason for each in found.left_alone] == ["is being evaluated"]
    assert [each.path for each in survey(ROOT, Path("results")).unused] == [SECOND]


def test_what_changes_between_the_question_and_the_answer_stays() -> None:
    _, receipt = made(STORE)
    made(SECOND, TSN)
    third = ROOT / "frames" / "third.zarr"
    made(third, replace(RECORD, game="third"))
    (STORE.parent / ".fourth.zarr.claims").touch()
    fifth = ROOT / "frames" / "fifth.zarr"
    made(fifth, replace(RECORD, game="fifth"))
    found = survey(ROOT, Path("results"))
    assert len(found.unused) == 5
    write_receipt(receipt, RECEIPT)
    made(SECOND, TSN, names=[*NAMES, "v7"])
    made(fifth.with_name("fourth.zarr"), replace(RECORD, game="fourth"))
    with locked(third, exclusive=False):
        removed, left_alone = prune(found, Path("results"))
    assert [each.path for each in removed] == [fifth]
    assert {each.path.name: each.reason for each in left_alone} == {
        "trn.zarr": "a receipt names it now",
        "tsn.zarr": "was replaced or removed meanwhile",
        "third.zarr": "is being written into",
        ".fourth.zarr.claims": "its store is there now",
    }
    assert not fifth.exists()
    for path in (STORE, SECOND, third, fifth.with_name("fourth.zarr")):
        assert verify(open_store(path)) == [] and open_store(path).done().all()


def rewrite(path: Path, **attributes: object) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"].update(attributes)
    (path / "zarr.json").write_text(json.dumps(metadata))


def test_unreadable_stores_are_left_alone_unless_set_aside() -> None:
    made(STORE)
    (STORE / "zarr.json").write_text("{")
    made(SECOND, TSN)
    rewrite(SECOND, format_version=4)
    foreign = ROOT / "frames" / "foreign.zarr"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("mine")
    before = files()
    result = call("--yes")
    assert result.exit_code == 0 and "nothing to prune" in result.output
    assert result.output.count("left alone: ") == 3 and files() == before
    assert f"left alone: {STORE}: is damaged" in result.output
    assert f"left alone: {SECOND}: a coalition store of format version 4" in result.output
    for path in (STORE, SECOND, foreign):
        ASIDE.mkdir(exist_ok=True)
        path.rename(ASIDE / path.name)
    result = call("--yes")
    assert "removed 3 of 3" in result.output and result.output.count("left alone: ") == 2
    # Two are claims' files of stores that are gone.
    assert stores() == ["frames/set-aside/foreign.zarr", "frames/set-aside/tsn.zarr"]
    assert files(ASIDE / "tsn.zarr") == {
        name.removeprefix("frames/tsn.zarr/"): inode
        for name, inode in before.items()
        if name.startswith("frames/tsn.zarr/")
    }


def test_links_are_not_followed(folder: Path) -> None:
    elsewhere = folder / "disk"
    made(elsewhere / "trn.zarr")
    made(elsewhere / "study" / "tsn.zarr", TSN)
    made(SECOND, TSN)
    STORE.symlink_to(elsewhere / "trn.zarr")
    (ROOT / "study").symlink_to(elsewhere / "study")
    (ROOT / "frames" / ".x.zarr.trash").symlink_to(elsewhere / "study")
    (SECOND / "link").symlink_to(elsewhere)
    (SECOND / "values" / "c.7.0.0").symlink_to(elsewhere / "trn.zarr" / "values" / "c.0.0.0")
    before = files(elsewhere)
    result = call("--yes")
    assert result.exit_code == 0
    assert f"left alone: {STORE}: a link" in result.output
    assert files(elsewhere) == before and not SECOND.exists()
    assert STORE.is_symlink() and (ROOT / "frames" / ".x.zarr.trash").is_symlink()
    # A receipt names the store behind the link by either path.
    for path in (STORE, elsewhere / "trn.zarr"):
        _, receipt = made(STORE)
        write_receipt(replace(receipt, store=str(path)), RECEIPT)
        if path == STORE:
            # The link's target is outside the root, so some receipt must name a store under it.
            _, second = made(SECOND, TSN)
            write_receipt(second, RECEIPT.with_name("tsn.json"))
        assert f"left alone: {STORE}" not in call("--yes").output
    assert files(elsewhere) == before


class Killed(BaseException):
    """Imitates the end of the process."""


def test_a_killed_prune_leaves_no_store_half_there(monkeypatch: pytest.MonkeyPatch) -> None:
    _, receipt = made(STORE)
    write_receipt(receipt, RECEIPT)
    for at in range(1, 100, 2):
        made(SECOND, TSN, ["v0"])
        made(SECOND, replace(TSN, evaluator_version=2), ["v0"])
        (SECOND.parent / ".gone.zarr.claims").touch()
        calls = 0

        def dying(original: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                nonlocal calls
                calls += 1
                if calls == at:
                    raise Killed
                return original(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for name in ("rename", "unlink", "rmdir"):
                patch.setattr(os, name, dying(getattr(os, name)))
            with suppress(Killed):
                prune(survey(ROOT, Path("results")), Path("results"))
        for path in ROOT.rglob("*.zarr"):
            if not path.name.startswith("."):
                assert verify(open_store(path)) == [] and open_store(path).done().all()
        assert call("--yes").exit_code == 0
        # At most an empty folder may be left.
        names = sorted(p.name for p in STORE.parent.iterdir() if p != ASIDE)
        assert not ASIDE.exists() or not any(ASIDE.iterdir())
        assert names == [".trn.zarr.claims", "trn.zarr"]
        if calls < at:
            break
    assert 10 < at < 99
    assert open_store(STORE).done().all()


def test_copies_in_the_cache_of_dvc_are_mentioned() -> None:
    made(STORE)
    Path(".dvc").mkdir()
    assert call("--yes").output.splitlines()[-1].count("`dvc gc`") == 1
    assert "dvc" not in call("--json").output
