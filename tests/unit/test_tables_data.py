"""Tables of features with a target."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import InputError
from pipeline.data.tables import (
    breast_cancer,
    fetched_yeast,
    own,
    scaling_of,
    split,
    synthetic,
    yeast,
)

YEAST = """ADT1_YEAST  0.58  0.61  0.47  0.13  0.50  0.00  0.48  0.22  MIT
ADT2_YEAST  0.43  0.67  0.48  0.27  0.50  0.00  0.53  0.22  CYT
"""


def test_the_synthetic_function_is_the_papers():
    table = synthetic(3, 4000)
    assert table.features.shape == (4000, 16)
    v = table.features
    assert np.abs(v).max() <= 0.5
    noise = table.targets - v.sum(axis=1) - (v**2).sum(axis=1)
    assert noise.std() == pytest.approx(0.05, rel=0.05)
    both = synthetic(3, 4000, interactions=True)
    np.testing.assert_array_equal(both.features, v)
    assert (both.targets - table.targets).std() > 0.3


def test_public_tables(tmp_path):
    table = breast_cancer()
    assert table.features.shape == (569, 30)
    assert table.classes == ("malignant", "benign")
    (tmp_path / "yeast.data").write_text(YEAST)
    table = yeast(tmp_path)
    assert table.names[0] == "mcg"
    assert [table.classes[int(c)] for c in table.targets] == ["MIT", "CYT"]
    assert table.features[1].tolist() == [0.43, 0.67, 0.48, 0.27, 0.5, 0, 0.53, 0.22]
    assert len(table[np.array([1])]) == 1
    with pytest.raises(InputError, match="or leave yeast out"):
        yeast(Path(tmp_path, "nowhere"))
    (tmp_path / "yeast.data").write_text("a 1 2 MIT\n")
    with pytest.raises(InputError, match="eight numbers per line"):
        yeast(tmp_path)


def written(tmp_path, text):
    path = tmp_path / "my.csv"
    path.write_text(text)
    return path


def test_a_users_own_table(tmp_path):
    path = written(
        tmp_path, "age,town,cost,sick\n30,B,1.5,no\n41,A,2,yes\n52,B,,no\n63,A,1,no\n20,A,1.5,no\n"
    )
    table = own(path, "sick", kind="classification", missing="mean")
    assert table.names == ("age", "town=A", "town=B", "cost")
    assert table.classes == ("no", "yes")
    assert table.targets.tolist() == [0, 1, 0, 0, 0]
    assert table.features[:, 3].tolist() == [1.5, 2, 1.5, 1, 1.5]
    assert table.features[:, 1].tolist() == [0, 1, 0, 1, 1]
    table = own(path, "age", kind="regression", missing="mean")
    assert table.targets.tolist() == [30, 41, 52, 63, 20]
    assert table.classes is None


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("a,b\n1,x\n1,y\n2,x\n", "c", "has no column 'c'; it has a, b"),
        ("a,b\n1,x\n,y\n2,x\n", "b", "row 3 has no a; fill it in"),
        ("a,b\n1,x\n1,y\n1,x\n", "b", "column a is the same in all rows"),
        ("a,b\n1,x\nnan,y\n2,x\n", "b", r"column a holds 'nan' \(entry 2\)"),
        ("a,b\n1,x\n2,\n3,x\n", "b", "row 3 has no b; leave such rows out"),
        ("a,b\n1,x\n2,x\n", "b", "all rows have the same b, 'x'"),
        ("a,b\n1,x\n2\n", "b", "row 3 has 1 entries; the header has 2"),
        ("a,a\n1,x\n", "a", "several columns are called 'a'"),
        ("a,b\n", "b", "has a header and no rows"),
        ("", "b", "is empty"),
        ("b\n1\n2\n", "b", "no column beside the target"),
        ("a,b\np,1\nq,2\nr,1\n", "b", None),
        ("a,b,c\np,1,5\nq,2,6\n", "b", "3 features but only 2 rows"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, target, message):
    path = written(tmp_path, text)
    if message is None:
        assert own(path, target, kind="classification").features.shape == (3, 3)
        return
    with pytest.raises(InputError, match=message):
        own(path, target, kind="classification")


def test_a_target_that_is_no_number_is_refused(tmp_path):
    path = written(tmp_path, "a,b\n1,2\n2,many\n3,1\n")
    with pytest.raises(InputError, match=r"column b holds 'many' \(entry 2\)"):
        own(path, "b", kind="regression")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        own(tmp_path, "b", kind="regression")


def test_scaling_and_splits():
    features = np.random.default_rng(0).normal(3, 2, (50, 4))
    scaled = scaling_of(features, "abcd")(features)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    features[:, 2] = 7
    with pytest.raises(InputError, match="feature c is the same"):
        scaling_of(features, "abcd")
    train, test = split(50, 0.25, 0)
    assert len(test) == 12
    assert sorted([*train, *test]) == list(range(50))
    with pytest.raises(InputError, match="both parts need rows"):
        split(3, 0.0, 0)


def test_the_kind_of_a_target_follows_from_its_entries(tmp_path):
    few = "x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(30))
    assert own(written(tmp_path, few), "y").classes == ("0", "1", "2")
    many = "x,y\n" + "".join(f"{i},{i}.5\n" for i in range(30))
    assert own(written(tmp_path, many), "y").classes is None


def test_yeast_that_cannot_be_fetched_is_an_error(monkeypatch):
    def refuse(**_):
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", refuse)
    with pytest.raises(InputError, match="could not be fetched"):
        fetched_yeast()


def test_yeast_as_openml_gives_it(monkeypatch):
    class Found:
        data, target = np.zeros((2, 8)), np.array(["MIT", "CYT"])

    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: Found)
    table = fetched_yeast()
    assert table.names[0] == "mcg"
    assert [table.classes[int(c)] for c in table.targets] == ["MIT", "CYT"]
