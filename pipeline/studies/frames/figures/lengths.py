"""Draw the percentage of supporting frames against the number of frames (Figs. 6b and 11b)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.studies.frames.figures.error_bars import draw_means
from pipeline.studies.frames.summaries import Floats


def draw_lengths(
    frames: Sequence[int] | NDArray[np.integer],
    shares: Mapping[str, tuple[Floats, Floats]],
) -> Figure:
    """Percentage of supporting frames against the number of frames (Figs. 6b and 11b).

    Args:
        frames: (count,) numbers of frames given to the model.
        shares: for each model (count,) per cent and its standard error.
    """
    figure, axes = plt.subplots(figsize=(5.2, 3.6))
    for model, (share, error) in shares.items():
        draw_means(axes, model, frames, share, error)
    axes.set(xlabel="frames given to the model", ylabel="frames with ESV > 0 (%)")
    axes.set_ylim(0, 102)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(
        "Frames that support the true class\n(mean over videos, 95 % interval)", fontsize=10
    )
    axes.legend(loc="lower left", handlelength=2.8)
    return figure
