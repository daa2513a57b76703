"""Explanations of images: how good they are, and what they look like (Figs. 3 to 11)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.core.digits import significant
from pipeline.core.plotting import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from pipeline.core.statistics import half_interval
from pipeline.studies.shapnets.image_attributions import METHODS
from pipeline.studies.shapnets.image_explained import Drawn

Rows = Sequence[Mapping[str, Any]]

METHOD_STYLES: dict[str, dict[str, Any]] = {
    "shapnet": {"label": "ShapNet's own", "color": BLUE, "marker": "o"},
    "integrated_gradients": {
        "label": "Integrated Gradients",
        "color": ORANGE,
        "marker": "s",
        "ls": "--",
    },
    "input_x_gradient": {"label": "input × gradient", "color": GREEN, "marker": "^", "ls": "-."},
    "deep_lift": {"label": "DeepLIFT", "color": VERMILION, "marker": "v", "ls": "--"},
    "deep_shap": {"label": "Deep SHAP", "color": PURPLE, "marker": "P", "ls": "-."},
    "saliency": {"label": "saliency", "color": SKY, "marker": "D", "ls": "--"},
    "random": {"label": "random", "color": GREY, "marker": "x", "ls": ":"},
}
NETWORK_STYLES: dict[str, dict[str, Any]] = {
    "plain": {"label": "not regularised", "color": GREY, "marker": "o"},
    "l1": {"label": "ℓ1, last stage", "color": BLUE, "marker": "s", "ls": "--"},
    "l1_all": {"label": "ℓ1, all stages", "color": GREEN, "marker": "^", "ls": "-."},
    "l_infinity": {"label": "ℓ∞, last stage", "color": VERMILION, "marker": "v", "ls": "--"},
}
MARKERS = "os^vDPX*<>"

COLUMNS = 16
"""Largest number of small pictures side by side."""

ABOVE: Any = {"loc": "outside upper center", "handlelength": 3}
"""Options of a legend for all panels."""


def reach_of(rows: Rows, count: int) -> NDArray[np.float64]:
    """Half of the 95 % intervals of means over ``count`` images."""
    errors = np.array([row["standard_error"] or 0.0 for row in rows], dtype=np.float64)
    return half_interval(errors, max(count, 2))


def draw_curve(axes: Axes, rows: Rows, count: int, scale: float, **style: Any) -> Any:
    """Values by the share of pixels, with their band; returns the line for a legend."""
    shares = np.array([100 * row["share"] for row in rows])
    values = np.array([scale * row["value"] for row in rows])
    reach = scale * reach_of(rows, count)
    (drawn,) = axes.plot(shares, values, ms=4.5, lw=1.6, markevery=2, **style)
    axes.fill_between(shares, values - reach, values + reach, color=style["color"], alpha=0.12)
    return drawn


def draw_flips(content: Mapping[str, Any]) -> Figure:
    """Changes of log-odds by method, one panel per pair of classes (Fig. 4 left, Fig. 11)."""
    flips = content["flips"]
    pairs = list(dict.fromkeys((row["source"], row["target"]) for row in flips["rows"]))
    columns = min(2, len(pairs))
    n_rows = -(-len(pairs) // columns)
    figure, all_axes = plt.subplots(
        n_rows, columns, figsize=(4.8 * columns, 2.6 * n_rows + 0.4), squeeze=False
    )
    for axes, pair in zip(all_axes.flat, pairs, strict=False):
        rows = [row for row in flips["rows"] if (row["source"], row["target"]) == pair]
        _draw_boxes(axes, rows)
        axes.set_title(f"{pair[0]} turned into {pair[1]} ({rows[0]['images']} images)")
    for axes in all_axes.flat[len(pairs) :]:
        axes.set_visible(False)
    for axes in all_axes[:, 1:].flat:
        axes.tick_params(labelleft=False)
    for axes in all_axes[-1]:
        axes.set_xlabel("change of the log-odds")
    figure.suptitle(
        f"Up to {flips['most']} pixels removed; box: half of the images, whiskers: 90 %, "
        "diamond: mean with 95 % interval",
        fontsize=9,
    )
    return figure


def _draw_boxes(axes: Axes, rows: Rows) -> None:
    """One box per method, the first at the top."""
    names = ("whislo", "q1", "med", "q3", "whishi")
    boxes = [dict(zip(names, row["quantiles"], strict=True)) for row in rows]
    styles = [METHOD_STYLES[row["method"]] for row in rows]
    places = np.arange(len(rows), 0, -1)
    found = axes.bxp(
        boxes,
        positions=places,
        widths=0.6,
        orientation="horizontal",
        showfliers=False,
        patch_artist=True,
        medianprops={"color": "black"},
    )
    for patch, style in zip(found["boxes"], styles, strict=True):
        patch.set(facecolor=style["color"], alpha=0.45)
    reach = reach_of(rows, rows[0]["images"])
    means = [row["mean"] for row in rows]
    axes.errorbar(
        means, places, xerr=reach, fmt="D", ms=4, color="black", mfc="white", capsize=2, lw=1.2
    )
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(places, [style["label"] for style in styles])
    axes.grid(visible=False, axis="y")


def draw_removal(content: Mapping[str, Any]) -> Figure:
    """The output without the least and without the top pixels (Fig. 4 middle and right)."""
    curves = content["removal"]["curves"]
    figure, both = plt.subplots(1, 2, figsize=(9.4, 4.6))
    panels = (
        ("least", "without pixels of least value", "change of the output (% of its mean)"),
        ("top", "without pixels of largest value", "output that is left (% of its mean)"),
    )
    shown: dict[str, Any] = {}
    for axes, (kind, title, label) in zip(both, panels, strict=True):
        for method in (*METHODS, "random"):
            rows = [row for row in curves if (row["kind"], row["method"]) == (kind, method)]
            style = METHOD_STYLES[method]
            shown[style["label"]] = draw_curve(axes, rows, content["images"], 100, **style)
        better = "lower is better"
        axes.set(title=f"{title}\n({better})", xlabel="pixels removed (%)", ylabel=label)
    figure.legend(shown.values(), shown, **ABOVE, ncols=4)
    return figure


def draw_pruning(content: Mapping[str, Any]) -> Figure:
    """Accuracy while a stage's values are pruned, one panel per network; and by windows skipped."""
    curves = content["pruning"]["curves"]
    networks = list(dict.fromkeys(row["network"] for row in curves))
    stages = sorted({row["stage"] for row in curves})
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(stages)))
    figure, all_axes = plt.subplots(
        1, len(networks) + 1, figsize=(3.1 * len(networks) + 3.1, 3.9), sharey=True
    )
    shown: dict[str, Any] = {}
    for axes, network in zip(all_axes[:-1], networks, strict=True):
        for number, stage in enumerate(stages):
            rows = [row for row in curves if (row["network"], row["stage"]) == (network, stage)]
            style = {"color": colours[number], "marker": MARKERS[number % len(MARKERS)]}
            shown[f"stage {stage}"] = draw_curve(axes, rows, content["images"], 100, **style)
        title = NETWORK_STYLES[network]["label"]
        axes.set(title=title, xlabel="pixels pruned (%)", ylim=(-3, 103))
    all_axes[0].set_ylabel(f"accuracy on {content['images']} images (%)")
    figure.legend(shown.values(), shown, **ABOVE, ncols=7)
    _draw_thresholds(all_axes[-1], content["pruning"]["thresholds"])
    return figure


def _draw_thresholds(axes: Axes, rows: Rows) -> None:
    """Accuracy by the share of all stages' windows that a threshold skips."""
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        skipped = [100 * (1 - np.mean(row["windows"])) for row in own]
        accuracies = [100 * row["accuracy"] for row in own]
        axes.plot(skipped, accuracies, ms=4.5, lw=1.6, **NETWORK_STYLES[network])
    axes.set(title="all stages, by threshold", xlabel="windows not computed (%)")
    axes.legend(loc="lower left", fontsize="small", handlelength=3)


def draw_regularised(content: Mapping[str, Any]) -> Figure:
    """Accuracy of each network while pixels are removed, one panel per order (Fig. 7)."""
    curves = content["regularised"]["curves"]
    orders = list(dict.fromkeys(row["order"] for row in curves))
    networks = list(dict.fromkeys(row["network"] for row in curves))
    figure, all_axes = plt.subplots(1, len(orders), figsize=(3.4 * len(orders), 4.0), sharey=True)
    shown: dict[str, Any] = {}
    for axes, order in zip(all_axes, orders, strict=True):
        for network in networks:
            rows = [row for row in curves if (row["network"], row["order"]) == (network, order)]
            style = NETWORK_STYLES[network]
            shown[style["label"]] = draw_curve(axes, rows, content["images"], 100, **style)
        axes.set(title=order, xlabel="pixels removed (%)", ylim=(-3, 103))
    all_axes[0].set_ylabel(f"accuracy on {content['images']} images (%)")
    figure.legend(shown.values(), shown, **ABOVE, ncols=4)
    return figure


def draw_layers(found: Drawn) -> Figure:
    """Images, and absolute values at each stage relative to the stage's largest (Fig. 3)."""
    n_networks, n_images, n_stages = found.stages.shape[:3]
    n_images = min(n_images, max(1, COLUMNS // (n_stages + 1)))
    figure, all_axes = plt.subplots(
        n_networks,
        n_images * (n_stages + 1),
        figsize=(0.8 * n_images * (n_stages + 1) + 1.4, 0.95 * n_networks + 1.1),
        squeeze=False,
    )
    drawn: Any = None
    for row, network in enumerate(found.networks):
        for image in range(n_images):
            first = image * (n_stages + 1)
            show_image(all_axes[row, first], found.images[image])
            for stage in range(n_stages):
                axes, values = all_axes[row, first + 1 + stage], found.stages[row, image, stage]
                largest = max(float(values.max()), np.finfo(np.float32).tiny)
                drawn = axes.imshow(values / largest, cmap="viridis", vmin=0, vmax=1)
                bare(axes)
                if row == 0:
                    axes.set_title(
                        f"stage {stage + 1}", fontsize=8, fontweight="normal", loc="center"
                    )
        _label(all_axes[row, 0], NETWORK_STYLES[network]["label"])
    figure.colorbar(
        drawn,
        ax=all_axes,
        orientation="horizontal",
        label="sum of absolute values over channels, relative to the stage's largest",
        shrink=0.5,
        aspect=40,
    )
    return figure


def draw_classes(found: Drawn) -> Figure:
    """Explanations of all classes, by network (Figs. 6 and 8 to 10)."""
    n_images = min(2, len(found.images))
    n_classes = found.explanations.shape[2]
    rows = [(network, image) for network in range(len(found.networks)) for image in range(n_images)]
    figure, all_axes = plt.subplots(
        len(rows),
        n_classes + 2,
        figsize=(0.82 * (n_classes + 1) + 2.2, 0.86 * len(rows) + 0.4),
        width_ratios=[1] * (n_classes + 1) + [0.12],
        squeeze=False,
    )
    for number, (network, image) in enumerate(rows):
        values = found.explanations[network, image]
        # One scale for the images of a network, as networks differ in the size of their scores.
        limit = float(np.abs(found.explanations[network, :n_images]).max()) or 1.0
        show_image(all_axes[number, 0], found.images[image])
        for of in range(n_classes):
            axes = all_axes[number, 1 + of]
            drawn = axes.imshow(values[of], cmap="RdBu_r", vmin=-limit, vmax=limit)
            bare(axes)
            if of == found.labels[image]:
                for spine in axes.spines.values():
                    spine.set(visible=True, color="black", linewidth=1.8)
            if number == 0:
                title = found.classes[of].replace(" ", "\n")
                axes.set_title(title, fontsize=9, fontweight="normal", loc="center")
        scale = figure.colorbar(drawn, cax=all_axes[number, -1])
        scale.ax.tick_params(labelsize=7)
        end = significant(limit, 2)
        scale.set_ticks([-limit, 0, limit], labels=[f"−{end}", "0", end])
        if image == 0:
            _label(all_axes[number, 0], NETWORK_STYLES[found.networks[network]]["label"])
    figure.suptitle(
        "What pixels add to the score of each class (red raises it, blue lowers it); framed: the "
        "image's class",
        fontsize=9,
    )
    return figure


def show_image(axes: Axes, image: NDArray[np.float32]) -> None:
    """An image (channel, height, width) in 0…1, in grey if it has one channel."""
    axes.imshow(
        image[0] if len(image) == 1 else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1
    )
    bare(axes)


def bare(axes: Axes) -> None:
    """No ticks, no grid, no frame."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label(axes: Axes, text: str) -> None:
    axes.set_ylabel(text.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=8)
