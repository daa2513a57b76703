"""Coordinates of a store's instances, which it keeps beside its values."""

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from test_store import RECORD, fill, names_in, table

from pipeline.core.errors import InputError
from pipeline.store import CoalitionStore, DamagedStore, open_store, plan, verify
from pipeline.store.access import size

COORDINATES = {
    "true_class": np.array([7, 0, 3]),
    "frame": np.arange(12).reshape(3, 4),
    "is_correct": np.array([False, False, False]),
    "box": np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 3, 2),
}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trn.zarr"


def planned(path: Path, coordinates: dict[str, np.ndarray] | None = COORDINATES) -> CoalitionStore:
    return plan(path, RECORD, ["a", "b", "c"], ["1", "2", "3"], coordinates=coordinates)


def check(found: dict[str, np.ndarray], expected: dict[str, np.ndarray] = COORDINATES) -> None:
    assert list(found) == list(expected)
    for name, content in expected.items():
        assert found[name].dtype == content.dtype
        np.testing.assert_array_equal(found[name], content)


def test_what_is_planned_is_read_by_any_program(path: Path) -> None:
    fill(planned(path))
    check(open_store(path).coordinates)
    check(open_store(f"file://{path}").coordinates)
    assert open_store(path).record == RECORD
    assert verify(open_store(path)) == verify(open_store(f"file://{path}")) == []
    by_url = open_store(f"file://{path}")
    assert size(str(path), None) == size(by_url.path, by_url.contents())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(path, mode="r")
        dataset = xarray.open_zarr(path)
    for name, content in COORDINATES.items():
        np.testing.assert_array_equal(group[name][:], content)
        np.testing.assert_array_equal(dataset[name].values, content)
        assert name in dataset.coords
    assert dataset["true_class"].dims == dataset["is_correct"].dims == ("instance",)
    assert dataset["frame"].dims == ("instance", "player")
    assert dataset["box"].dims == ("instance", "box_1", "box_2")
    assert dataset["values"].sel(instance="c")["true_class"] == 3


def test_other_coordinates_cost_no_values(path: Path) -> None:
    store = planned(path, None)
    assert store.coordinates == {}
    identity = store.record.identity
    fill(store)
    inode = store.shard(0).stat().st_ino
    more = {**COORDINATES, "true_class": np.array([7, 0, 4])}
    for coordinates in (COORDINATES, more, {"frame": COORDINATES["frame"]}, {}):
        store = planned(path, coordinates)
        check(store.coordinates, coordinates)
        check(open_store(path).coordinates, coordinates)
        assert store.done().all() and store.shard(0).stat().st_ino == inode
        assert store.record.identity == identity
        assert names_in(path.parent) == ["trn.zarr"]


@pytest.mark.parametrize(
    "other",
    [
        COORDINATES["true_class"].astype(np.int32),
        COORDINATES["true_class"][:, None],
        -COORDINATES["true_class"],
    ],
)
def test_a_plan_changes_nothing_unless_something_is_asked_for(path: Path, other) -> None:
    planned(path)
    before = (path / "zarr.json").stat().st_ino
    # A list, or the other byte order, is the same content.
    planned(path, {**COORDINATES, "true_class": COORDINATES["true_class"].astype(">i8")})
    planned(path, {**COORDINATES, "true_class": [7, 0, 3]})
    assert (path / "zarr.json").stat().st_ino == before
    planned(path, {**COORDINATES, "true_class": other})
    assert (path / "zarr.json").stat().st_ino != before


def test_fewer_instances_take_their_values_along(path: Path) -> None:
    fill(planned(path))
    store = plan(path, RECORD, ["c", "a"], ["3", "1"], coordinates={"true_class": np.array([3, 7])})
    np.testing.assert_array_equal(store.read("c"), table("c", "3"))
    assert store.coordinates["true_class"].tolist() == [3, 7]
    with pytest.raises(InputError, match="planned again"):
        old = open_store(path)
        planned(path)
        old.coordinates  # noqa: B018


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("true_class", np.zeros(2), r"'true_class' has shape \(2,\).* must be 3"),
        ("true_class", np.int64(3), r"'true_class' has shape \(\)"),
        ("box", np.zeros((3, 0)), "none may be empty"),
        ("label", np.array(["x", "y", "z"]), "'label' is <U1; it must be bool, integers or floats"),
        ("label", np.array([None, 1, 2]), "'label' is object"),
        ("phase", np.zeros(3, dtype=complex), "'phase' is complex128"),
        *(
            (name, np.zeros(3), f"cannot be named '{name}'")
            for name in ("values", "instance", "masks", "player", "coalition", "a b", "a/b", ".a")
        ),
    ],
)
def test_what_does_not_fit_is_refused(path: Path, name: str, content, match: str) -> None:
    with pytest.raises(InputError, match=match):
        planned(path, {"frame": COORDINATES["frame"], name: content})
    assert not path.exists()


def test_no_coordinate_has_the_name_of_anothers_dimension(path: Path) -> None:
    with pytest.raises(InputError, match="cannot be named 'box_2'"):
        planned(path, {"box": COORDINATES["box"], "box_2": np.zeros(3)})


def lose_chunk(path: Path) -> None:
    (path / "frame" / "c.0.0").unlink()


def flip_byte(path: Path) -> None:
    chunk = path / "frame" / "c.0.0"
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)


def lose_array(path: Path) -> None:
    group = json.loads((path / "zarr.json").read_text())
    del group["consolidated_metadata"]["metadata"]["frame"]
    (path / "zarr.json").write_text(json.dumps(group))


@pytest.mark.parametrize("spoil", [lose_chunk, flip_byte, lose_array])
def test_damage_is_found_and_costs_no_values(path: Path, spoil) -> None:
    fill(planned(path))
    spoil(path)
    store = open_store(path)
    np.testing.assert_array_equal(store.read("b"), table("b", "2"))
    with pytest.raises(DamagedStore, match=r"damaged coordinate 'frame'.*planning the store again"):
        store.coordinates  # noqa: B018
    reasons = [damage.reason for damage in verify(store)]
    assert any("damaged coordinate 'frame'" in reason for reason in reasons)
    store = planned(path)
    assert store.done().all() and verify(store) == []
    check(store.coordinates)


def test_foreign_files_are_found_beside_a_chunk(path: Path) -> None:
    store = planned(path)
    (path / "frame" / "notes.txt").write_text("")
    (path / "elsewhere").mkdir()
    names = [damage.reason.split(":")[0] for damage in verify(store)]
    assert names == ["elsewhere", "frame/notes.txt"]


def test_a_list_in_the_attribute_is_damage(path: Path) -> None:
    planned(path)
    group = json.loads((path / "zarr.json").read_text())
    group["attributes"]["coordinates"] = ["frame"]
    (path / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(DamagedStore, match="'coordinates'"):
        open_store(path)


def test_a_store_without_coordinates_is_as_it_was_before_there_were_any(path: Path) -> None:
    planned(path, None)
    assert "coordinates" not in json.loads((path / "zarr.json").read_text())["attributes"]
    assert names_in(path) == ["input_sha256", "instance", "output", "values", "zarr.json"]
    assert open_store(path).coordinates == {}


def test_games_of_many_players_name_no_players(path: Path) -> None:
    record = replace(RECORD, n_players=5)
    coordinates = {"frame": COORDINATES["frame"]}
    plan(path, record, ["a", "b", "c"], ["1", "2", "3"], coordinates=coordinates)
    assert xarray.open_zarr(path)["frame"].dims == ("instance", "frame_1")
