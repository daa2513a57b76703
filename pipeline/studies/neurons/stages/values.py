"""Stage: compute Neuron Shapley values of a subject's filters for every metric.

All values come from the store; the network does not run.
"""

from pathlib import Path

from pipeline.core.tables import write_table
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.neurons.metrics import metrics_of
from pipeline.studies.neurons.params import CoalitionsParams, PairsParams
from pipeline.studies.neurons.values import images_of, read_pairs, values_of, write_values

VERSION = 1


def main(
    *,
    subject: str,
    receipt: Path,
    coalitions: CoalitionsParams,
    pairs: PairsParams,
    out: Path,
    table: Path,
) -> None:
    """Value the filters; ``out`` is HDF5, ``table`` CSV with one row per metric and filter."""
    store = open_store(read_receipt(receipt).store)
    images, targets = images_of(store)
    masks, said = read_pairs(store, len(images), coalitions, pairs)
    players = store.record.specification["players"]
    found = values_of(masks, said, players, metrics_of(subject, images), targets)
    write_values(out, found)
    rows = [
        {"metric": metric, "filter": player, "value": value, "standard_error": error}
        for metric, of_metric, errors in zip(
            found.metrics, found.values, found.standard_errors, strict=True
        )
        for player, value, error in zip(found.players, of_metric, errors, strict=True)
    ]
    write_table(table, ["metric", "filter", "value", "standard_error"], rows)
