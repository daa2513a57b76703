"""Stage: search for the filters of largest values, and measure what truncation saves and drops."""

from pathlib import Path

import numpy as np

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.neurons import search
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.images import read_parts
from pipeline.studies.neurons.params import (
    CoalitionsParams,
    ImagesParams,
    PlayersParams,
    SearchParams,
    SharedParams,
    WalksParams,
)
from pipeline.studies.neurons.values import read_values

VERSION = 2

THRESHOLDS = [0.12, 0.2, 0.4, 0.6]
COLUMNS = ("method", "evaluations", "decided", "recall")


def main(
    *,
    checkpoint: Path,
    values: Path,
    shared: Path,
    walks: Path,
    images: ImagesParams,
    coalitions: CoalitionsParams,
    iterations: SharedParams,
    orders: WalksParams,
    params: SearchParams,
    out: Path,
    table: Path,
    players: PlayersParams | None = None,
    device: str = "auto",
) -> None:
    """Search on network ``plain``; the receipts name the stores. ``out`` is JSON, ``table`` CSV."""
    parts, known = read_parts(images), read_values(values)
    filters = read_filters(checkpoint, parts["train"], coalitions, players, devices.resolve(device))
    ranked = parts["ranked"]
    stores = [open_store(read_receipt(receipt).store) for receipt in (shared, walks)]
    together = search.iterations(stores[0], len(ranked), coalitions, iterations)
    own = search.walks_of(stores[1], len(ranked), coalitions, orders)
    reference, errors = known.of("accuracy")
    batch = min(iterations.images, len(ranked))
    found = search.searches(filters, ranked, together, reference, batch, params)
    curve, thresholds = search.truncated(together, THRESHOLDS)
    write_table(table, COLUMNS, [{name: row[name] for name in COLUMNS} for row in found])
    content = {
        "k": params.k,
        "epsilon": params.epsilon,
        "batch": batch,
        "costs": search.costs(together, own, (errors, known.evaluations), batch),
        "searches": found,
        "agreement": search.agreement(found[2], found[0]),
        "truncation": {"curve": curve, "thresholds": thresholds},
        "filters": len(np.asarray(reference)),
    }
    write_json(out, plain(content))
