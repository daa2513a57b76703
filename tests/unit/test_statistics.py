"""Compares the studies' statistics with SciPy's."""

import numpy as np
import pytest
from scipy import stats

from pipeline.core.statistics import half_interval


@pytest.mark.parametrize("count", [2, 10, 1000])
def test_half_an_interval_is_that_of_students_t(count):
    low, high = stats.t.interval(0.95, count - 1, loc=3.0, scale=0.2)
    assert half_interval(0.2, count) == pytest.approx((high - low) / 2)


def test_one_value_has_no_interval():
    assert np.isnan(half_interval(np.array([np.nan]), np.array([1]))).all()
