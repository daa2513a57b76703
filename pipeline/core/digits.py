"""Formats numbers with a suitable number of digits, at any scale."""

import itertools
import math
from decimal import Decimal

from pipeline.core.tables import NONE

PLAIN = range(-4, 6)
"""Powers of ten of numbers that are written without an exponent."""

ROUNDING = 1e-6
"""Relative size up to which an error counts as rounding."""


def significant(value: float, digits: int = 3) -> str:
    """A single number, to this many significant digits, without trailing zeros."""
    text = f"{value:.{digits}g}"
    return format(Decimal(text), "f") if "e" in text and _magnitude(value) in PLAIN else text


def signed(value: float, largest: float, digits: int = 2) -> str:
    """A number with its sign, to the decimals of the largest number beside it.

    Args:
        value: the number.
        largest: absolute value of the largest number beside it.
        digits: significant digits of the largest number.
    """
    return _to_scale(value, largest, digits, "+")


def apart(*values: float | None, digits: int = 3, sign: str = "") -> list[str]:
    """Numbers to be compared, with enough decimals to distinguish them from each other and from 0.

    All get the same decimals. If two more digits do not suffice, each number gets its own digits,
    at most 9.

    Args:
        values: the numbers; None and NaN are written as missing.
        digits: minimum of significant digits of the largest number.
        sign: ``+``: positive numbers get a sign too.
    """
    given = [math.nan if value is None else value for value in values]
    known = [value for value in given if math.isfinite(value)]
    largest = max(map(abs, known), default=0.0)
    # Numbers that differ by less count as equal.
    different = {round(value / (largest or 1), 9) for value in known} | {0.0}
    alike = ([_to_scale(v, largest, n, sign) for v in given] for n in range(digits, digits + 3))
    own = ([_to_scale(v, v, n, sign) for v in given] for n in range(digits, 10))
    for shown in itertools.chain(alike, own):
        if len({0.0, *(float(text) for text in shown if text != NONE)}) >= len(different):
            break
    return shown


def with_error(value: float | None, error: float | None, sign: str = "") -> str:
    """A number ± its error, with two digits of the error; without an error, four digits.

    Args:
        value: the number; None and NaN are written as missing.
        error: its error; None, NaN, 0 or an error as small as rounding count as no error.
        sign: ``+``: a positive number gets a sign too.
    """
    if value is None or math.isnan(value):
        return NONE
    if error is None or not error > ROUNDING * abs(value):
        return _to_scale(value, value, 4, sign)
    magnitude = _magnitude(max(abs(value), error))
    if magnitude not in PLAIN:
        unit = 10.0**magnitude
        return f"({with_error(value / unit, error / unit, sign)})e{magnitude:+03d}"
    # Rounded first: 0.0998 becomes 0.10.
    decimals = max(0, 1 - _magnitude(float(f"{error:.1e}")))
    return f"{_unsigned_zero(f'{value:{sign}.{decimals}f}')} ± {error:.{decimals}f}"


def _to_scale(value: float, largest: float, digits: int, sign: str) -> str:
    if math.isnan(value):
        return NONE
    magnitude = _magnitude(largest)
    if magnitude in PLAIN:
        return _unsigned_zero(f"{value:{sign}.{max(0, digits - 1 - magnitude)}f}")
    return _unsigned_zero(f"{value:{sign}.{digits - 1}e}")


def _magnitude(value: float) -> int:
    """The power of ten of a number's first digit; 0 for zero, NaN and Inf."""
    return math.floor(math.log10(abs(value))) if 0 < abs(value) < math.inf else 0


def _unsigned_zero(text: str) -> str:
    return text if float(text) else text.lstrip("+-")
