"""The label files of Something-Something V2."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stages

from pipeline.core.errors import InputError
from pipeline.data.something import (
    classes_from,
    read_action_intervals,
    read_classes,
    read_order_pairs,
    read_split,
    require_videos,
)
from pipeline.studies.frames import priors
from pipeline.studies.frames.feature_files import feature_writer

LABELS = {"Pushing something": "1", "Moving something and something": "0"}
ROWS = [
    {
        "id": "7",
        "label": "pushing a cup",
        "template": "Pushing [something]",
        "placeholders": ["a cup"],
    },
    {
        "id": "12",
        "label": "moving a and b",
        "template": "Moving [something] and [something]",
        "placeholders": ["a", "b"],
    },
]


def lay_out(root: Path, labels: Any = LABELS, **splits: Any) -> Path:
    (root / "labels").mkdir(exist_ok=True)
    for name, content in {"labels": labels, "train": ROWS, **splits}.items():
        (root / "labels" / f"{name}.json").write_text(json.dumps(content))
    return root


def row(**changes: Any) -> dict[str, Any]:
    return ROWS[0] | changes


def test_reads_classes_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    classes = read_classes(lay_out(tmp_path))
    assert classes == ("Moving something and something", "Pushing something")


def test_reads_a_split_with_labels(tmp_path: Path) -> None:
    first, second = read_split(lay_out(tmp_path), "train")
    assert (first.id, first.label, first.caption) == ("7", 1, "pushing a cup")
    assert first.template == "Pushing something"
    assert first.path == tmp_path / "20bn-something-something-v2" / "7.webm"
    assert second.label == 0


def test_a_video_is_any_file_named_by_the_id(tmp_path: Path) -> None:
    rows = [row(id=name) for name in ("7", "8", "9", "a.b")]
    lay_out(tmp_path, train=rows)
    folder = tmp_path / "20bn-something-something-v2"
    folder.mkdir()
    for name in ("7.mp4", "8.MKV", "8.txt", "a.b.avi", "c.mp4", "._7.mp4"):
        (folder / name).write_bytes(b"")
    clips = read_split(tmp_path, "train")
    assert [clip.path.name for clip in clips] == ["7.mp4", "8.MKV", "9.webm", "a.b.avi"]
    require_videos(clips, tmp_path, "train")
    (folder / "7.webm").write_bytes(b"")
    with pytest.raises(InputError, match=r"7\.mp4, 7\.webm are videos of one id"):
        read_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "2 of 2 videos of the train split are missing; there is no such folder"),
        ([], "2 of 2 videos of the train split are missing; the folder is empty"),
        (["x.mp4", "y.mp4", "z.txt"], r"there are 2 files \*\.mp4 and 1 files \*\.txt, but none"),
    ],
)
def test_without_any_video_what_is_there_is_said(
    tmp_path: Path, names: list[str] | None, message: str
) -> None:
    lay_out(tmp_path, train=[row(id="7"), row(id="8")])
    if names is not None:
        (tmp_path / "20bn-something-something-v2").mkdir()
    for name in names or []:
        (tmp_path / "20bn-something-something-v2" / name).write_bytes(b"")
    with pytest.raises(InputError, match=message):
        require_videos(read_split(tmp_path, "train"), tmp_path, "train")


def test_reads_the_test_split_without_labels(tmp_path: Path) -> None:
    (clip,) = read_split(lay_out(tmp_path, test=[{"id": "3"}]), "test")
    assert (clip.label, clip.caption, clip.template) == (None, "", "")


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(
    "pattern",
    [
        "labels/{}.json",
        "labels/something-something-v2-{}.json",
        "something-something-v2-{}.json",
    ],
)
def test_reads_older_names_and_gzipped_files(tmp_path: Path, pattern: str, gzipped: bool) -> None:
    for name, content in {"labels": LABELS, "train": ROWS}.items():
        path = tmp_path / (pattern.format(name) + ".gz" * gzipped)
        path.parent.mkdir(exist_ok=True)
        data = json.dumps(content).encode()
        path.write_bytes(gzip.compress(data) if gzipped else data)
    assert [clip.id for clip in read_split(tmp_path, "train")] == ["7", "12"]


def test_missing_file_says_what_was_looked_for_and_the_parameter(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train.json.gz") as caught:
        read_split(tmp_path, "train")
    assert "something-something-v2-train.json" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "frames.dataset.root" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "empty array"),
        ({}, "empty object"),
        ({"A": "0", "B": "2"}, "1 is missing.*2 .'B'. is out of range"),
        ({"A": "0", "B": "0"}, "'A' and 'B' both have the number 0"),
        ({"A": 0}, "number 0; expected digits in a string"),
        ({"A": "-1"}, "'-1'; expected digits"),
        ({"A": "²"}, "expected digits"),
        ({"A": "9" * 5000}, "expected digits"),
        ({"[A] up": "0", "A up": "1"}, r"'\[A\] up' and 'A up' have the same name without"),
    ],
)
def test_refuses_bad_classes(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"labels.json.*{message}"):
        read_classes(lay_out(tmp_path, labels))
    with pytest.raises(InputError, match=rf"labels.json.*{message}"):
        classes_from(tmp_path / "labels" / "labels.json")


def test_classes_may_be_a_table(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_text('name,id\nHolding something,1\n"Laying something down, not upright",0\n')
    assert classes_from(path) == ("Laying something down, not upright", "Holding something")
    path.write_text("name,number\na,0\n")
    with pytest.raises(InputError, match=r"has columns \['name', 'number'\]; expected name and id"):
        classes_from(path)
    path.write_bytes(b"name,id\n\xff,0\n")
    with pytest.raises(InputError, match=r"classes\.csv: cannot be read as a table"):
        classes_from(path)
    path.write_text("name,id\na,0\na,1\n")
    with pytest.raises(InputError, match="class 'a' occurs twice"):
        classes_from(path)
    path.write_text("name,id\na,0\nb,2\n")
    with pytest.raises(InputError, match="1 is missing"):
        classes_from(path)


def test_classes_of_given_features_are_read_and_refused_alike(tmp_path: Path) -> None:
    features, names = tmp_path / "f.h5", tmp_path / "names.json"
    with feature_writer(features) as append:
        append("7", 1, np.ones((2, 3), np.float32), np.arange(2))
    with pytest.raises(InputError, match=r"names.json: there is no such file of class names"):
        stages.run("frames_priors", features=features, out=tmp_path / "p.json", classes=names)
    names.write_text(json.dumps({"Pushing [something]": "1", "Moving": "0"}))
    stages.run("frames_priors", features=features, out=tmp_path / "p.json", classes=names)
    assert priors.read_priors(tmp_path / "p.json")[0] == ("Moving", "Pushing something")
    names.write_text(json.dumps({"[A] up": "0", "A up": "1"}))
    with pytest.raises(InputError, match="the same name without brackets"):
        stages.run("frames_priors", features=features, out=tmp_path / "p.json", classes=names)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the split is empty"),
        ({"id": "1"}, "found an object; expected an array"),
        ([ROWS[1], "7"], "entry 1: found a string"),
        ([{"label": "x"}], "entry 0: key 'id' is missing"),
        ([{"id": "7", "template": "Pushing [something]"}], "'7'.*key 'label' is missing"),
        ([{"id": "7", "label": "x"}], "'7'.*key 'template' is missing"),
        ([row(id=7)], "'id' is 7; expected a string"),
        ([row(id="a/b")], "'a/b' contains '/'"),
        ([row(id="a\\b")], r"entry 0: id .* contains '\\\\'"),
        ([row(id="..")], "contains '..'"),
        ([row(id="a\0")], "contains '.x00'"),
        ([row(id="")], "id '' is empty"),
        ([row(id=" ")], "id ' ' is empty"),
        ([row(id="\ud800")], "not valid Unicode"),
        ([row(), ROWS[1], row()], "entry 2 .id '7'.: entry 0 has the same id"),
        ([row(template="Pushin [something]")], "'7'.*has no class.*'Pushing something'"),
    ],
)
def test_refuses_bad_rows_with_the_entry(tmp_path: Path, rows: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"train.json.*{message}"):
        read_split(lay_out(tmp_path, train=rows), "train")


def test_refuses_an_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'val' does not exist.*validation"):
        read_split(lay_out(tmp_path), "val")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("train.json", b'[\n{"id": }]', "train.json: not valid JSON at line 2, column 8"),
        ("train.json", b'["\xff"]', "train.json: cannot be read"),
        ("train.json", b"[" * 100_000, "train.json: (cannot be read|not valid JSON)"),
        ("train.json.gz", b"no gzip", "train.json.gz: cannot be read"),
        # Without a time stamp, so that tests have the same names in every process.
        ("train.json.gz", gzip.compress(b"[" * 999, mtime=0)[:20], "train.json.gz: cannot be read"),
    ],
)
def test_refuses_malformed_files(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (lay_out(tmp_path) / "labels" / "train.json").unlink()
    (tmp_path / "labels" / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_split(tmp_path, "train")


def test_reads_action_intervals_where_there_are_any(tmp_path: Path) -> None:
    assert read_action_intervals(tmp_path) == {}
    lay_out(tmp_path, action_intervals={"7": [3, 9], "12": [0, 0]})
    assert read_action_intervals(tmp_path) == {"7": (3, 9), "12": (0, 0)}


@pytest.mark.parametrize(
    "value", [[3], [3, 2], [-1, 2], ["1", 2], [0.0, 2], [0, 1, 2], 4, None, [False, True]]
)
def test_refuses_bad_action_intervals(tmp_path: Path, value: Any) -> None:
    lay_out(tmp_path, action_intervals={"7": value})
    with pytest.raises(InputError, match=r"action_intervals.json: id '7'"):
        read_action_intervals(tmp_path)


def test_reads_order_pairs_where_there_are_any(tmp_path: Path) -> None:
    assert read_order_pairs(tmp_path) == []
    lay_out(tmp_path, order_pairs=[["Up", "Down"]])
    assert read_order_pairs(tmp_path) == [("Up", "Down")]


@pytest.mark.parametrize("content", [{"Up": "Down"}, [["Up"]], [["Up", 1]], ["Up"], None])
def test_refuses_bad_order_pairs(tmp_path: Path, content: Any) -> None:
    lay_out(tmp_path, order_pairs=content)
    with pytest.raises(InputError, match=r"order_pairs.json: found .*expected"):
        read_order_pairs(tmp_path)
