"""Draw pictures with their attributions."""

from collections.abc import Sequence
from math import floor, log10
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from pipeline.core.digits import significant
from pipeline.studies.baselines.attribution_files import (
    EXACT,
    SIG_ALL,
    SIG_LARGER,
    SIG_OWN,
    SIG_SMALLER,
    Attributions,
)

METHOD_NAMES = {
    "ig_zero": "IG, zero",
    "ig_mean": "IG, mean",
    "ig_random": "IG, random",
    "sig_baselines": "SIG 1",
    "sig_inputs": "SIG 2",
    "sig_both": "SIG 1 + 2",
    SIG_OWN: "SIG 1, own area's",
    SIG_ALL: "SIG 1, all areas'",
    SIG_LARGER: "SIG 1, larger areas",
    SIG_SMALLER: "SIG 1, smaller areas",
    "effective": "Effective Shapley",
    "effective_unsampled": "Eff. Shapley, unsampled",
    "permutation": "permutations, single",
    "permutation_pairs": "permutations, pairs",
    EXACT: "exact",
}

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
    """Pictures with their attributions, one row per picture and one column per method (Figs. 3–7).

    All pixels in a row share one scale. Exact values are of areas and have their own scale: the
    number in the corner is the size of the largest value. In large pictures, one pixel in 200 is
    beyond the scale. For methods with random draws, the first repeat is shown.

    Args:
        found: the attributions.
        pictures: indices of the pictures.
        part: ``all``, or the ``positive`` or ``negative`` part, as numbers ≥ 0.
    """
    columns = [name for name in _COLUMNS if name in found.methods]
    n_shown = 1 if found.seconds is None else 2
    figure, grid = _grid(len(pictures), n_shown + len(columns))
    for i, line in zip(pictures, grid, strict=True):
        _draw_row(figure, line, found, i, columns, part)
    for axes in grid[:, :-1].ravel():
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(True)
    titles = ["picture", "second\npicture"][:n_shown] + [METHOD_NAMES[name] for name in columns]
    titles[n_shown] = "exact,\nof areas*"
    for axes, title in zip(grid[0, :-1], titles, strict=True):
        axes.set_title(title, fontsize=9, loc="center")
    figure.suptitle(_PART_TITLES[part].format(_SCORE_TITLES[found.model]), fontsize=11)
    note = f"* {found.unit} per area, on its own scale; the number is the size of the largest value"
    figure.text(0.04, 0.0, note, fontsize=7.5, va="top")
    return figure


def _grid(n_rows: int, n_columns: int) -> tuple[Figure, NDArray[Any]]:
    """Panels of pictures, and a narrow one at the end of each row."""
    height = 1.36 * n_rows + 0.9
    # Placed by hand: automatic layout of so many panels takes longer than drawing them.
    figure, grid = plt.subplots(
        n_rows,
        n_columns + 1,
        figsize=(1.36 * n_columns + 0.6, height),
        squeeze=False,
        layout="none",
        gridspec_kw={
            "width_ratios": [1] * n_columns + [0.08],
            "wspace": 0.08,
            "hspace": 0.08,
            "left": 0.04,
            "right": 0.93,
            "bottom": 0.02,
            "top": 1 - 0.8 / height,
        },
    )
    return figure, grid


def _draw_row(
    figure: Figure,
    line: NDArray[Any],
    found: Attributions,
    picture: int,
    columns: Sequence[str],
    part: str,
) -> None:
    """One picture with its attributions, and the scale of its pixels."""
    shown = [found.pictures[picture]]
    if found.seconds is not None:
        shown.append(found.seconds[picture])
    for axes, image in zip(line, shown, strict=False):
        axes.imshow(_as_image(image), cmap="gray", vmin=0, vmax=1)
    of_exact, *of_maps = line[len(shown) : -1]
    exact, *maps = (_map_of(found, name, picture, part) for name in columns)
    of_areas = float(np.abs(exact).max())
    _show(of_exact, exact, part, of_areas or 1.0)
    of_exact.text(
        0.04,
        0.96,
        significant(of_areas, 2),
        transform=of_exact.transAxes,
        va="top",
        fontsize=7,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.2},
    )
    scale, is_cut = _scale(np.stack(maps))
    exponent = floor(log10(scale)) if scale < 1e-3 else 0
    for axes, values in zip(of_maps, maps, strict=True):
        drawn = _show(axes, values / 10.0**exponent, part, scale / 10.0**exponent)
    beyond = ("both" if part == "all" else "max") if is_cut else "neither"
    bar = figure.colorbar(drawn, cax=line[-1], extend=beyond)
    bar.ax.tick_params(labelsize=7)
    bar.ax.grid(visible=False)
    times = f"$10^{{{exponent}}}$ " if exponent else ""
    bar.set_label(f"{times}{found.unit}\nper pixel", fontsize=7.5)
    line[0].set_ylabel(_row_title(found, picture), fontsize=8.5)


MANY_PIXELS = 32 * 32
"""From this number on, single pixels are hard to see, and a few may lie beyond the scale."""
BEYOND = 0.005
"""Fraction of the pixels of large pictures beyond the scale."""


def _scale(values: NDArray[np.float64]) -> tuple[float, bool]:
    """Value of the darkest colour for values (map, height, width); whether any is beyond."""
    sizes = np.abs(values)
    largest = float(sizes.max())
    if values[0].size < MANY_PIXELS:
        return largest or 1.0, False
    # Areas or channels without effect may give so many zeros that the quantile is zero.
    scale = float(np.quantile(sizes, 1 - BEYOND)) or largest
    return scale or 1.0, scale < largest


def _show(axes: Axes, values: NDArray[np.float64], part: str, largest: float) -> AxesImage:
    low = -largest if part == "all" else 0
    return axes.imshow(values, cmap=_COLOURS[part], vmin=low, vmax=largest)


# The ends of all three are distinguishable in every common kind of colour blindness.
_COLOURS = {"all": "RdBu_r", "positive": "Reds", "negative": "Blues"}
_SCORE_TITLES = {
    "classifier": "the score of the predicted class",
    "distance": "the squared distance of two pictures",
}
_PART_TITLES = {
    "all": "What raises (red) and lowers (blue) {}",
    "positive": "Positive values alone: what raises {}",
    "negative": "Negative values alone: what lowers {}",
}


def _map_of(found: Attributions, name: str, picture: int, part: str) -> NDArray[np.float64]:
    """(height, width): sums over channels; each pixel gets the value of its area, if of areas."""
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
    return found.classes[own] if own == target else f"{found.classes[own]}, classified\nas {name}"
