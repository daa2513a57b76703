"""Commands that inspect stores."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pipeline.store import GameRecord, plan
from pipeline.store.cli import app
from pipeline.store.planning import SET_ASIDE


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for game, identity in (("trn", 1), ("trn", 2), ("tsn", 1)):
        record = GameRecord(
            study="frames",
            game=game,
            n_players=2,
            player="a frame of the video",
            outputs=("cat [pet]", "dog"),
            value="probability",
            specification={"frames": [1, 2], "score": "[bold]softmax"},
            weights_sha256="abcdef0123" * 6,
            evaluator_version=identity,
            versions={"torch": "2.11", "zarr": "3.1.6"},
        )
        store = plan(tmp_path / "frames" / f"{game}.zarr", record, ["a", "b"], ["1", "2"])
        store.write("b", np.ones((4, 2)))
    return tmp_path


def call(*arguments: str | Path, width: int = 80) -> Result:
    environment = {"COLUMNS": str(width), "TERM": "dumb"}
    return CliRunner().invoke(app, [str(a) for a in arguments], env=environment)


@pytest.mark.parametrize("width", [80, 160])
def test_list(root: Path, width: int) -> None:
    result = call("list", root, width=width)
    assert result.exit_code == 0
    assert "frames/trn " in result.output and "frames/tsn " in result.output
    assert result.output.count("1/2") == 3
    assert "set-aside" in result.output
    assert ("torch 2.11" in result.output) == (width == 160)
    assert ("abcdef01 " in result.output) == (width == 160)
    assert max(map(len, result.output.splitlines())) <= width


def test_names_in_a_list_are_not_broken(root: Path) -> None:
    for aside in list(root.rglob(SET_ASIDE)):
        shutil.rmtree(aside)
    name = "a_name_of_thirty_characters_ab"
    (root / "frames" / "tsn.zarr").rename(root / "frames" / f"{name}.zarr")
    assert f"frames/{name} " in call("list", root).output


def test_list_as_json(root: Path) -> None:
    summaries = json.loads(call("list", root, "--json").output)
    assert len(summaries) == 3
    trn = next(s for s in summaries if s["path"].endswith("frames/trn.zarr"))
    assert (trn["study"], trn["game"], trn["n_players"]) == ("frames", "trn", 2)
    assert (trn["instances"], trn["instances_done"], trn["coalitions"]) == (2, 1, 4)
    assert trn["outputs"] == ["cat [pet]", "dog"]
    files = [p for p in (root / "frames" / "trn.zarr").rglob("*") if p.is_file()]
    assert trn["bytes"] == sum(p.stat().st_size for p in files)
    assert sum(s["set_aside"] for s in summaries) == 1


def test_list_names_what_it_cannot_read(root: Path) -> None:
    os.truncate(root / "frames" / "tsn.zarr" / "zarr.json", 10)
    result = call("list", root)
    assert result.exit_code == 1
    assert "unreadable" in result.output and "tsn.zarr: damaged" in result.output
    assert "frames/trn " in result.output and result.output.count("1/2") == 2
    result = call("list", root, "--json")
    assert result.exit_code == 1
    assert sum("error" in s for s in json.loads(result.output)) == 1


def test_list_of_nothing(tmp_path: Path) -> None:
    assert "no stores" in call("list", tmp_path).output
    assert json.loads(call("list", tmp_path, "--json").output) == []
    result = call("list", tmp_path / "none")
    assert result.exit_code == 1 and "no such directory" in result.output


def test_show(root: Path) -> None:
    by_path = call("show", root / "frames" / "trn.zarr")
    by_name = call("show", "frames/trn", "--root", root)
    assert by_path.exit_code == 0 and by_path.output == by_name.output
    for text in ("a frame of the video", "cat [pet], dog", "[bold]softmax", "1 done of 2"):
        assert text in by_path.output
    summary = json.loads(call("show", "frames/trn", "--root", root, "--json").output)
    assert summary["specification"] == {"frames": [1, 2], "score": "[bold]softmax"}
    assert summary["versions"] == {"torch": "2.11", "zarr": "3.1.6"}


def test_show_of_what_is_not_there(root: Path) -> None:
    result = call("show", "frames/tnr", "--root", root)
    assert result.exit_code == 1
    assert "frames/tnr: no store there" in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def spoil(store: Path) -> None:
    shard = store / "values" / "c.1.0.0"
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.unlink()  # another store may have the same file
    shard.write_bytes(content)


def forced(game: str) -> str:
    return f"`snakemake --cores all --forcerun results/frames/receipts/{game}.json`"


def test_verify_of_all_stores(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    result = call("verify", "--root", root)
    assert result.exit_code == 0 and result.output.count("1 of 2 instances done, sound") == 3
    assert "to mend" not in result.output
    empty = tmp_path_factory.mktemp("empty")
    result = call("verify", "--root", empty)
    assert result.exit_code == 0 and "no stores" in result.output
    result = call("verify", "--root", empty / "none")
    assert result.exit_code == 1 and "no such directory" in result.output


def test_verify_says_how_to_mend(root: Path) -> None:
    for game in ("trn", "tsn"):
        spoil(root / "frames" / f"{game}.zarr")
    result = call("verify", "--root", root)
    assert result.exit_code == 1
    for line, game in zip(result.output.splitlines()[-2:], ("trn", "tsn"), strict=True):
        assert forced(game) in line and result.output.count(forced(game)) == 1
    assert result.output.endswith("which evaluates again only what is damaged\n")


def test_verify_says_how_to_mend_what_a_run_does_not(root: Path) -> None:
    (root / "frames" / "trn.zarr" / "mine.txt").touch()
    result = call("verify", "frames/trn", "--root", root)
    assert result.exit_code == 1
    assert "to mend: remove from" in result.output.splitlines()[-1]
    assert "evaluates again only what is damaged" not in result.output
    (aside,) = (root / "frames" / "set-aside").glob("*.zarr")
    (aside / "zarr.json").write_text("{")
    result = call("verify", aside)
    assert f"to mend: remove {aside}" in result.output.splitlines()[-1]
    result = call("verify", "frames/tnr", "--root", root)
    assert result.exit_code == 1 and "to mend" not in result.output


def test_verify(root: Path) -> None:
    result = call("verify", "frames/trn", root / "frames" / "tsn.zarr", "--root", root)
    assert result.exit_code == 0 and result.output.count("1 of 2 instances done, sound") == 2
    assert "to mend" not in result.output
    spoil(root / "frames" / "trn.zarr")
    result = call("verify", "frames/trn", "frames/tsn", "--root", root)
    assert result.exit_code == 1
    assert "instance b: " in result.output and "1 damaged" in result.output
    assert "tsn.zarr: 1 of 2 instances done, sound" in result.output


def test_verify_of_damaged_metadata(root: Path) -> None:
    (root / "frames" / "trn.zarr" / "zarr.json").write_text("{")
    result = call("verify", root / "frames" / "trn.zarr")
    assert result.exit_code == 1 and "damaged: " in result.output
    assert forced("trn") in result.output.splitlines()[-1]
