"""The store on disk: its format, the values that a plan keeps, and the damage that is found."""

import errno
import json
import os
import random
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from pipeline.core.errors import InputError
from pipeline.store import (
    CoalitionStore,
    DamagedShard,
    DamagedStore,
    GameRecord,
    MissingInstance,
    UnusableValues,
    open_store,
    plan,
    verify,
)
from pipeline.store.planning import SET_ASIDE

RECORD = GameRecord(
    study="frames",
    game="trn",
    n_players=4,
    player="a frame of the video",
    outputs=("cat", "dog", "cow"),
    value="probability; the empty coalition gets the class frequencies",
    specification={"score": "softmax", "n_max": 8},
    weights_sha256="ab" * 32,
    evaluator_version=1,
    versions={"torch": "2.11"},
)


def table(instance: str, digest: str, shape: tuple[int, int] = (16, 3)) -> np.ndarray:
    """Values that identify their instance and digest."""
    seed = random.Random(f"{instance} {digest}").getrandbits(32)
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def fill(store: CoalitionStore, only: set[int] | None = None) -> int:
    """Write missing values; return the number of instances written."""
    missing = [i for i, done in enumerate(store.done()) if not done and (only is None or i in only)]
    for i in missing:
        store.write(i, table(store.instances[i], store.input_sha256[i]))
    return len(missing)


def check(store: CoalitionStore) -> None:
    """Check that values read are those written for that instance and digest."""
    for i in np.flatnonzero(store.done()):
        expected = table(store.instances[i], store.input_sha256[i])
        np.testing.assert_array_equal(store.read(int(i)), expected)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames" / "trn.zarr"


@pytest.mark.usefixtures("per_shard")
def test_what_is_written_is_read(path: Path) -> None:
    store = plan(path, RECORD, ["a", "b", "c"], ["1", "2", "3"])
    assert not store.done().any()
    store.write("b", table("b", "2"))
    assert store.done().tolist() == [False, True, False]
    assert store.is_done(1) and not store.is_done("a")
    again = open_store(path)
    np.testing.assert_array_equal(again.read("b"), table("b", "2"))
    np.testing.assert_array_equal(again.read(1), table("b", "2"))
    assert again.record == RECORD
    with pytest.raises(MissingInstance, match="'a' has not been evaluated; 1 of 3"):
        again.read("a")
    with pytest.raises(MissingInstance, match="no instance 'z'"):
        again.read("z")
    with pytest.raises(MissingInstance):
        again.read(-1)
    with pytest.raises(InputError, match="reading only"):
        again.write("a", table("a", "1"))
    fill(store)
    np.testing.assert_array_equal(
        store.read_many(["c", "a"]), np.stack([table("c", "3"), table("a", "1")])
    )
    assert store.read_many([0, 1, 2]).shape == (3, 16, 3)
    assert store.read_many([]).shape == (0, 16, 3)
    assert verify(store) == []
    store.erase("c")
    assert store.done().tolist() == [True, True, False]
    with pytest.raises(MissingInstance, match="'c'"):
        store.read_many(["a", "c"])


@pytest.mark.usefixtures("per_shard")
def test_what_killed_writes_left_is_not_set_aside(path: Path) -> None:
    fill(plan(path, RECORD, ["a"], ["1"]))
    (path / "values" / "c.0.0.12.partial").write_bytes(b"debris")
    plan(path, replace(RECORD, weights_sha256="other"), ["a"], ["1"])
    (aside,) = (path.parent / SET_ASIDE).iterdir()
    names = [entry.name for entry in (aside / "values").iterdir()]
    assert "c.0.0.0" in names and not any(name.endswith(".partial") for name in names)


def test_a_store_of_the_first_version_is_read(path: Path) -> None:
    fill(plan(path, RECORD, ["a"], ["1"]))
    content = json.loads((path / "zarr.json").read_text())
    content["attributes"] = {**RECORD.described(), "format_version": 1}
    assert content["attributes"]["n_coalitions"] is None
    (path / "zarr.json").write_text(json.dumps(content))
    assert open_store(path).record == RECORD


def test_plain_zarr_and_xarray_read_it(path: Path) -> None:
    classes = [[0, 2, 1], [1, 1, 0]]
    store = plan(path, RECORD, ["a", "b"], ["1", "2"], output_classes=classes)
    fill(store)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xarray.open_zarr(path)
        group = zarr.open_group(path, mode="r")
        np.testing.assert_array_equal(group["values"][1], table("b", "2"))
        np.testing.assert_array_equal(
            dataset["values"].sel(instance="b", output="dog").values, table("b", "2")[:, 1]
        )
    assert dataset["values"].dims == ("instance", "coalition", "output")
    assert dataset["values"].dtype == np.float32
    assert dataset["output_class"].values.tolist() == classes
    assert dataset.attrs["study"] == "frames" and dataset.attrs["n_players"] == 4
    dataset.to_netcdf(path.parent / "store.nc", engine="h5netcdf")
    with xarray.open_dataset(path.parent / "store.nc", engine="h5netcdf") as copied:
        np.testing.assert_array_equal(copied["values"], dataset["values"])
        assert json.loads(copied.attrs["specification"]) == RECORD.specification
        assert copied.attrs["identity"] == RECORD.identity
    assert group["instance"][:].tolist() == ["a", "b"]
    metadata = json.loads((path / "values" / "zarr.json").read_text())
    assert metadata["zarr_format"] == 3
    assert metadata["dimension_names"] == ["instance", "coalition", "output"]
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [1, 16, 3]
    (sharding,) = metadata["codecs"]
    assert [c["name"] for c in sharding["configuration"]["codecs"]] == ["bytes", "zstd", "crc32c"]
    assert [c["name"] for c in sharding["configuration"]["index_codecs"]] == ["bytes", "crc32c"]


@pytest.mark.usefixtures("per_shard")
def test_a_url_is_read(path: Path) -> None:
    fill(plan(path, RECORD, ["a", "b"], ["1", "2"]), {1})
    store = open_store(f"file://{path}")
    assert store.done().tolist() == [False, True]
    np.testing.assert_array_equal(store.read("b"), table("b", "2"))
    with pytest.raises(MissingInstance):
        store.read("a")
    with pytest.raises(InputError, match="read only"):
        open_store(f"file://{path}", "r+")


def test_chunks_are_a_mebibyte_at_most(path: Path) -> None:
    record = replace(RECORD, n_players=13, outputs=tuple(map(str, range(174))))
    store = plan(path, record, ["a"], ["1"])
    assert store._values.chunks == (1, 1024, 174)
    assert store._values.shards == (1, 8192, 174)
    values = table("a", "1", store.shape)
    store.write("a", values)
    np.testing.assert_array_equal(store.read("a"), values)
    assert names_in(path / "values") == ["c.0.0.0", "zarr.json"]


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("n_players", [10, 64, 100])
def test_sampled_games(path: Path, n_players: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two coalitions per chunk, so that the last chunk is not full.
    monkeypatch.setattr("pipeline.store.layout.CHUNK_BYTES", 30)
    record = replace(RECORD, n_players=n_players, n_coalitions=7)
    rng = np.random.default_rng(0)
    if n_players > 64:
        masks = rng.integers(0, 256, (3, 7, 13), dtype=np.uint8)
    else:
        masks = rng.integers(0, 1 << (n_players - 1), (3, 7), dtype=np.uint64)
        masks[2] = 0
    store = plan(path, record, ["a", "b", "c"], ["1", "2", "3"], masks=masks)
    for i in range(3):
        np.testing.assert_array_equal(store.masks(i), masks[i])
    values = table("b", "2", store.shape)
    store.write("b", values)
    np.testing.assert_array_equal(open_store(path).read("b"), values)
    assert verify(store) == []
    # Changed masks lose their values; moved masks keep them.
    changed = masks[[1, 0]].copy()
    changed[1, 0] ^= 1
    store = plan(path, record, ["b", "a"], ["2", "1"], masks=changed)
    assert store.done().tolist() == [True, False]
    np.testing.assert_array_equal(store.read("b"), values)
    changed[0, 0] ^= 1
    assert not plan(path, record, ["b", "a"], ["2", "1"], masks=changed).done().any()
    (path / "masks" / store.shard(1, "masks").name).unlink()
    (damage,) = verify(open_store(path))
    assert (damage.instance, damage.index) == ("a", 1)


@pytest.mark.usefixtures("per_shard")
def test_sampled_games_whose_coalitions_follow_from_instances(path: Path) -> None:
    drawn = {**RECORD.specification, "drawn": "walks, seed 0"}
    record = replace(RECORD, n_players=3000, n_coalitions=7, specification=drawn)
    store = plan(path, record, ["round 0", "round 1"], ["1", "1"])
    values = table("round 1", "1", store.shape)
    store.write("round 1", values)
    # More rounds keep what was evaluated.
    more = plan(path, record, ["round 0", "round 1", "round 2"], ["1"] * 3)
    assert more.done().tolist() == [False, True, False]
    np.testing.assert_array_equal(more.read("round 1"), values)
    assert verify(more) == []
    with pytest.raises(InputError, match="lists no masks; its coalitions are drawn: walks, seed 0"):
        more.masks(0)
    masks = np.zeros((2, 7, 375), dtype=np.uint8)
    with pytest.raises(InputError, match="its specification does not say how coalitions are drawn"):
        plan(path, record, ["round 0", "round 1"], ["1", "1"], masks=masks)


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.full((16, 3), np.nan), "instance 'b' hold nan at coalition 0, output 'cat'"),
        (np.where(np.arange(48).reshape(16, 3) == 4, np.inf, 0.0), "inf at coalition 1.*'dog'"),
        (np.full((16, 3), 1e300), "only finite float32"),
        (np.zeros((15, 3)), r"'b' have shape \(15, 3\); .* must be \(16, 3\)"),
    ],
)
def test_unusable_values_are_refused_and_nothing_is_written(
    path: Path, values: np.ndarray, match: str
) -> None:
    store = plan(path, RECORD, ["a", "b"], ["1", "2"])
    with pytest.raises(UnusableValues, match=match):
        store.write("b", values)
    assert names_in(path / "values") == ["zarr.json"]


@pytest.mark.parametrize("position", [0, 1, 40, 200, -1, -5, -10, -20])
def test_a_flipped_byte_is_found(path: Path, position: int) -> None:
    store = plan(path, RECORD, ["a", "b", "c"], ["1", "2", "3"])
    fill(store)
    content = bytearray(store.shard("b").read_bytes())
    content[position] ^= 1
    store.shard("b").write_bytes(content)
    (damage,) = verify(store)
    assert (damage.instance, damage.index) == ("b", 1)
    with pytest.raises(DamagedShard, match="'b'"):
        store.read("b")
    with pytest.raises(DamagedShard, match="'b'"):
        store.read_many([0, 1, 2])
    np.testing.assert_array_equal(store.read("c"), table("c", "3"))


@pytest.mark.parametrize("size", [0, 3, 19, 20, 150])
def test_a_truncated_shard_is_found(path: Path, size: int) -> None:
    store = plan(path, RECORD, ["a", "b"], ["1", "2"])
    fill(store)
    os.truncate(store.shard("a"), size)
    (damage,) = verify(store)
    assert (damage.instance, damage.index) == ("a", 0)
    with pytest.raises(DamagedShard):
        store.read("a")


@pytest.mark.usefixtures("per_shard")
def test_nan_and_foreign_files_are_found(path: Path) -> None:
    store = plan(path, RECORD, ["a", "b"], ["1", "2"])
    fill(store)
    values = table("a", "1")
    values[3, 1] = np.nan
    zarr.open_group(path)["values"][0] = values
    shutil.copy(store.shard("b"), path / "values" / "c.7.0.0")
    (path / "values" / "notes.txt").write_text("")
    (path / "more").mkdir()
    (path / "values" / "c.0.0.abc.partial").write_text("")
    (path / ".DS_Store").write_text("")
    found = [(d.instance, d.index, d.reason.split(":")[0]) for d in verify(open_store(path))]
    assert (None, 7, "values shard 7") in found
    assert (None, None, "values/notes.txt") in found
    assert (None, None, "more") in found
    assert ("a", 0) in [(instance, index) for instance, index, _ in found]
    assert len(found) == 4
    assert open_store(path).done().tolist() == [True, True]


@pytest.mark.usefixtures("per_shard")
def test_array_metadata_that_differ_are_found(path: Path) -> None:
    store = plan(path, RECORD, ["a"], ["1"])
    (path / "values" / "zarr.json").write_text("{")
    assert "values/zarr.json" in verify(store)[0].reason


def rewrite(path: Path, **attributes: object) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"].update(attributes)
    (path / "zarr.json").write_text(json.dumps(metadata))


def test_what_is_no_store_is_refused_and_left_alone(path: Path) -> None:
    with pytest.raises(InputError, match="there is no store; plan it"):
        open_store(path)
    path.mkdir(parents=True)
    (path / "mine.txt").write_text("mine")
    for attempt in (open_store, lambda p: plan(p, RECORD, ["a"], ["1"])):
        with pytest.raises(InputError, match="no zarr group"):
            attempt(path)
    assert (path / "mine.txt").read_text() == "mine"
    shutil.rmtree(path)
    zarr.create_group(path, attributes={"format": "something"})
    for attempt in (open_store, lambda p: plan(p, RECORD, ["a"], ["1"])):
        with pytest.raises(InputError, match="'something', not 'coalition-store'"):
            attempt(path)
    shutil.rmtree(path)
    path.write_text("a file")
    for attempt in (open_store, lambda p: plan(p, RECORD, ["a"], ["1"])):
        with pytest.raises(InputError, match="a file"):
            attempt(path)


@pytest.mark.usefixtures("per_shard")
def test_a_later_format_is_refused_and_left_alone(path: Path) -> None:
    fill(plan(path, RECORD, ["a"], ["1"]))
    rewrite(path, format_version=4)
    for attempt in (open_store, lambda p: plan(p, RECORD, ["a"], ["1"])):
        with pytest.raises(InputError, match="format version 4; versions up to 3") as caught:
            attempt(path)
        assert not isinstance(caught.value, DamagedStore)
    assert (path / "values" / "c.0.0.0").exists()


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize(
    "damage",
    [
        lambda p: os.truncate(p / "zarr.json", 100),
        lambda p: os.truncate(p / "zarr.json", 0),
        lambda p: (p / "zarr.json").unlink(),
        lambda p: rewrite(p, weights_sha256="cd"),
        lambda p: (p / "instance" / "c.0").unlink(),
        lambda p: (p / "input_sha256" / "c.0").unlink(),
        lambda p: (p / "output_class" / "c.0.0").unlink(),
        lambda p: os.truncate(p / "instance" / "c.0", 9),
    ],
)
def test_damaged_metadata_are_refused_and_set_aside_by_a_plan(path: Path, damage, caplog) -> None:
    lists = (["a", "b"], ["1", "2"])
    classes = [[0, 1, 2]] * 2
    fill(plan(path, RECORD, *lists, output_classes=classes))
    damage(path)
    with pytest.raises(DamagedStore, match=r"trn\.zarr: damaged"):
        open_store(path)
    store = plan(path, RECORD, *lists, output_classes=classes)
    assert not store.done().any()
    assert "damaged coalition store" in caplog.text
    assert (path.parent / "set-aside" / "trn-damaged.zarr" / "values" / "c.0.0.0").exists()


@pytest.mark.parametrize(
    ("instances", "digests", "options", "match"),
    [
        ([], [], {}, "no instances"),
        (["a", "a"], ["1", "2"], {}, "repeated: 'a'"),
        (["a", ""], ["1", "2"], {}, "empty"),
        (["a", "b"], ["1"], {}, "1 input digests for 2"),
        (["a"], [""], {}, "needs one"),
        (["a"], ["1"], {"output_classes": [[0, 1]]}, r"shape \(1, 2\)"),
        (["a"], ["1"], {"output_classes": [[0, -1, 2]]}, "classes must be at least 0"),
        (["a"], ["1"], {"masks": np.zeros((1, 16), np.uint64)}, "the game is sampled"),
    ],
)
def test_lists_that_do_not_fit_are_refused(path, instances, digests, options, match) -> None:
    with pytest.raises(InputError, match=match):
        plan(path, RECORD, instances, digests, **options)
    assert not path.parent.exists()


def test_the_identity_is_what_determines_the_values() -> None:
    assert replace(RECORD, versions={}, value="v", player="p").identity == RECORD.identity
    for change in (
        {"weights_sha256": "cd"},
        {"evaluator_version": 2},
        {"specification": {"score": "logit", "n_max": 8}},
        {"outputs": ("cat", "dog")},
        {"n_coalitions": 16},
        {"game": "tsn"},
    ):
        assert replace(RECORD, **change).identity != RECORD.identity
    reordered = {"n_max": 8, "score": "softmax"}
    assert replace(RECORD, specification=reordered).identity == RECORD.identity
    for bad in ({"specification": {"x": float("nan")}}, {"game": "../x"}, {"n_players": 40}):
        with pytest.raises(InputError):
            replace(RECORD, **bad)


def snapshot(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.usefixtures("per_shard")
def test_the_same_plan_changes_no_byte_and_sweeps_debris(path: Path) -> None:
    lists = (["a", "b"], ["1", "2"])
    fill(plan(path, RECORD, *lists), {1})
    before = snapshot(path)
    inode = path.stat().st_ino
    (path / "values" / "c.0.0.1234.partial").write_bytes(b"debris")
    store = plan(path, replace(RECORD, versions={"torch": "3"}), *lists)
    assert snapshot(path) == before and path.stat().st_ino == inode
    assert store.record.versions == {"torch": "2.11"}
    shutil.rmtree(path)
    fill(plan(path, RECORD, *lists), {1})
    assert snapshot(path) == before
    assert names_in(path.parent) == ["trn.zarr"]


@pytest.mark.usefixtures("per_shard")
def test_prose_may_change_without_losing_values(path: Path) -> None:
    fill(plan(path, RECORD, ["a"], ["1"]))
    store = plan(path, replace(RECORD, value="better said"), ["a"], ["1"])
    assert store.record.value == "better said" and store.done().all()
    assert names_in(path.parent) == ["trn.zarr"]


@pytest.mark.usefixtures("per_shard")
def test_the_versions_are_those_that_made_the_values(path: Path) -> None:
    later = replace(RECORD, versions={"torch": "3"})
    plan(path, RECORD, ["a"], ["1"])
    store = plan(path, later, ["a"], ["1"])
    assert store.record.versions == {"torch": "3"}
    fill(store)
    assert plan(path, RECORD, ["b", "a"], ["2", "1"]).record.versions == {"torch": "3"}


@pytest.mark.usefixtures("per_shard")
def test_a_changed_digest_erases_that_instance_only(path: Path) -> None:
    fill(plan(path, RECORD, ["a", "b", "c"], ["1", "2", "3"]))
    store = plan(path, RECORD, ["a", "b", "c"], ["1", "x", "3"])
    assert store.done().tolist() == [True, False, True]
    fill(store)
    check(store)
    assert plan(path, RECORD, ["a", "b", "c"], ["1", "2", "3"]).done().all()
    store = plan(path, RECORD, ["a", "b", "c"], ["1", "x", "3"])
    assert store.done().all()
    check(store)


@pytest.mark.usefixtures("per_shard")
def test_changed_output_classes_erase(path: Path) -> None:
    lists = (["a", "b"], ["1", "2"])
    fill(plan(path, RECORD, *lists, output_classes=[[0, 1, 2], [0, 1, 2]]))
    store = plan(path, RECORD, *lists, output_classes=[[0, 1, 2], [0, 1, 3]])
    assert store.done().tolist() == [True, False]


@pytest.mark.usefixtures("per_shard")
def test_a_parameter_changed_and_changed_back_costs_nothing(path: Path) -> None:
    other = replace(RECORD, specification={"score": "logit"})
    lists = (["a", "b"], ["1", "2"])
    fill(plan(path, RECORD, *lists))
    before = snapshot(path)
    store = plan(path, other, *lists)
    assert not store.done().any() and store.record == other
    aside = path.parent / "set-aside"
    assert names_in(aside) == [f"trn-{RECORD.identity[:16]}.zarr"]
    fill(store)
    store = plan(path, RECORD, *lists)
    assert store.done().all() and snapshot(path) == before
    check(store)
    assert names_in(aside) == [f"trn-{other.identity[:16]}.zarr"]
    # The record is changed back, with other instances in another order.
    store = plan(path, other, ["c", "b"], ["3", "2"])
    assert store.done().tolist() == [False, True]
    check(store)


@pytest.mark.usefixtures("per_shard")
def test_fewer_instances_and_again_more_costs_nothing(path: Path) -> None:
    names = [f"v{i}" for i in range(8)]
    fill(plan(path, RECORD, names, names))
    for n in (3, 5, 2, 8):
        store = plan(path, RECORD, names[:n], names[:n])
        assert store.done().all()
        check(store)
        assert verify(store) == []
    # All is in the store again, so nothing is kept beside it.
    assert names_in(path.parent) == ["trn.zarr"]


@pytest.mark.usefixtures("per_shard")
def test_a_writer_of_an_earlier_plan_is_refused(path: Path) -> None:
    old = plan(path, RECORD, ["a", "b"], ["1", "2"])
    fill(old, {0})
    plan(path, RECORD, ["a", "b"], ["1", "2"])
    old.write("b", table("b", "2"))
    new = plan(path, RECORD, ["b", "a"], ["2", "1"])
    for attempt in (
        lambda: old.write("a", table("a", "1")),
        lambda: old.erase("a"),
        lambda: old.is_done("a"),
        lambda: old.read("a"),
        lambda: old.read_many(["a", "b"]),
        old.done,
    ):
        with pytest.raises(InputError, match="planned again"):
            attempt()
    assert new.done().all()
    check(new)
    shutil.rmtree(path)
    with pytest.raises(InputError, match="planned again, moved or removed"):
        new.write("a", table("a", "1"))


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("seed", range(3))
def test_random_histories_agree_with_an_oracle(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    records = [RECORD, replace(RECORD, weights_sha256="cd")]
    ever: set[tuple[str, str, str]] = set()
    for _ in range(9):
        names = rng.sample("abcdefgh", rng.randint(1, 6))
        digests = [rng.choice("12") for _ in names]
        record = rng.choice(records)
        store = plan(path, record, names, digests)
        keys = [(record.identity, *pair) for pair in zip(names, digests, strict=True)]
        # No evaluated instance is lost, and no other instance counts as done.
        assert store.done().tolist() == [key in ever for key in keys]
        check(store)
        chosen = {i for i in range(len(names)) if rng.random() < 0.6}
        fill(store, chosen)
        ever |= {keys[i] for i in chosen}
        check(store)
        assert verify(store) == []
        assert not [name for name in names_in(path.parent) if name.startswith(".")]


class Killed(BaseException):
    """Imitates the end of the process; code that handles it has no effect."""


def killing(monkeypatch: pytest.MonkeyPatch, at: int) -> list[str]:
    """Let the process end before the at-th change of the directories; return the changes made.

    Changes inside a directory that is being built or removed are invisible from outside. Of
    these, only the links of shards count, and two others.
    """
    calls: list[str] = []
    inside = 0

    def wrapped(name: str):
        original = getattr(os, name)

        def call(*args, **kwargs):
            nonlocal inside
            if len(calls) == at:
                raise Killed
            which = str(args)
            alike = name in ("unlink", "rmdir") or (".new/" in which and "values/c." not in which)
            inside += alike
            if not alike or inside in (6, 40):
                calls.append(name)
                if len(calls) == at:
                    raise Killed
            return original(*args, **kwargs)

        return call

    for name in ("rename", "replace", "link", "mkdir", "rmdir", "unlink"):
        monkeypatch.setattr(os, name, wrapped(name))
    return calls


@pytest.mark.usefixtures("per_shard")
@pytest.mark.parametrize("change", ["reorder", "shrink", "weights", "back"])
def test_a_plan_killed_at_any_step_loses_and_mixes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    names = ["a", "b", "c"]
    other = replace(RECORD, weights_sha256="cd")
    record, wanted, needed = {
        "reorder": (RECORD, ["c", "d", "a", "b"], 1),
        "shrink": (RECORD, ["c"], 0),
        "weights": (other, names, 3),
        "back": (RECORD, ["b", "c", "a"], 0),
    }[change]
    start = tmp_path / "start" / "trn.zarr"
    fill(plan(start, RECORD, names, names))
    if change == "back":
        fill(plan(start, other, names, names))
    kills = 0
    for at in range(1, 100):
        path = tmp_path / str(at) / "trn.zarr"
        shutil.copytree(start.parent, path.parent)
        with monkeypatch.context() as patch:
            calls = killing(patch, at)
            try:
                plan(path, record, wanted, wanted)
            except Killed:
                kills += 1
        if path.exists():
            check(open_store(path))
        if at % 2:
            # Otherwise the earlier state is requested at once.
            store = plan(path, record, wanted, wanted)
            check(store)
            assert fill(store) == needed
        store = plan(path, RECORD, names, names)
        assert store.done().all(), f"lost by a kill at step {at} of {calls}"
        check(store)
        assert not [name for name in names_in(path.parent) if name.startswith(".")]
        if kills < at:
            break
    assert kills > 5


@pytest.mark.usefixtures("per_shard")
def test_a_full_disk_is_reported_and_finished_values_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = plan(path, RECORD, ["a", "b"], ["1", "2"])
    fill(store, {0})

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(InputError, match=r"trn\.zarr: the disk is full"):
            store.write("b", table("b", "2"))
        patch.setattr(os, "link", full)
        with pytest.raises(InputError, match="the disk is full"):
            plan(path, RECORD, ["b", "a", "c"], ["2", "1", "3"])
    assert names_in(path / "values") == ["c.0.0.0", "zarr.json"]
    assert names_in(path.parent) == ["trn.zarr"]
    check(store)
    store = plan(path, RECORD, ["b", "a", "c"], ["2", "1", "3"])
    assert store.done().tolist() == [False, True, False]
    check(store)


@pytest.mark.usefixtures("per_shard")
def test_without_hard_links_shards_are_copied(path: Path, monkeypatch) -> None:
    fill(plan(path, RECORD, ["a", "b"], ["1", "2"]))

    link = os.link

    def unsupported(source: Path, destination: Path) -> None:
        if destination.name.startswith("c."):
            raise OSError(errno.EPERM, "Operation not permitted")
        link(source, destination)

    monkeypatch.setattr(os, "link", unsupported)
    store = plan(path, RECORD, ["b", "a"], ["2", "1"])
    assert store.done().all()
    check(store)


@pytest.mark.usefixtures("per_shard")
def test_a_store_behind_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk" / "trn.zarr"
    elsewhere.parent.mkdir()
    elsewhere.mkdir()
    path = tmp_path / "trn.zarr"
    path.symlink_to(elsewhere)
    fill(plan(path, RECORD, ["a", "b"], ["1", "2"]))
    store = plan(path, RECORD, ["b"], ["2"])
    check(store)
    assert path.is_symlink() and (elsewhere.parent / "set-aside").is_dir()
