"""Stage: draws one bar per voter."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.core.plotting import figure_style, save

VERSION = 1


def main(*, values: Path, figure: Path) -> None:
    """Draw the values of the first quota."""
    first = next(iter(json.loads(values.read_bytes()).values()))
    with figure_style():
        drawn = Figure(figsize=(3, 2))
        drawn.subplots().bar(range(1, len(first) + 1), first)
        save(drawn, figure)
