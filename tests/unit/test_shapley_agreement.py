import numpy as np
import pytest
from scipy import stats

from pipeline.shapley.agreement import agreement


def test_agrees_with_scipy():
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(3, 9))
    estimated = exact + rng.normal(size=(4, 3, 9))
    estimated[0, 0, :4] = estimated[0, 0, 0]  # ties
    found = agreement(estimated, exact)
    for r in range(4):
        for v in range(3):
            ours = (estimated[r, v], exact[v])
            assert found.pearson[r, v] == pytest.approx(stats.pearsonr(*ours).statistic)
            assert found.kendall[r, v] == pytest.approx(stats.kendalltau(*ours).statistic)
            error = np.abs(estimated[r, v] - exact[v]).mean()
            assert found.mean_absolute_error[r, v] == pytest.approx(error)
    moved = agreement(np.moveaxis(estimated, 2, 0), np.moveaxis(exact, 1, 0)[:, None], axis=0)
    np.testing.assert_allclose(moved.pearson, found.pearson)


def test_undefined_measures_are_nan():
    one = agreement(np.array([0.5]), np.array([0.7]))
    assert np.isnan(one.pearson)
    assert np.isnan(one.kendall)
    assert one.mean_absolute_error == pytest.approx(0.2)
    constant = agreement(np.zeros(3), np.arange(3))
    assert np.isnan(constant.pearson)
    assert np.isnan(constant.kendall)
