"""What the report shows of filters: their values, images that activate them, removal curves."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.embedding import Limits, rounded, unit_picture
from pipeline.studies.neurons.pictures import Portraits, read_portraits
from pipeline.studies.neurons.values import read_values

RANKED = 20
"""Filters of highest and of lowest value that are listed for a metric."""

LINKS = {
    "Sec. 4": ("classes", "removal.csv"),
    "Sec. 4, App. G": ("faces", "faces.csv"),
    "Sec. 4, Fig. 1": ("pictures", "removal.csv"),
    "Sec. 4, Fig. 2": ("removal", "removal.csv"),
    "Sec. 4, Fig. 2c": ("classes", "removal.csv"),
    "Sec. 4, Fig. 3a": ("repair", "repair.csv"),
    "Sec. 4, Fig. 3b": ("vulnerable", "vulnerable.csv"),
    "Sec. 4, Fig. 3c": ("vulnerable", "vulnerable.csv"),
    "Sec. 3, App. D": ("costs", "search.csv"),
    "App. A, Fig. 4a": ("truncation", "spread.csv"),
    "App. A, Fig. 4b": ("search", "search.csv"),
    "App. A, Fig. 4c": ("spread", "spread.csv"),
}
"""Figure and table of the claims, by their source in the paper."""


def view(section: Mapping[str, Any], limits: Limits) -> dict[str, Any]:  # noqa: ARG001  as in all studies
    """Data of the view of neurons, for JSON."""
    values = read_values("results/neurons/values/plain.h5")
    ranked = {}
    for metric, of_metric, errors in zip(
        values.metrics, values.values, values.standard_errors, strict=True
    ):
        order = np.argsort(-of_metric, kind="stable")
        kept = order if len(order) <= 2 * RANKED else np.r_[order[:RANKED], order[-RANKED:]]
        ranked[metric] = [
            {"filter": values.players[p], "rank": int(np.flatnonzero(order == p)[0]) + 1,
             "value": rounded(of_metric[p]), "error": rounded(errors[p], 3)}
            for p in kept
        ]  # fmt: skip
    removal = json.loads(Path("results/neurons/removal.json").read_bytes())
    curves = [
        {name: row[name] for name in ("of", "method", "removed", "metric", "value")}
        for row in removal["overall"]
    ]
    return {
        "metrics": list(values.metrics),
        "filters": len(values.players),
        "ranked": ranked,
        "curves": curves,
        "portraits": _portraits(read_portraits(Path("results/neurons/pictures.h5")), limits.side),
    }


def _portraits(found: Portraits | None, side: int) -> list[dict[str, Any]]:
    """Images of filters; each filter was chosen for one metric."""
    if found is None:
        return []
    return [
        {
            "of": found.of[k],
            "filter": found.filters[k],
            "most": [unit_picture(picture, side) for picture in found.most[k]],
            "least": [unit_picture(picture, side) for picture in found.least[k]],
            "dreams": [unit_picture(picture, side) for picture in found.dreams[k]],
        }
        for k in range(len(found.filters))
    ]
