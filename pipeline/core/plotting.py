"""One style for the figures of all studies, colour-blind safe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pipeline.core.files import replacing

# Okabe and Ito's palette, which the common kinds of colour blindness tell apart.
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
SUPPORTS, DISTRACTS = BLUE, VERMILION

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


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the project's style, without a display, inside the block."""
    with mpl.rc_context(_STYLE):
        plt.switch_backend("agg")
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and, beside it, SVG, and close it; the same figure, the same bytes."""
    for target, metadata in (
        (path.with_suffix(".png"), {"Software": None}),
        (path.with_suffix(".svg"), {"Date": None}),
    ):
        with replacing(target) as temporary:
            figure.savefig(temporary, metadata=metadata)
    plt.close(figure)
