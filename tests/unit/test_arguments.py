"""Functions for Python users name a bad argument, and say what they accept."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.models.sequences import Averaging, MultiScale, SingleScale
from pipeline.shapley import shapley_values
from pipeline.studies.frames.approximation import approximate_element_shapley_values
from pipeline.studies.frames.coalition_scores import table, whole_scores
from pipeline.studies.frames.element_shapley import element_shapley_values

CLASSES, DIM = 3, 4


def trn():
    torch.manual_seed(0)
    return MultiScale([SingleScale(s, DIM, 5, CLASSES) for s in (1, 2)]).eval()


def spoiled():
    model = Averaging(DIM, CLASSES).eval()
    with torch.no_grad():
        model.classifier.weight[0, 0] = np.nan
    return model


FEATURES, EMPTY = torch.zeros(2, 3, DIM), torch.full((CLASSES,), 1 / CLASSES)
USUAL = {"model": trn(), "features": FEATURES, "empty": EMPTY, "score": "probability"}
WRONG = [
    ({"model": nn.Linear(DIM, CLASSES)}, "the model is a Linear; .*give it to pipeline.shapley"),
    ({"model": spoiled()}, "weights hold NaN or Inf"),
    ({"model": Averaging(DIM, CLASSES).double()}, "the model is torch.float64"),
    ({"features": FEATURES.numpy()}, "features are of type ndarray; a torch.Tensor"),
    ({"features": FEATURES.long()}, r"features are of type torch.int64"),
    ({"features": FEATURES[0]}, r"features have shape \(3, 4\); the model takes"),
    ({"features": FEATURES[:, :, 1:]}, r"shape \(2, 3, 3\); the model takes .*, 4\)"),
    ({"features": FEATURES[:, :0]}, "needs at least one frame"),
    ({"features": FEATURES / 0}, r"NaN or Inf in sequence\(s\) \[0, 1\]"),
    ({"score": "softmax"}, "score 'softmax': choose one of probability, logit, mean_of_softmax"),
]
WRONG_EMPTY = [
    ({"empty": EMPTY[1:]}, r"v\(∅\), are of shape \(2,\); a tensor of \(3,\) is needed"),
    ({"empty": EMPTY.numpy()}, r"v\(∅\), are of shape ndarray"),
    ({"empty": EMPTY / 0}, r"v\(∅\), hold NaN or Inf"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG + WRONG_EMPTY)
def test_arguments_of_element_shapley_values(changes, message):
    for function in (
        element_shapley_values,
        table,
        lambda **given: approximate_element_shapley_values(**given, m=4),
    ):
        with pytest.raises(InputError, match=message):
            function(**(USUAL | changes))


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_arguments_of_whole_scores(changes, message):
    given = USUAL | changes
    with pytest.raises(InputError, match=message):
        whole_scores(given["model"], given["features"], given["score"])


@pytest.mark.parametrize(
    ("classes", "found"),
    [([[0, 1]], r"\(1, 2\)"), ([[0], [3]], r"\(2, 1\)"), ([0, 1], r"\(2,\)")],
)
def test_classes_of_a_table(classes, found):
    with pytest.raises(InputError, match=f"classes have shape {found}; numbers from 0 to 2"):
        table(**USUAL, classes=torch.tensor(classes))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(8), r"of shape \(8,\); .* For one output give values\[:, None\]"),
        (np.zeros((8, 1), dtype=complex), "values are torch.complex128"),
        ([["a"]], "values are not a table of numbers"),
        (np.array([["a"]]), "values are not a table of numbers"),
        (np.zeros((7, 1)), "has 2\\*\\*n rows"),
        (np.full((8, 1), np.nan), "NaN or Inf"),
    ],
)
def test_arguments_of_shapley_values(values, message):
    with pytest.raises(InputError, match=message):
        shapley_values(values)


def test_lists_and_whole_numbers_are_tables_too():
    table = [[0], [1], [2], [5]]
    np.testing.assert_array_equal(shapley_values(table), [[2.0], [3.0]])
