"""Draw what the choice of removal changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pipeline.core.plotting import MODEL_NAMES
from pipeline.studies.frames.removals import REMOVALS


def draw_removal(rows: Sequence[dict[str, Any]]) -> Figure:
    """Mean rank correlation of the values by every pair of removals, one matrix per model.

    Args:
        rows: of :func:`pipeline.studies.frames.removals.compared`, of both models.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, axes = plt.subplots(
        1, len(models), figsize=(3.6 * len(models) + 1.0, 3.6), sharey=True, squeeze=False
    )
    lowest = min(0.0, *(row["rank_correlation"] for row in rows))
    for panel, model in zip(axes[0], models, strict=True):
        of_model = [row for row in rows if row["model"] == model]
        matrix = np.eye(len(REMOVALS))
        for row in of_model:
            i, j = REMOVALS.index(row["first"]), REMOVALS.index(row["second"])
            matrix[i, j] = matrix[j, i] = row["rank_correlation"]
            for x, y in ((i, j), (j, i)):
                text = f"{row['rank_correlation']:.2f}\n± {row['standard_error']:.2f}"
                text = text.replace("-", "\N{MINUS SIGN}")
                dark = row["rank_correlation"] < DARK_BELOW
                panel.text(x, y, text, ha="center", va="center", color="w" if dark else "k")
        panel.imshow(matrix, cmap="cividis", vmin=lowest, vmax=1)
        panel.set_xticks(range(len(REMOVALS)), REMOVALS)
        panel.set_yticks(range(len(REMOVALS)), REMOVALS)
        panel.grid(visible=False)
        panel.set_title(f"{MODEL_NAMES[model]}, {max(row['videos'] for row in of_model)} videos")
    axes[0][0].set_ylabel("absent frames")
    figure.supxlabel("absent frames", fontsize=10)
    figure.colorbar(
        axes[0][0].images[0],
        ax=axes,
        label="rank correlation of the values\n(mean ± standard error)",
    )
    return figure


DARK_BELOW = 0.5
"""Correlations below it lie on a dark colour."""
