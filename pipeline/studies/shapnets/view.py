"""What the report shows of Shapley networks: explanations class by class and layer by layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.embedding import Limits, rounded, unit_picture
from pipeline.studies.shapnets.image_explained import read_drawn

LINKS = {
    "Sec. 3, Table 1": ("accuracy", "claims.csv"),
    "Sec. 3, Table 3": ("distances", "distances/synthetic.csv"),
    "Sec. 3, Table 4": ("timing", "timing.csv"),
    "Sec. 3, Fig. 4 middle": ("regularised", "claims.csv"),
    "Sec. 3, Fig. 4 right": ("regularised", "claims.csv"),
    "Sec. 3, Fig. 5": ("representations", "claims.csv"),
    "Sec. 3, Fig. 7": ("image_pruning", "images.csv"),
    "Table 2": (None, "images.csv"),
    "Theorem 2, Table 3": ("distances", "distances/synthetic.csv"),
    "Theorem 3": ("distances", "distances/synthetic.csv"),
    "Figs. 6, 8 and 9": ("image_classes", "images.csv"),
    "Figs. 6, 8 and 10": ("image_layers", "images.csv"),
    "Table 7, Figs. 4 and 11": ("image_removal", "images.csv"),
    "App. E": ("image_flips", "images.csv"),
    "App. F, Table 5": ("timing", "timing.csv"),
    "App. G, Table 3": ("distances", "distances/synthetic.csv"),
    "beyond the paper": ("consistent", "consistent/synthetic.csv"),
}
"""Figure and table of the claims, by their source in the paper."""


def view(section: Mapping[str, Any], limits: Limits) -> dict[str, Any]:  # noqa: ARG001  as in all studies
    """Data of the view of Shapley networks, for JSON."""
    found = read_drawn(Path("results/shapnets/images.h5"))
    images = [
        {
            "label": found.classes[found.labels[i]],
            "picture": unit_picture(found.images[i], limits.side),
            "networks": {
                network: {
                    "classes": rounded(found.explanations[k, i], 3),
                    "stages": rounded(found.stages[k, i], 3),
                }
                for k, network in enumerate(found.networks)
            },
        }
        for i in range(len(found.images))
    ]
    return {"classes": list(found.classes), "networks": list(found.networks), "images": images}
