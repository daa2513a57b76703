"""Tables of image networks in documents."""

from typing import Any

from pipeline.core.digits import with_error
from pipeline.core.tables import NONE, markdown_table
from pipeline.studies.shapnets.image_attributions import OTHERS, SHAPNET
from pipeline.studies.shapnets.image_claims import NAMES

NETWORKS = {
    "plain": "Deep ShapNet",
    "l1": "Deep ShapNet, ℓ1",
    "l1_all": "Deep ShapNet, ℓ1 on all stages",
    "l_infinity": "Deep ShapNet, ℓ∞",
    "cnn": "comparable CNN",
}
"""Names of networks in text."""


def image_accuracies_table(images: Any) -> str:
    """Accuracy of each network, beside the paper's (Table 2).

    Args:
        images: content of ``shapnets/images.json``.
    """
    rows = [
        [
            NETWORKS[row["network"]],
            f"{row['parameters']:,}",
            str(row["networks"]),
            with_error(row["accuracy"], row["standard_error"]),
            NONE if row["paper"] is None else f"{row['paper']:.4f}",
        ]
        for row in images["accuracies"]
    ]
    return markdown_table(["", "parameters", "trained", "accuracy", "paper"], rows)


def image_flips_table(images: Any) -> str:
    """Changes of log-odds by method, and t-scores of the network's own explanation (Table 7).

    Args:
        images: content of ``shapnets/images.json``.
    """
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for row in images["flips"]["rows"]:
        pairs.setdefault((row["source"], row["target"]), {})[row["method"]] = row
    rows = []
    for (source, target), by_method in pairs.items():
        own = by_method[SHAPNET]
        cells = [f"{source} → {target}", str(own["degrees"])]
        cells.append(with_error(own["mean"], own["standard_error"]))
        for method in OTHERS:
            row = by_method[method]
            t = NONE if row["t"] is None else f"{row['t']:z.1f}"
            cells.append(f"{with_error(row['mean'], row['standard_error'])} (t = {t})")
        rows.append(cells)
    columns = ["", "degrees of freedom", *(NAMES[method] for method in (SHAPNET, *OTHERS))]
    return markdown_table(columns, rows)


TABLES = {
    "SHAPNETS_IMAGE_ACCURACIES": ("shapnets/images.json", image_accuracies_table),
    "SHAPNETS_IMAGE_FLIPS": ("shapnets/images.json", image_flips_table),
}
"""Tables that documents may hold, by name: the JSON file below the folder of results, and what
makes Markdown of its content."""
