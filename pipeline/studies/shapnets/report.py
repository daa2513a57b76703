"""Tables of the study in documents."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.claims import claims_by_row
from pipeline.core.digits import significant, with_error
from pipeline.core.tables import NONE, markdown_table
from pipeline.studies.shapnets import image_report

PAPER = {
    ("synthetic", "deep"): 0.00337,
    ("synthetic", "dnn, equal computation"): 0.00393,
    ("synthetic", "dnn, equal parameters"): 0.00662,
    ("synthetic", "shallow"): 0.00311,
    ("synthetic", "gam"): 0.00336,
    ("yeast", "deep"): 0.585,
    ("yeast", "dnn, equal computation"): 0.576,
    ("yeast", "dnn, equal parameters"): 0.575,
    ("yeast", "shallow"): 0.577,
    ("yeast", "gam"): 0.597,
    ("breast_cancer", "deep"): 0.959,
    ("breast_cancer", "dnn, equal computation"): 0.966,
    ("breast_cancer", "dnn, equal parameters"): 0.971,
    ("breast_cancer", "shallow"): 0.958,
    ("breast_cancer", "gam"): 0.969,
}
"""Table 1: losses of the synthetic table, accuracies of the others."""


def accuracies_table(content: Mapping[str, Any]) -> str:
    """Losses or accuracies of all networks, with the paper's where it has them."""
    rows = []
    for part in content["trained"]:
        for row in part["rows"]:
            paper = PAPER.get((part["source"], row["network"]))
            rows.append(
                [
                    part["source"],
                    row["network"],
                    f"{row['parameters']:,}",
                    f"{part['measure']} {with_error(row['score'], row['score error'])}",
                    NONE if paper is None else f"{paper:g}",
                ]
            )
    return markdown_table(["table", "network", "parameters", "here", "paper"], rows)


def distances_table(content: Mapping[str, Any]) -> str:
    """Relative distance to exact Shapley values by network and method."""
    methods = list(
        dict.fromkeys(r["method"] for part in content["distances"] for r in part["rows"])
    )
    rows = []
    for part in content["distances"]:
        by_network: dict[str, dict[str, Any]] = {}
        for row in part["rows"]:
            by_network.setdefault(row["network"], {})[row["method"]] = row
        for network, found in by_network.items():
            cells = [
                NONE
                if method not in found
                else with_error(found[method]["relative"], found[method]["relative error"])
                for method in methods
            ]
            rows.append([part["source"], network, *cells])
    return markdown_table(["table", "network", *methods], rows)


def times_table(content: Mapping[str, Any]) -> str:
    """Milliseconds of one explanation (Table 5)."""
    rows = content["timing"]["rows"]
    networks = list(dict.fromkeys(row["network"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    known = {(r["method"], r["network"]): 1000 * r["seconds"] for r in rows}
    return markdown_table(
        ["ms", *networks],
        [
            [m, *(significant(known[m, n]) if (m, n) in known else NONE for n in networks)]
            for m in methods
        ],
    )


PEERS = {
    ("deep", "ours"): ("Deep ShapNet, its own", "Deep ShapNet"),
    ("shallow", "ours"): ("Shallow ShapNet, its own", "Shallow ShapNet"),
    ("harsanyi", "ours"): ("HarsanyiNet, its own", "HarsanyiNet"),
    ("dnn, equal parameters", "FastSHAP"): ("DNN, FastSHAP", "DNN (eq. param.)"),
    ("dnn, equal parameters", "Kernel SHAP (default)"): (
        "DNN, Kernel SHAP (default)",
        "DNN (eq. param.)",
    ),
}
"""Networks with explanations: their labels, and the networks that were timed."""


def peers_table(content: Mapping[str, Any]) -> str:
    """Score, distance to exact values and time of networks with their explanations."""
    scores = {(c["source"], r["network"]): (c["measure"], r) for c in content["trained"]
              for r in c["rows"]}  # fmt: skip
    times = {(r["network"], r["method"]): 1000 * r["seconds"] for r in content["timing"]["rows"]}
    rows = []
    for part in content["distances"]:
        told = {(row["network"], row["method"]): row for row in part["rows"]}
        for (network, method), (label, timed) in PEERS.items():
            measure, score = scores[part["source"], network]
            row = told.get((network, method))
            rows.append(
                [
                    part["source"],
                    label,
                    f"{measure} {with_error(score['score'], score['score error'])}",
                    NONE if row is None else with_error(row["relative"], row["relative error"]),
                    significant(times[timed, method]),
                ]
            )
    columns = ["table", "network, explanation", "here", "distance", "ms"]
    return markdown_table(columns, rows)


def short_table(content: Mapping[str, Any]) -> str:
    """Relative distance of networks' own explanations to their exact Shapley values, by table."""
    networks = {
        "shallow": "Shallow ShapNet",
        "deep": "Deep ShapNet",
        "deep, consistent 1": "Deep ShapNet with the loss term",
    }
    rows = []
    for part in content["distances"]:
        found = {row["network"]: row for row in part["rows"] if row["method"] == "ours"}
        cells = [
            significant(found[name]["relative"], 2) if name in found else NONE for name in networks
        ]
        rows.append([part["source"], *cells])
    return markdown_table(["distance to exact Shapley values", *networks.values()], rows)


TABLES = {
    "SHAPNETS_SHORT": ("shapnets/tables.json", short_table),
    "SHAPNETS_CLAIMS": ("shapnets/claims.json", claims_by_row),
    "SHAPNETS_ACCURACIES": ("shapnets/tables.json", accuracies_table),
    "SHAPNETS_DISTANCES": ("shapnets/tables.json", distances_table),
    "SHAPNETS_PEERS": ("shapnets/tables.json", peers_table),
    "SHAPNETS_TIMES": ("shapnets/tables.json", times_table),
    **image_report.TABLES,
}
"""Tables that documents may hold, by name: the JSON file below the folder of results, and what
makes Markdown of its content."""
