"""Tables of features with a target, as arrays: generated ones, public ones, and a user's own.

* ``synthetic``: Σ v + Σ v² + noise of 16 features (Wang et al., 2021, Section 3): no interactions.
* ``interactions``: the same with products of two and three features added.
* ``breast_cancer``: Breast Cancer Wisconsin (Diagnostic), which comes with scikit-learn.
* ``yeast``: UCI's Yeast (Nakai and Horton, 1996), the file ``yeast.data`` in a folder.
* a CSV file, with the name of the target's column.
"""

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError

Floats = NDArray[np.float64]

FEATURES, ROWS, NOISE = 16, 1500, 0.05
"""Sizes and noise of the generated tables."""

MANY_CLASSES = 10
"""Most different numbers for which a target counts as a class, unless its kind is given."""

YEAST_FEATURES = ("mcg", "gvh", "alm", "mit", "erl", "pox", "vac", "nuc")
YEAST_ON_OPENML = 181
YEAST_CLASSES = ("CYT", "NUC", "MIT", "ME3", "ME2", "ME1", "EXC", "VAC", "POX", "ERL")


@dataclass(frozen=True, eq=False)
class Table:
    """Features and targets of some rows."""

    features: Floats
    """(row, feature)"""
    names: tuple[str, ...]
    """names of the features"""
    targets: Floats
    """(row,) numbers, or the classes' numbers counted from 0"""
    classes: tuple[str, ...] | None
    """None where the target is a number"""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.targets)

    def __getitem__(self, rows: NDArray[np.integer]) -> "Table":
        """A subset of the rows."""
        return Table(self.features[rows], self.names, self.targets[rows], self.classes)


@dataclass(frozen=True, eq=False)
class Scaling:
    """The scaling of features to mean 0 and standard deviation 1."""

    mean: Floats
    sd: Floats

    def __call__(self, features: Floats) -> Floats:
        """Scaled features: (row, feature)."""
        return (features - self.mean) / self.sd


INTERACTING = frozenset(
    pair
    for some in [(0, 1), (4, 5), (8, 9), (12, 13), (0, 2, 3), (4, 6, 7)]
    for pair in itertools.combinations(some, 2)
)
"""Pairs of features that interact in the generated table with interactions."""


def synthetic(seed: int, rows: int = ROWS, *, interactions: bool = False) -> Table:
    """A generated table of numbers between −0.5 and 0.5."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(-0.5, 0.5, (rows, FEATURES))
    y = v.sum(axis=1) + (v**2).sum(axis=1) + NOISE * rng.normal(size=rows)
    if interactions:
        y += 4 * (v[:, 0::4] * v[:, 1::4]).sum(axis=1)
        y += 8 * (v[:, 0:8:4] * v[:, 2:8:4] * v[:, 3:8:4]).sum(axis=1)
    return Table(v, tuple(f"v{i + 1}" for i in range(FEATURES)), y, None)


def breast_cancer() -> Table:
    """569 tumours, 30 features: malignant or benign."""
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415  takes a second to load

    found = load_breast_cancer()
    names, classes = tuple(map(str, found.feature_names)), tuple(map(str, found.target_names))
    return Table(found.data, names, found.target.astype(float), classes)


def yeast(root: Path) -> Table:
    """1484 proteins, 8 features, 10 locations in the cell.

    Raises:
        InputError: the file does not exist, or is another one.
    """
    path = root / "yeast.data"
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; get yeast.data from UCI, or leave yeast out"
        ) from None
    try:
        numbers = np.array([[float(x) for x in line[1:-1]] for line in lines])
        targets = np.array([YEAST_CLASSES.index(line[-1]) for line in lines], dtype=float)
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: is not UCI's yeast.data: {error}") from None
    if numbers.ndim != 2 or numbers.shape[1] != len(YEAST_FEATURES):
        raise InputError(f"{path}: is not UCI's yeast.data: eight numbers per line are needed")
    return Table(numbers, YEAST_FEATURES, targets, YEAST_CLASSES)


def fetched_yeast() -> Table:
    """The same table from OpenML, through scikit-learn, which caches the download.

    Raises:
        InputError: it could not be fetched.
    """
    from sklearn.datasets import fetch_openml  # noqa: PLC0415  takes a second to load

    try:
        found = fetch_openml(data_id=YEAST_ON_OPENML, as_frame=False, parser="liac-arff")
    except (OSError, ValueError) as error:
        raise InputError(
            f"yeast: could not be fetched from OpenML ({error}); give the folder of yeast.data, or "
            "null to leave it out"
        ) from None
    said = [str(name) for name in found.target]
    targets = np.array([YEAST_CLASSES.index(name) for name in said], dtype=float)
    return Table(found.data.astype(float), YEAST_FEATURES, targets, YEAST_CLASSES)


def own(
    path: Path,
    target: str,
    *,
    kind: Literal["auto", "classification", "regression"] = "auto",
    missing: Literal["refuse", "mean"] = "refuse",
) -> Table:
    """A CSV file with a header row.

    A column whose entries are all numbers is one feature. In any other column, each category is a
    feature of 0 and 1, named ``column=category``.

    Args:
        path: the file.
        target: name of the column to predict.
        kind: whether the target is a class or a number; ``auto``: a number if all entries are
            numbers, more than ten of them different.
        missing: treatment of empty entries: refused, or replaced by the column's mean (for numbers;
            in other columns, empty is a category of its own).

    Raises:
        InputError: an entry is unusable; the message names its column and row.
    """
    header, rows = _lines(path)
    if target not in header:
        raise InputError(f"{path}: has no column {target!r}; it has {', '.join(header)}")
    features, names = [], []
    for place, name in enumerate(header):
        if name == target:
            continue
        column = [row[place] for row in rows]
        for title, values in _columns(path, name, column, missing):
            names.append(title)
            features.append(values)
    if not features:
        raise InputError(f"{path}: has no column beside the target {target!r}")
    if len(features) > len(rows):
        raise InputError(
            f"{path}: {len(features)} features but only {len(rows)} rows; leave columns out, or "
            "give more rows"
        )
    said = [row[header.index(target)].strip() for row in rows]
    empty = [number for number, text in enumerate(said) if not text]
    if empty:
        raise InputError(f"{path}: row {empty[0] + 2} has no {target}; leave such rows out")
    if kind == "auto":
        is_number = len(set(said)) > MANY_CLASSES and all(map(_is_number, said))
        kind = "regression" if is_number else "classification"
    if kind == "regression":
        return Table(np.stack(features, axis=1), tuple(names), _numbers(path, target, said), None)
    classes = tuple(sorted(set(said)))
    if len(classes) < 2:
        raise InputError(f"{path}: all rows have the same {target}, {classes[0]!r}")
    targets = np.array([classes.index(text) for text in said], dtype=float)
    return Table(np.stack(features, axis=1), tuple(names), targets, classes)


def _lines(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV: {error}") from None
    except ValueError:
        raise InputError(f"{path}: is empty; a header row and rows are needed") from None
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise InputError(f"{path}: several columns are called {doubled[0]!r}")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise InputError(
                f"{path}: row {number + 2} has {len(row)} entries; the header has {len(header)}"
            )
    if not rows:
        raise InputError(f"{path}: has a header and no rows")
    return header, rows


def _columns(
    path: Path, name: str, column: Sequence[str], missing: str
) -> list[tuple[str, Floats]]:
    """The features made from a column."""
    texts = [text.strip() for text in column]
    given = [text for text in texts if text]
    empty = [number for number, text in enumerate(texts) if not text]
    if empty and missing == "refuse":
        raise InputError(
            f"{path}: row {empty[0] + 2} has no {name}; fill it in, leave the row out, or set "
            "missing: mean"
        )
    if given and all(map(_is_number, given)):
        values = np.full(len(texts), np.nan)
        there = [number for number, text in enumerate(texts) if text]
        values[there] = _numbers(path, name, given)
        values[empty] = values[there].mean()
        found = [(name, values)]
    else:
        categories = sorted(set(texts))
        found = [
            (f"{name}={c or '(empty)'}", np.array([float(t == c) for t in texts]))
            for c in categories
        ]
    if len(found) == 1 and np.ptp(found[0][1]) == 0:
        raise InputError(f"{path}: column {name} is the same in all rows; leave it out")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: Path, name: str, texts: Sequence[str]) -> Floats:
    values = np.array([float(text) if _is_number(text) else np.nan for text in texts])
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise InputError(
            f"{path}: column {name} holds {texts[wrong[0]]!r} (entry {wrong[0] + 1}); finite "
            "numbers are needed"
        )
    return values


def scaling_of(features: Floats, names: Sequence[str]) -> Scaling:
    """The scaling of training rows (App. I.2).

    Raises:
        InputError: a feature has the same value in all rows.
    """
    sd = features.std(axis=0)
    constant = np.flatnonzero(sd == 0)
    if len(constant):
        raise InputError(
            f"feature {names[constant[0]]} is the same in all rows of training; leave it out"
        )
    return Scaling(features.mean(axis=0), sd)


def split(n_rows: int, held_out: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Random rows for training, and the rows held out for tests."""
    order = np.random.default_rng(seed).permutation(n_rows)
    count = round(held_out * n_rows)
    if not 0 < count < n_rows:
        raise InputError(f"{n_rows} rows, a share of {held_out} held out: both parts need rows")
    return np.sort(order[count:]), np.sort(order[:count])
