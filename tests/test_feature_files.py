import h5py
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.frames.feature_files import feature_writer, read_features

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
        ({"uids": ("a", "a")}, "uid 'a' stands twice"),
        ({"uids": ("a", "../b")}, "uid '../b' is no plain name"),
        ({"uids": ("a",)}, "2 features, 1 uids and 2 labels"),
        ({"labels": {"action": np.array([1, 9])}}, "video b has class 9; allowed are 0 to 4"),
        ({"labels": {"action": np.array([1, -1])}}, "video b has class -1; allowed are 0 to 4"),
        ({"labels": {"action": np.array([0.5, 1])}}, "must hold class numbers, not float64"),
        (
            {"labels": {"p": np.array([1, 0]), "q": np.array([1, 0])}},
            r"labels \['p', 'q'\]; say by",
        ),
        ({"uids": (), "features": [], "labels": {"action": np.empty(0, int)}}, "holds no videos"),
    ],
)
def test_unusable_files_are_refused(tmp_path, changes, message):
    path = given(tmp_path / "f.h5", **changes)
    with pytest.raises(InputError, match=message) as error:
        read_features(path, n_classes=5)
    assert "f.h5" in str(error.value)


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
