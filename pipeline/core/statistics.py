"""Means and standard errors, significance of differences, confidence intervals."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

Verdict = Literal["better", "equal", "worse"]

MARGIN = 2
"""Standard errors of a difference up to which two numbers count as equal."""


def mean_and_error(values: NDArray[np.number | np.bool_]) -> tuple[Floats, Floats]:
    """Mean over the first axis and its standard error: (value, ...) → (...) each.

    Without values both are NaN; with one value the error is NaN.
    """
    count = len(values)
    if count == 0:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing.copy()
    numbers = values.astype(np.float64)
    mean = numbers.mean(axis=0)
    if count == 1:
        return mean, np.full_like(mean, np.nan)
    return mean, numbers.std(axis=0, ddof=1) / np.sqrt(count)


def half_interval(error: Floats | float, count: Floats | float) -> Floats:
    """Half the length of the 95 % confidence interval of a mean, by Student's t distribution.

    NaN where the error is NaN, such as for one value.

    Args:
        error: standard error of the mean.
        count: number of values.
    """
    quantile = stdtrit(np.asarray(count, dtype=np.float64) - 1, 0.975)
    return np.asarray(quantile * error, dtype=np.float64)


def known_mean(values: Floats) -> Floats:
    """Mean over the first axis without NaN: (value, ...) → (...); NaN where all values are."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def known_mean_and_error(values: Floats) -> tuple[Floats, Floats]:
    """:func:`mean_and_error` without NaN, which may be in different rows of each column."""
    mean, known = known_mean(values), ~np.isnan(values)
    count = known.sum(axis=0)
    squares = np.where(known, (values - mean) ** 2, 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(squares / (count - 1) / count)
    return mean, np.where(count > 1, error, np.nan)


def verdict(difference: float, error: float, best: Literal["high", "low"]) -> Verdict | None:
    """``better``, ``equal`` or ``worse``, from a mean difference and its standard error.

    None if either is NaN.
    """
    if np.isnan(difference) or np.isnan(error):
        return None
    gain = difference if best == "high" else -difference
    if abs(gain) <= MARGIN * error:
        return "equal"
    return "better" if gain > 0 else "worse"


def interval(frequency: float, repeats: int) -> tuple[float, float]:
    """Wilson's 95 % confidence interval of a probability, from an observed frequency."""
    from scipy import stats  # noqa: PLC0415  takes a second to load

    test = stats.binomtest(round(frequency * repeats), repeats)
    found = test.proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)


def discoveries(p_values: Sequence[float], rate: float = 0.05) -> int:
    """Number of tests that are significant at a false discovery rate (Benjamini and Hochberg).

    Bonferroni's correction does not fit here: p-values from random draws have a smallest possible
    value, and with many tests its threshold would be below that value.
    """
    from scipy import stats  # noqa: PLC0415  takes a second to load

    if not p_values:
        return 0
    return int((stats.false_discovery_control(p_values) <= rate).sum())
