"""Figures of attributions of pictures: measures, curves, and the pictures with their values."""

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from scipy import stats

from pipeline.core.plotting import BLUE, GREEN, ORANGE, PURPLE, SKY
from pipeline.studies.baselines.picture_agreement import MEASURES, Compared
from pipeline.studies.baselines.picture_attributions import EXACT, SIG_ALL, SIG_OWN, Attributions

METHOD_NAMES = {
    "ig_zero": "IG, zero",
    "ig_mean": "IG, mean",
    "ig_random": "IG, random",
    "sig_baselines": "SIG 1",
    "sig_inputs": "SIG 2",
    "sig_both": "SIG 1 + 2",
    SIG_OWN: "SIG 1, own area's",
    SIG_ALL: "SIG 1, all areas'",
    "effective": "Effective Shapley",
    "effective_unsampled": "Eff. Shapley, unsampled",
    "permutation": "permutations, single",
    "permutation_pairs": "permutations, pairs",
    EXACT: "exact",
}
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
    "effective": (GREEN, "v", "-"),
    "effective_unsampled": (GREEN, "*", ":"),
    "permutation": (PURPLE, "P", "--"),
    "permutation_pairs": (PURPLE, "d", ":"),
    EXACT: ("black", "X", "-"),
}
_SHOWN = ("pearson", "kendall", "ratio_distance", "insertion", "deletion", "ink", "spread")
_CURVES = ("ig_zero", "ig_mean", "ig_random", "sig_baselines", "sig_both", "effective", EXACT)


def draw_measures(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> Figure:
    """Methods against measures, a row of panels a model: means over pictures, 95 % intervals.

    Args:
        rows: as ``picture_agreement.summary`` gives them.
        units: of each model's score.
    """
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
        reach = half_interval(row[f"{measure}_se"], row["pictures"])
        axes.errorbar(
            row[measure], place, xerr=reach, fmt=marker, color=colour, ms=5, capsize=2, lw=1.2
        )


def half_interval(error: float, count: int) -> float:
    """Half the length of the 95 % interval of a mean of ``count``, 0 where it is not known."""
    if count < 2 or np.isnan(error):
        return 0.0
    return float(stats.t.ppf(0.975, count - 1) * error)


def _wrapped(title: str) -> str:
    words, lines = title.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 20:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def draw_curves(found: Mapping[str, Sequence[Compared]], units: Mapping[str, str]) -> Figure:
    """Mean insertion and deletion curves of some methods, a row of panels a model.

    Args:
        found: measures of each model's methods.
        units: of each model's score.
    """
    figure, panels = plt.subplots(
        len(found), 2, figsize=(9.4, 3.3 * len(found)), squeeze=False, sharey="row", sharex=True
    )
    for (model, compared), line in zip(found.items(), panels, strict=True):
        for kind, axes in zip(("insertion", "deletion"), line, strict=True):
            for one in compared:
                if one.method not in _CURVES:
                    continue
                colour, marker, style = _STYLES[one.method]
                curve = getattr(one, kind)
                axes.plot(
                    np.linspace(0, 1, len(curve)),
                    curve,
                    color=colour,
                    marker=marker,
                    ls=style,
                    ms=4,
                    lw=1.4,
                    label=METHOD_NAMES[one.method],
                )
            what = {"insertion": "shown", "deletion": "hidden"}[kind]
            axes.set_title(f"{MODEL_NAMES.get(model, model)}: {kind}", fontsize=10)
            axes.set_xlabel(f"part of the areas that is {what}, highest values first")
        line[0].set_ylabel(f"mean score ({units[model]})")
    panels[0][1].legend(fontsize=8.5, loc="best", handlelength=3)
    return figure


_COLUMNS = (
    EXACT,
    "ig_zero",
    "ig_mean",
    "ig_random",
    "sig_baselines",
    "sig_inputs",
    "sig_both",
)


def draw_attributions(found: Attributions, pictures: Sequence[int], part: str = "all") -> Figure:
    """Pictures with their attributions, a row a picture and a column a method (Figs. 3–7).

    All of a row's pixels have one scale. Exact values are of areas and have a scale of their own:
    the number above them is that of the darkest area. Of large pictures, one pixel in 200 is beyond
    the scale. Of methods that draw, the first repeat is shown.

    Args:
        found: the attributions.
        pictures: which of them.
        part: ``all``, or the ``positive`` or ``negative`` part, as numbers ≥ 0.
    """
    columns = [name for name in _COLUMNS if name in found.methods]
    n_shown = 1 if found.seconds is None else 2
    n_columns = n_shown + len(columns)
    # Placed by hand: to lay so many panels out takes longer than to draw them.
    figure, grid = plt.subplots(
        len(pictures),
        n_columns + 1,
        figsize=(1.36 * n_columns + 0.6, 1.36 * len(pictures) + 0.9),
        squeeze=False,
        layout="none",
        gridspec_kw={
            "width_ratios": [1] * n_columns + [0.08],
            "wspace": 0.08,
            "hspace": 0.08,
            "left": 0.04,
            "right": 0.93,
            "bottom": 0.02,
            "top": 1 - 0.8 / (1.36 * len(pictures) + 0.9),
        },
    )
    panels = grid[:, :-1]
    for i, line in zip(pictures, grid, strict=True):
        shown = [found.pictures[i], *([] if found.seconds is None else [found.seconds[i]])]
        for axes, picture in zip(line, shown, strict=False):
            axes.imshow(_as_image(picture), cmap="gray", vmin=0, vmax=1)
        exact, *maps = (_map_of(found, name, i, part) for name in columns)
        of_areas = float(np.abs(exact).max())
        _show(line[n_shown], exact, part, of_areas or 1.0)
        line[n_shown].text(
            0.04,
            0.96,
            f"{of_areas:.2g}",
            transform=line[n_shown].transAxes,
            va="top",
            fontsize=7,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.2},
        )
        scale, is_cut = _scale(np.stack(maps))
        exponent = floor(log10(scale)) if scale < 1e-3 else 0
        for axes, values in zip(line[n_shown + 1 : -1], maps, strict=True):
            image = _show(axes, values / 10.0**exponent, part, scale / 10.0**exponent)
        beyond = ("both" if part == "all" else "max") if is_cut else "neither"
        bar = figure.colorbar(image, cax=line[-1], extend=beyond)
        bar.ax.tick_params(labelsize=7)
        bar.ax.grid(visible=False)
        times = f"$10^{{{exponent}}}$ " if exponent else ""
        bar.set_label(f"{times}{found.unit}\na pixel", fontsize=7.5)
        line[0].set_ylabel(_row_title(found, i), fontsize=8.5)
    for axes in panels.ravel():
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(True)
    titles = ["picture", "second\npicture"][:n_shown] + [METHOD_NAMES[name] for name in columns]
    titles[n_shown] = "exact,\nof areas*"
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, fontsize=9, loc="center")
    figure.suptitle(_PART_TITLES[part].format(_SCORE_TITLES[found.model]), fontsize=11)
    note = f"* {found.unit} an area, on a scale of its own: the number is that of the darkest area"
    figure.text(0.04, 0.0, note, fontsize=7.5, va="top")
    return figure


MANY_PIXELS = 32 * 32
"""From so many on, single pixels are hard to see, and a few may be darker than can be told."""
BEYOND = 0.005
"""Part of the pixels of large pictures that is beyond the scale."""


def _scale(values: NDArray[np.float64]) -> tuple[float, bool]:
    """The absolute value of the darkest colour for values (map, height, width); is any beyond?"""
    sizes = np.abs(values)
    largest = float(sizes.max())
    if values[0].size < MANY_PIXELS:
        return largest or 1.0, False
    # Of areas or channels without effect there may be so many zeros that the quantile is one.
    scale = float(np.quantile(sizes, 1 - BEYOND)) or largest
    return scale or 1.0, scale < largest


def _show(axes: Axes, values: NDArray[np.float64], part: str, largest: float) -> AxesImage:
    low = -largest if part == "all" else 0
    return axes.imshow(values, cmap=_COLOURS[part], vmin=low, vmax=largest)


# All three tell their ends apart in every common kind of colour blindness.
_COLOURS = {"all": "RdBu", "positive": "Blues", "negative": "Reds"}
_SCORE_TITLES = {
    "classifier": "the score of the predicted class",
    "distance": "the squared distance of two pictures",
}
_PART_TITLES = {
    "all": "What raises (blue) and lowers (red) {}",
    "positive": "Positive values alone: what raises {}",
    "negative": "Negative values alone: what lowers {}",
}


def _map_of(found: Attributions, name: str, picture: int, part: str) -> NDArray[np.float64]:
    """(height, width): sums over channels; of values of areas, each pixel has that of its area."""
    values = found.methods[name].values[0, picture].astype(np.float64)
    if values.ndim == 1:
        values = values[found.areas]
    if values.ndim > 2:
        values = values.sum(axis=0)
    if part == "positive":
        return np.maximum(values, 0)
    return np.maximum(-values, 0) if part == "negative" else values


def _as_image(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)


def _row_title(found: Attributions, picture: int) -> str:
    own, target = int(found.labels[picture]), int(found.targets[picture])
    name = found.classes[target] if target < len(found.classes) else str(target)
    if found.seconds is not None:
        return f"{found.classes[own]} and {name}"
    return found.classes[own] if own == target else f"{found.classes[own]}, taken\nfor {name}"
