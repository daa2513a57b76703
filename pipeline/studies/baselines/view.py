"""What the report shows of pictures: exact values of areas beside IG and SIG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.embedding import Limits, rounded, unit_picture
from pipeline.studies.baselines.attribution_files import OF_AREAS, Attributions, read_attributions
from pipeline.studies.baselines.figures.pictures import METHOD_NAMES

MOST_PICTURES = 24
MOST_SIDE = 32
"""Attributions of larger pictures are summed over blocks of pixels."""

SHOWN = (
    *("exact", "ig_zero", "ig_mean", "ig_random", "sig_baselines", "sig_inputs", "sig_both"),
    *("effective", "permutation"),
)

LINKS = {
    "Fig. 2": ("surrogates", "ratios.csv"),
    "Fig. 2, Section 5": ("surrogates", "ratios.csv"),
    "Fig. 3": ("pictures_classifier", "agreement.csv"),
    "Fig. 4": ("pictures_classifier", "agreement.csv"),
    "Fig. 5": ("pictures_distance_positive", "agreement.csv"),
    "Figs. 6, 7; B.1": ("agreement", "agreement.csv"),
    "Fig. 7; B.1": ("agreement", "agreement.csv"),
    "Fig. 8": ("ratios", "ratios.csv"),
    "Fig. 9": ("ratios_error", "ratios.csv"),
    "B.1": ("agreement", "agreement.csv"),
    "Section 4.3": ("connected", "replace_connections.csv"),
    "Section 5": ("agreement", "runtime.csv"),
    "Theorem 2": ("proportions", "proportions.csv"),
    "Theorem 3": ("proportions", "proportions.csv"),
    "Eq. 5": ("connected", "replace.csv"),
    "Abstract": ("agreement", "agreement.csv"),
}
"""Figure and table of the claims, by their source in the paper."""


def view(section: Mapping[str, Any], limits: Limits) -> dict[str, Any]:  # noqa: ARG001  as in all studies
    """Data of the view of pictures, for JSON."""
    models = {}
    for model in ("classifier", "distance"):
        found = read_attributions(Path(f"results/baselines/attributions/{model}.h5"))
        models[model] = _model(found, limits.side)
    return {"models": models, "methods": {name: METHOD_NAMES[name] for name in SHOWN}}


def _model(found: Attributions, side: int) -> dict[str, Any]:
    count = min(MOST_PICTURES, len(found.pictures))
    areas = np.asarray(found.areas)
    pictures = [
        {
            "id": found.instances[i],
            "label": found.classes[found.labels[i]],
            "target": found.classes[found.targets[i]],
            "picture": unit_picture(found.pictures[i], side),
            "second": None if found.seconds is None else unit_picture(found.seconds[i], side),
            "values": {name: _values(found, name, i, areas) for name in SHOWN},
        }
        for i in range(count)
    ]
    return {
        "unit": found.unit,
        "source": found.source,
        "of": len(found.pictures),
        "pictures": pictures,
    }


def _values(
    found: Attributions, name: str, i: int, areas: NDArray[np.integer[Any]]
) -> dict[str, Any]:
    """A method's values of a picture as a matrix, and their sums over areas."""
    if name not in found.methods:
        return {}
    values = found.methods[name].values[0, i].astype(np.float64)
    of_areas = found.of_areas(name)[0, i]
    matrix = of_areas[areas] if name in OF_AREAS else blocks(values.sum(axis=0))
    return {"matrix": rounded(matrix, 3), "areas": rounded(of_areas, 5)}


def blocks(values: NDArray[np.float64], most: int = MOST_SIDE) -> NDArray[np.float64]:
    """Sums over blocks, so that no side is longer than ``most``: (height, width) → smaller."""
    height, width = values.shape
    step = max(1, -(-max(height, width) // most))
    rows = np.add.reduceat(values, np.arange(0, height, step), axis=0)
    return np.add.reduceat(rows, np.arange(0, width, step), axis=1)
