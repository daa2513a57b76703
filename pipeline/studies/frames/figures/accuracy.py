"""Draw accuracy against the number of frames (Play Fair, Fig. 10)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pipeline.core.plotting import GREY, MODEL_COLOURS, MODEL_MARKERS, MODEL_NAMES


def draw_accuracy(accuracy: Mapping[str, Any]) -> Figure:
    """Accuracy against the number of frames (Play Fair, Fig. 10), and on pairs of classes.

    Args:
        accuracy: what the stage ``accuracy`` writes.
    """
    frames = accuracy["frames"]
    chance = accuracy["chance"]
    panels = [
        ("top1", "all clips"),
        ("within_pairs", "pairs that differ only in order:\nthe true class ranks higher"),
        ("top1_rest", "classes without a counterpart"),
    ]
    panels = [(key, title) for key, title in panels if key in accuracy["trn"]]
    figure, all_axes = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels), 3.6), sharey=True, squeeze=False
    )
    for axes, (key, title) in zip(all_axes[0], panels, strict=True):
        for model in ("trn", "tsn"):
            values = np.array(accuracy[model][key]) * 100
            axes.plot(
                frames,
                values,
                color=MODEL_COLOURS[model],
                marker=MODEL_MARKERS[model],
                ms=5,
                label=MODEL_NAMES[model],
            )
        axes.axhline(100 * chance[key], color=GREY, ls="--", lw=1.2, label="chance")
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="frames given to the model", ylim=(0, 102))
        axes.set_xticks([n for n in frames if n % 2 == 0 or len(frames) < 6])
    all_axes[0][0].set_ylabel("validation accuracy (%)")
    all_axes[0][0].legend(loc="center right", bbox_to_anchor=(1.0, 0.3))
    return figure
