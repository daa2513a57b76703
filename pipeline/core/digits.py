"""Numbers in print: as many digits as tell something, at whatever scale the numbers are."""

import itertools
import math
from decimal import Decimal

from pipeline.core.tables import NONE

PLAIN = range(-4, 6)
"""Powers of ten of numbers that are written without one."""

ROUNDING = 1e-6
"""Part of a number that an error may be and still be one of rounding alone."""


def significant(value: float, digits: int = 3) -> str:
    """A number that stands alone: to so many significant digits, without zeros at its end."""
    text = f"{value:.{digits}g}"
    return format(Decimal(text), "f") if "e" in text and _magnitude(value) in PLAIN else text


def signed(value: float, largest: float, digits: int = 2) -> str:
    """A number with its sign, to as many digits as the largest beside it needs.

    Args:
        value: the number.
        largest: size of the largest number that it stands beside.
        digits: that count in the largest one.
    """
    return _to_scale(value, largest, digits, "+")


def apart(*values: float | None, digits: int = 3, sign: str = "") -> list[str]:
    """Numbers that are compared: as many decimals of each as tell all apart, and from 0.

    Where two more digits do not suffice for that, each number has digits of its own, 9 at most.

    Args:
        values: the numbers; None and NaN are written as there being none.
        digits: that count in the largest one, at least.
        sign: ``+``: positive numbers have their sign, too.
    """
    given = [math.nan if value is None else value for value in values]
    known = [value for value in given if math.isfinite(value)]
    largest = max(map(abs, known), default=0.0)
    # What differs by less is one number that was rounded.
    different = {round(value / (largest or 1), 9) for value in known} | {0.0}
    alike = ([_to_scale(v, largest, n, sign) for v in given] for n in range(digits, digits + 3))
    own = ([_to_scale(v, v, n, sign) for v in given] for n in range(digits, 10))
    for shown in itertools.chain(alike, own):
        if len({0.0, *(float(text) for text in shown if text != NONE)}) >= len(different):
            break
    return shown


def with_error(value: float | None, error: float | None, sign: str = "") -> str:
    """A number ± its error, with two digits of the error; four of a number that has none.

    Args:
        value: the number; None and NaN are written as there being none.
        error: None, NaN, 0, or as small as rounding makes it: the number has none.
        sign: ``+``: a positive number has its sign, too.
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
    """The power of ten of a number's first digit; 0 of none."""
    return math.floor(math.log10(abs(value))) if 0 < abs(value) < math.inf else 0


def _unsigned_zero(text: str) -> str:
    return text if float(text) else text.lstrip("+-")
