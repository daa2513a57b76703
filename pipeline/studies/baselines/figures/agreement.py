"""Draw how attributions of pictures compare: measures, and insertion and deletion curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pipeline.core.plotting import BLUE, GREEN, ORANGE, PURPLE, SKY
from pipeline.core.statistics import half_interval
from pipeline.studies.baselines.agreement import MEASURES
from pipeline.studies.baselines.attribution_files import (
    EXACT,
    SIG_ALL,
    SIG_LARGER,
    SIG_OWN,
    SIG_SMALLER,
)
from pipeline.studies.baselines.figures.pictures import METHOD_NAMES

MODEL_NAMES = {"classifier": "classifier", "distance": "distance of two pictures"}
_STYLES: dict[str, tuple[str, str, Any]] = {
    "ig_zero": (ORANGE, "o", "-"),
    "ig_mean": (ORANGE, "s", "--"),
    "ig_random": (ORANGE, "^", ":"),
    "sig_baselines": (BLUE, "o", "-"),
    "sig_inputs": (BLUE, "s", "--"),
    "sig_both": (BLUE, "^", ":"),
    SIG_OWN: (SKY, "D", "-."),
    SIG_ALL: (SKY, "D", "-."),
    SIG_LARGER: (SKY, "<", "-."),
    SIG_SMALLER: (SKY, ">", "-."),
    "effective": (GREEN, "v", "-"),
    "effective_unsampled": (GREEN, "*", ":"),
    "permutation": (PURPLE, "P", "--"),
    "permutation_pairs": (PURPLE, "d", ":"),
    EXACT: ("black", "X", "-"),
}
_SHOWN = ("pearson", "kendall", "ratio_distance", "insertion", "deletion", "ink", "spread")
_CURVES = ("ig_zero", "ig_mean", "ig_random", "sig_baselines", "sig_both", "effective", EXACT)


def draw_measures(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> Figure:
    """Methods against measures, one row of panels per model: means over pictures, 95 % intervals.

    Args:
        rows: as ``agreement.summary`` returns them; null or NaN if a measure is undefined.
        units: of each model's score.
    """
    rows = [{name: np.nan if v is None else v for name, v in row.items()} for row in rows]
    models = list(units)
    shown = [m for m in _SHOWN if any(not np.isnan(row[m]) for row in rows)]
    names = [name for name in METHOD_NAMES if any(row["method"] == name for row in rows)]
    figure, panels = plt.subplots(
        len(models),
        len(shown),
        figsize=(2.05 * len(shown) + 1.3, (0.27 * len(names) + 0.95) * len(models)),
        squeeze=False,
        sharey=True,
    )
    for model, line in zip(models, panels, strict=True):
        of_model = {row["method"]: row for row in rows if row["model"] == model}
        for measure, axes in zip(shown, line, strict=True):
            rows_shown = [of_model.get(name) for name in names]
            if all(row is None or np.isnan(row[measure]) for row in rows_shown):
                axes.set_visible(False)
                continue
            _draw_dots(axes, measure, rows_shown, names)
            title, best = MEASURES[measure].title, MEASURES[measure].best
            unit = f" ({units[model]})" if MEASURES[measure].of_score else ""
            axes.set_title(_wrapped(title), fontsize=9)
            axes.set_xlabel(f"{best} is good{unit}", fontsize=8.5)
            axes.tick_params(axis="x", labelsize=8)
        line[0].set_yticks(range(len(names)), [METHOD_NAMES[name] for name in names])
        line[0].set_ylim(len(names) - 0.5, -0.5)
        line[0].set_ylabel(MODEL_NAMES.get(model, model), fontweight="bold")
    pictures = max(row["pictures"] for row in rows)
    figure.suptitle(
        f"Attributions of {pictures} pictures: means and their 95 % intervals over pictures",
        fontsize=11,
    )
    return figure


def _draw_dots(
    axes: Any, measure: str, rows: Sequence[Mapping[str, Any] | None], names: Sequence[str]
) -> None:
    for place, (row, name) in enumerate(zip(rows, names, strict=True)):
        if row is None or np.isnan(row[measure]):
            continue
        colour, marker, _ = _STYLES[name]
        reach = np.nan_to_num(half_interval(row[f"{measure}_se"], row["pictures"]))
        axes.errorbar(
            row[measure], place, xerr=reach, fmt=marker, color=colour, ms=5, capsize=2, lw=1.2
        )


def _wrapped(title: str) -> str:
    words, lines = title.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 20:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def draw_curves(curves: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> Figure:
    """Mean insertion and deletion curves of some methods, one row of panels per model.

    Args:
        curves: of a model and method, ``insertion`` and ``deletion``: scores by the number of areas
            that are shown, or hidden.
        units: of each model's score.
    """
    figure, panels = plt.subplots(
        len(units), 2, figsize=(9.4, 3.3 * len(units)), squeeze=False, sharey="row", sharex=True
    )
    for model, line in zip(units, panels, strict=True):
        drawn = [row for row in curves if row["model"] == model and row["method"] in _CURVES]
        for kind, axes in zip(("insertion", "deletion"), line, strict=True):
            for row in drawn:
                colour, marker, style = _STYLES[row["method"]]
                axes.plot(
                    np.linspace(0, 1, len(row[kind])),
                    row[kind],
                    color=colour,
                    marker=marker,
                    ls=style,
                    ms=4,
                    lw=1.4,
                    label=METHOD_NAMES[row["method"]],
                )
            what = {"insertion": "shown", "deletion": "hidden"}[kind]
            axes.set_title(f"{MODEL_NAMES.get(model, model)}: {kind}", fontsize=10)
            axes.set_xlabel(f"share of areas {what}, highest values first")
        line[0].set_ylabel(f"mean score ({units[model]})")
    panels[0][1].legend(fontsize=8.5, loc="best", handlelength=3)
    return figure
