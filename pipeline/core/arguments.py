"""Checks arguments of public functions; errors say which values are allowed."""

import operator
from collections.abc import Iterable
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError


def whole(name: str, value: Any, least: int | None = 1, most: int | None = None) -> int:
    """Check a whole number, which may be numpy's or torch's; return it as int.

    Raises:
        InputError: another type (a boolean, 2.0), less than ``least``, or more than ``most``.
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    too_small = found is not None and least is not None and found < least
    if found is None or too_small or (most is not None and found > most):
        allowed = f"at least {least}, " if most is None else f"from {least} to {most}, "
        needed = "a whole number" if least is None else f"{allowed}a whole number"
        raise InputError(f"{name} {value!r}: must be {needed}")
    return found


def wholes(name: str, values: Any, least: int | None = 1) -> list[int]:
    """Check a list of whole numbers. Raises InputError as :func:`whole`, and for other types."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{name} {values!r}: give a list of whole numbers")
    return [whole(name, value, least) for value in values]


def seed_of(value: Any) -> int:
    """Check a seed. Raises InputError unless it is a whole number from 0 to 2**63 - 1."""
    return whole("seed", value, 0, 2**63 - 1)


def real(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Check a number; return it as float. Without limits, NaN and Inf are allowed.

    Raises:
        InputError: text, None, a boolean or several numbers; with limits also a number outside them
            or NaN.
    """
    limits = {"at least": least, "above": above, "below": below}
    try:
        found = None if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError):
        found = None
    if found is not None:
        enough = (least is None or found >= least) and (above is None or found > above)
        if enough and (below is None or found < below):
            return found
    words = ", ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)
    raise InputError(f"{name} {value!r}: must be a number{words and ' '}{words}")


def one_of(name: str, value: Any, allowed: Any) -> None:
    """Raise InputError unless a value is one of those of a Literal type."""
    if not isinstance(value, str) or value not in get_args(allowed):
        raise InputError(f"{name} {value!r}: must be one of {', '.join(get_args(allowed))}")


def array(name: str, values: Any, *, integers: bool = False) -> NDArray[Any]:
    """Real numbers (or integers) as an array of any shape, from an array, a tensor or a list.

    Raises:
        InputError: ``values`` holds anything else, such as text, or rows of different lengths.
    """
    needed = "integers" if integers else "real numbers"
    try:
        found = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: not an array of {needed}: {error}") from None
    if found.dtype.kind not in ("iu" if integers else "fiub"):
        is_array = found.ndim or isinstance(values, np.ndarray)
        given = f"{found.dtype} of shape {found.shape}" if is_array else type(values).__name__
        raise InputError(f"{name}: of type {given}; {needed} are needed")
    return found


def finite(name: str, values: Any) -> NDArray[np.float64]:
    """:func:`array` as float64. Raises InputError also for NaN and Inf."""
    found = array(name, values).astype(np.float64, copy=False)
    if not np.isfinite(found).all():
        raise InputError(f"{name}: of shape {found.shape}, with NaN or Inf; finite numbers needed")
    return found
