import h5py
import numpy as np
import pytest

from pipeline.core.errors import InputError
from pipeline.studies.frames.feature_files import feature_writer, read_features
from pipeline.studies.frames.stages import given as taken

DIM = 3


def write(path, videos):
    with feature_writer(path) as append:
        for uid, label, rows in videos:
            append(uid, label, rows, np.arange(len(rows)) * 2)


def rows(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def given(path, *, uids=("a", "b"), features=None, labels=None, feature_dim=DIM):
    """A file as another program might have written it."""
    features = [rows(2).ravel(), rows(4).ravel()] if features is None else features
    labels = {"action": np.array([1, 0])} if labels is None else labels
    with h5py.File(path, "w") as file:
        data = file.create_dataset("features", (len(features),), h5py.vlen_dtype(np.float32))
        for index, values in enumerate(features):
            data[index] = values
        if feature_dim is not None:
            data.attrs["feature_dim"] = feature_dim
        file.create_dataset("uids", data=list(uids), dtype=h5py.string_dtype())
        for name, values in labels.items():
            file.create_dataset(f"labels/{name}", data=values)
    return path


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "f.h5"
    videos = [("x", 4, rows(5, 1)), ("y", 0, rows(1, 2)), ("z", 2, rows(3, 3))]
    write(path, videos)
    found = read_features(path, n_classes=5)
    assert found.uids == ("x", "y", "z")
    assert found.labels.tolist() == [4, 0, 2]
    assert found.lengths.tolist() == [5, 1, 3]
    assert found.feature_dim == DIM
    assert found.frame_indices.tolist() == [0, 2, 4, 6, 8, 0, 0, 2, 4]
    chosen = found.gather(np.array([2, 0]), np.array([[0, 2], [4, 4]]))
    np.testing.assert_array_equal(chosen[0], videos[2][2][[0, 2]])
    np.testing.assert_array_equal(chosen[1], videos[0][2][[4, 4]])


def test_the_same_features_give_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name, [("x", 1, rows(70)), ("y", 0, rows(2))])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_features_that_are_not_finite_leave_no_file(tmp_path):
    bad = rows(2)
    bad[1, 1] = np.inf
    with pytest.raises(InputError, match="features of video y hold NaN or Inf"):
        write(tmp_path / "f.h5", [("x", 0, rows(2)), ("y", 0, bad)])
    assert not list(tmp_path.iterdir())


def test_a_group_of_a_file_becomes_a_file(tmp_path):
    """Both splits in one file, with labels of two kinds, as Play Fair's are."""
    labels = {"action": np.array([1, 0]), "label": np.array(["x", "y"], dtype="S1")}
    source = tmp_path / "both.h5"
    with h5py.File(source, "w", libver="latest") as file:
        for number, split in enumerate(("train", "validation")):
            features = [rows(2, number).ravel(), rows(4, number).ravel()]
            path = given(tmp_path / "one.h5", features=features, labels=labels)
            with h5py.File(path) as one:
                one.copy(one, file, split)
    with pytest.raises(InputError, match=r"only \['train', 'validation'\].*file.h5::train"):
        read_features(source)
    taken.main(source=source, given=f"{source}::validation", out=tmp_path / "v.h5")
    found = read_features(tmp_path / "v.h5", label="action")
    assert found.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(found.rows, np.concatenate([rows(2, 1), rows(4, 1)]))
    for name, message in (("test", "has no group 'test', only"), ("train/uids", "has no group")):
        with pytest.raises(InputError, match=message):
            taken.main(source=source, given=f"{source}::{name}", out=tmp_path / "t.h5")
    assert not (tmp_path / "t.h5").exists()


def test_files_of_other_programs_are_read(tmp_path):
    found = read_features(given(tmp_path / "f.h5"))
    assert found.uids == ("a", "b")
    assert found.frame_indices is None
    assert found.labels.tolist() == [1, 0]
    several = {"verb": np.array([5, 6]), "noun": np.array([7, 8])}
    path = given(tmp_path / "g.h5", labels=several)
    assert read_features(path, label="noun").labels.tolist() == [7, 8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_dim": None}, "no attribute feature_dim"),
        ({"feature_dim": 4}, "video a has 6 numbers, which are not one or more frames of 4"),
        ({"features": [rows(2).ravel(), np.empty(0)]}, "video b has 0 numbers"),
        ({"features": [rows(1).ravel(), np.array([1, np.nan, 2])]}, "features of video b hold NaN"),
        ({"uids": ("a", "a")}, "uid 'a' occurs twice"),
        ({"uids": ("a", "../b")}, "uid '../b' is no plain name"),
        ({"uids": ("a",)}, "2 features, 1 uids and 2 labels"),
        ({"labels": {"action": np.array([1, 9])}}, "video b has class 9; allowed are 0 to 4"),
        ({"labels": {"action": np.array([1, -1])}}, "video b has class -1; allowed are 0 to 4"),
        ({"labels": {"action": np.array([0.5, 1])}}, "must hold class numbers, not float64"),
        (
            {"labels": {"p": np.array([1, 0]), "q": np.array([1, 0])}},
            r"labels \['p', 'q'\]; name the one",
        ),
        ({"uids": (), "features": [], "labels": {"action": np.empty(0, int)}}, "holds no videos"),
    ],
)
def test_unusable_files_are_refused(tmp_path, changes, message):
    path = given(tmp_path / "f.h5", **changes)
    with pytest.raises(InputError, match=message) as error:
        read_features(path, n_classes=5)
    assert "f.h5" in str(error.value)


def test_the_backbone_is_told_where_the_file_tells_it(tmp_path):
    with feature_writer(tmp_path / "f.h5", backbone_sha256="ab12") as append:
        append("x", 0, rows(2), np.arange(2))
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["features"].attrs["backbone_sha256"] == "ab12"
    assert read_features(tmp_path / "f.h5").backbone_sha256 == "ab12"
    write(tmp_path / "g.h5", [("x", 0, rows(2))])
    assert read_features(tmp_path / "g.h5").backbone_sha256 is None
    with h5py.File(tmp_path / "g.h5", "r+") as file:
        file["features"].attrs["backbone_sha256"] = 3
    with pytest.raises(InputError, match=r"g.h5: the attribute backbone_sha256 .* must be a text"):
        read_features(tmp_path / "g.h5")


@pytest.mark.parametrize("kind", [np.float64, np.int16])
def test_features_of_other_types_become_float32(tmp_path, kind):
    path = given(tmp_path / "f.h5")
    values = [np.arange(6).astype(kind), np.arange(3).astype(kind)]
    replace(path, "features", vlen(values, kind))
    found = read_features(path)
    assert found.rows.dtype == np.float32
    assert found.rows.ravel().tolist() == [*range(6), *range(3)]


def test_features_too_large_for_float32_are_refused(tmp_path):
    path = given(tmp_path / "f.h5")
    replace(path, "features", vlen([rows(2).ravel(), np.array([1, 1e300, 2])], np.float64))
    with pytest.raises(InputError, match="features of video b hold NaN or Inf"):
        read_features(path)
    with pytest.raises(InputError, match="features of video y hold NaN or Inf"):
        write(tmp_path / "g.h5", [("y", 0, np.full((1, DIM), 1e300))])


def test_the_video_that_is_not_finite_is_found_in_any_block(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.studies.frames.feature_rows.VIDEOS_AT_ONCE", 2)
    videos = [rows(count).ravel() for count in (1, 4, 3)]
    for index, uid in enumerate("abc"):
        bad = [v.copy() for v in videos]
        bad[index][-1] = np.inf
        path = given(tmp_path / "f.h5", uids="abc", features=bad, labels={"x": np.arange(3)})
        with pytest.raises(InputError, match=f"features of video {uid} hold NaN"):
            read_features(path)


def vlen(values, kind):
    """Add a dataset (video,) of variable-length numbers to a file."""

    def make(file, name):
        data = file.create_dataset(name, (len(values),), h5py.vlen_dtype(kind))
        for index, each in enumerate(values):
            data[index] = each

    return make


def array(values):
    return lambda file, name: file.create_dataset(name, data=values)


def group(file, name):
    file.create_group(name)


def replace(path, name, make):
    """Replace a part of a file; attributes stay."""
    with h5py.File(path, "r+") as file:
        kept = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        make(file, name)
        file[name].attrs.update(kept)


ROWS = [rows(2).ravel(), rows(4).ravel()]


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("features", group, "'features' is a group; it must be a dataset"),
        ("features", array(np.zeros((2, 6), np.float32)), r"'features' is of shape \(2, 6\)"),
        ("features", array(np.zeros((2, 2, 3), np.float32)), r"shape \(2, 2, 3\) and type float32"),
        ("features", array(np.zeros(2, np.float32)), "of variable-length numbers"),
        ("features", array(["a", "b"]), "of variable-length numbers"),
        ("uids", group, "'uids' is a group"),
        ("uids", array("a"), r"'uids' is of shape \(\)"),
        ("uids", array([b"a", b"\xff"]), "a uid is not valid UTF-8"),
        ("labels", array([1, 0]), "'labels' is a dataset; it must be a group"),
        ("labels/action", group, "'labels/action' is a group"),
        ("labels/action", array(1), r"'labels/action' is of shape \(\)"),
        ("labels/action", array([[1], [0]]), r"'labels/action' is of shape \(2, 1\)"),
        ("frame_indices", group, "'frame_indices' is a group"),
        ("frame_indices", array([[1, 2], [3, 4]]), r"'frame_indices' is of shape \(2, 2\)"),
        (
            "frame_indices",
            vlen(ROWS, np.float32),
            "'frame_indices' is of .* variable-length float32",
        ),
        ("frame_indices", vlen([[0, 1]], np.int32), "1 frame_indices and 2 uids"),
        (
            "frame_indices",
            vlen([[0, 1, 2], [0, 1, 2]], np.int32),
            "video a has 3 frame_indices for 2 frames",
        ),
        (
            "frame_indices",
            vlen([[0, 1], [-1, 1, 2, 3]], np.int32),
            "video b has the frame index -1",
        ),
        (
            "frame_indices",
            vlen([[0, 1 << 31], [0, 1, 2, 3]], np.int64),
            "video a has the frame index 2147483648",
        ),
    ],
)
def test_parts_of_another_kind_or_shape_are_refused(tmp_path, name, make, message):
    path = given(tmp_path / "f.h5")
    replace(path, name, make)
    with pytest.raises(InputError, match=message) as error:
        read_features(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("value", [0, -4, 2.5, [3, 3], "3"])
def test_a_feature_dim_that_is_no_length_is_refused(tmp_path, value):
    with pytest.raises(InputError, match=r"feature_dim of 'features' is .* must be one whole"):
        read_features(given(tmp_path / "f.h5", feature_dim=value))


def test_what_is_no_feature_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such feature file"):
        read_features(tmp_path / "gone.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        read_features(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["uids"] = [1]
    with pytest.raises(InputError, match=r"has no 'features', only \['uids'\]"):
        read_features(tmp_path / "other.h5")
    with pytest.raises(InputError, match=r"no labels/noun, only \['action'\]"):
        read_features(given(tmp_path / "f.h5"), label="noun")


@pytest.mark.parametrize("limit", [0, 1 << 28])
def test_large_files_are_checked_as_small_ones(tmp_path, monkeypatch, limit):
    monkeypatch.setattr("pipeline.studies.frames.feature_files.IN_MEMORY_BYTES", limit)
    monkeypatch.setattr("pipeline.studies.frames.feature_rows.VIDEOS_AT_ONCE", 2)
    bad = [rows(1).ravel(), rows(4).ravel(), np.append(rows(2).ravel(), 1)]
    path = given(tmp_path / "f.h5", uids="abc", features=bad, labels={"x": np.arange(3)})
    with pytest.raises(InputError, match=r"video c has .* numbers"):
        read_features(path)
    bad[2] = np.append(rows(2).ravel()[:-1], np.nan)
    path = given(tmp_path / "g.h5", uids="abc", features=bad, labels={"x": np.arange(3)})
    with pytest.raises(InputError, match="features of video c hold NaN"):
        read_features(path)


@pytest.mark.parametrize("lengths", [(1, 4, 2, 2, 3), (2, 2, 2, 2, 2)])
def test_a_group_is_copied_a_few_videos_at_a_time(tmp_path, monkeypatch, lengths):
    monkeypatch.setattr("pipeline.studies.frames.feature_rows.VIDEOS_AT_ONCE", 2)
    videos = [(f"v{i}", i % 3, rows(length, i)) for i, length in enumerate(lengths)]
    write(tmp_path / "one.h5", videos)
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "all.h5", "w") as file:
        one.copy("/", file, "val")
    taken.main(source=tmp_path / "all.h5", given=f"{tmp_path}/all.h5::val", out=tmp_path / "out.h5")
    expected, found = read_features(tmp_path / "one.h5"), read_features(tmp_path / "out.h5")
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.frame_indices, expected.frame_indices)
    assert found.uids == expected.uids and found.labels.tolist() == expected.labels.tolist()
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "out.h5") as out:
        for name in one:
            assert dict(out[name].attrs) == dict(one[name].attrs)
            if isinstance(one[name], h5py.Dataset):
                assert (out[name].dtype, out[name].chunks) == (one[name].dtype, one[name].chunks)
