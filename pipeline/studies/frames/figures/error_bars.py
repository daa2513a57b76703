"""Means and their 95 % intervals, one line per model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipeline.core.plotting import model_style
from pipeline.studies.frames.summaries import Floats


def draw_means(
    axes: Axes,
    model: str,
    x: Sequence[int] | NDArray[np.number],
    mean: Floats,
    error: Floats,
    **changed: Any,
) -> None:
    """Draw means (point,) with bars of 1.96 standard errors, in the model's style."""
    style = {
        **model_style(model),
        "ls": "--" if model == "tsn" else "-",
    }
    axes.errorbar(x, mean, yerr=1.96 * error, ms=5, capsize=3, elinewidth=1.2, **style | changed)
