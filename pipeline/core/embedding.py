"""Pictures and numbers as text that a page of HTML can hold."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEVELS = 65535
"""Steps between the least and the greatest number of a quantised table."""


@dataclass(frozen=True)
class Limits:
    """What a page shows, which bounds its size."""

    videos: int
    """the most videos"""
    classes: tuple[str, ...] | None
    """names of the classes whose videos are shown; None: all"""
    side: int
    """pixels of a picture's longer side"""


def thumbnail(pixels: NDArray[np.uint8], side: int) -> str:
    """A picture as a data URI (WebP).

    Args:
        pixels: (height, width, 3) uint8, or (height, width) in grey levels.
        side: the most pixels of the longer side; smaller pictures are left as they are.
    """
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side))
    with io.BytesIO() as file:
        picture.save(file, "WEBP", quality=70, method=4)
        return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def unit_picture(pixels: NDArray[np.floating[Any]], side: int) -> str:
    """A picture of numbers in [0, 1], or of any numbers that are stretched to it.

    Args:
        pixels: (channel, height, width), one or three channels.
        side: the most pixels of the longer side.

    Returns:
        A data URI: of a PNG, in which every pixel keeps its value, or of a smaller picture.
    """
    low, high = min(0.0, float(pixels.min())), max(1.0, float(pixels.max()))
    levels = np.round(255 * (pixels - low) / (high - low)).astype(np.uint8)
    shown = levels[0] if len(levels) == 1 else levels[:3].transpose(1, 2, 0)
    if max(shown.shape[:2]) > side:
        return thumbnail(np.ascontiguousarray(shown), side)
    with io.BytesIO() as file:
        Image.fromarray(shown).save(file, "PNG")
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def quantised(values: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Numbers with 16 bits each, for display.

    Returns:
        ``low`` and ``high``, the least and the greatest number, and ``levels``: base64 of
        little-endian uint16, where 0 stands for ``low`` and :data:`LEVELS` for ``high``.
    """
    low, high = float(values.min()), float(values.max())
    scale = LEVELS / (high - low) if high > low else 0.0
    levels = np.round((values.astype(np.float64) - low) * scale).astype("<u2")
    return {"low": low, "high": high, "levels": base64.b64encode(levels.tobytes()).decode()}


def rounded(values: Any, digits: int = 6) -> Any:
    """Numbers, in nested lists or an array, with so many significant digits; NaN becomes None."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim:
        return [rounded(each, digits) for each in found]
    return None if np.isnan(found) else float(f"{found:.{digits}g}")
