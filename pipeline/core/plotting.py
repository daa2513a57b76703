"""The style of all figures, with colours that are safe for colour-blind people."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from pipeline.core.files import replacing

# Okabe and Ito's palette; people with common kinds of colour blindness can distinguish it.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#7F7F7F",
)
MODEL_COLOURS = {"trn": BLUE, "tsn": ORANGE}
MODEL_MARKERS = {"trn": "o", "tsn": "s"}
MODEL_NAMES = {"trn": "TRN", "tsn": "TSN"}


def model_style(model: str) -> dict[str, Any]:
    """Colour, marker and label of a model; a user's own has its name."""
    return {
        "color": MODEL_COLOURS.get(model, GREEN),
        "marker": MODEL_MARKERS.get(model, "D"),
        "label": model_name(model),
    }


def model_name(model: str) -> str:
    """A model's name for people."""
    return MODEL_NAMES.get(model, model)


DIVERGING = "PuOr_r"
"""Orange above the middle and purple below it: distinguishable with any colour blindness."""
RAISES, LOWERS = VERMILION, BLUE
"""Colours of contributions above and below 0: red and blue, as in the shap package."""

_STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "savefig.bbox": "tight",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "coalition-pipeline",
}


# Fonts for other scripts in file names; figures use those that are installed.
_FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Hiragino Sans",
    "PingFang SC", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans", "Arial Unicode MS",
)  # fmt: skip


def drawable(text: str) -> str:
    """The text, with a box for every character that is missing in all fonts in use."""
    fonts = [font_manager.findfont(name) for name in mpl.rcParams["font.family"]]
    known = set().union(*(font_manager.get_font(path).get_charmap() for path in fonts))
    return "".join(c if ord(c) in known or c.isspace() else "□" for c in text)


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the project's style, without a display, inside the block."""
    installed = font_manager.get_font_names()
    fonts = [name for name in _FONTS if name in installed]
    with mpl.rc_context({**_STYLE, "font.family": fonts}):
        plt.switch_backend("agg")
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and as SVG beside it, reproducibly to the byte; close the figure."""
    _lay_out(figure)
    for target, metadata in (
        (path.with_suffix(".png"), {"Software": None}),
        (path.with_suffix(".svg"), {"Date": None}),
    ):
        with replacing(target) as temporary:
            figure.savefig(temporary, metadata=metadata)
    plt.close(figure)


def _lay_out(figure: Figure) -> None:
    """Lay panels out once, which takes longer than drawing them, and in the same way every time.

    The layout's last digits depend on where objects lie in memory, and names within an SVG depend
    on all digits.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.dpi = mpl.rcParams["savefig.dpi"]
        engine.execute(figure)
        figure.set_layout_engine("none")
    for axes in figure.axes:
        is_in_layout = axes.get_in_layout()
        points = axes.get_position(original=True).get_points()
        axes.set_position(Bbox(points.round(9)), which="original")
        axes.set_in_layout(is_in_layout)
    parts = list(figure.subfigs)
    while parts:
        part = parts.pop()
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(9))
        parts += part.subfigs
