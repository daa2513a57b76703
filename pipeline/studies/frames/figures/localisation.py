"""Draw how well each method finds the frames of the action."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pipeline.core.plotting import GREY, MODEL_COLOURS, MODEL_MARKERS, MODEL_NAMES
from pipeline.core.statistics import half_interval
from pipeline.studies.frames.methods import METHODS


def draw_localisation(rows: Sequence[dict[str, Any]]) -> Figure:
    """Mean areas under ROC curves by method, with 95 % intervals, one colour per model.

    Args:
        rows: of :func:`pipeline.studies.frames.localisation.compared`.
    """
    figure, axes = plt.subplots(figsize=(6.2, 3.9))
    places = np.arange(len(METHODS))
    for shift, model in ((-0.15, "trn"), (0.15, "tsn")):
        of_model = {row["method"]: row for row in rows if row["model"] == model}
        if not of_model:
            continue
        area = np.array([of_model[name]["area"] for name in METHODS])
        error = np.array([of_model[name]["standard_error"] for name in METHODS])
        videos = of_model["esv"]["videos"]
        axes.errorbar(
            area,
            places + shift,
            xerr=half_interval(error, videos),
            fmt=MODEL_MARKERS[model],
            color=MODEL_COLOURS[model],
            ms=6,
            capsize=3,
            label=f"{MODEL_NAMES[model]}, {videos} videos",
        )
    axes.axvline(0.5, color=GREY, ls=":", lw=1.4, label="chance")
    axes.set_yticks(places, list(METHODS.values()))
    axes.invert_yaxis()
    axes.set_xlabel("frames inside above frames outside the action\n(area under the ROC curve)")
    axes.set_title("Which attributions find the action? (mean, 95 % interval)", fontsize=10)
    axes.legend(loc="best", fontsize=9)
    return figure
