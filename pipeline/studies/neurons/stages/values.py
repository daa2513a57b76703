"""Stage: Neuron Shapley values of a subject's filters, for every metric.

No coalition is evaluated here: every metric weighs what the store holds.
"""

from pathlib import Path

from pipeline.core.tables import write_table
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.neurons.attacks import read_attack
from pipeline.studies.neurons.images import read_images
from pipeline.studies.neurons.metrics import metrics_of
from pipeline.studies.neurons.params import CoalitionsParams, ImagesParams, PairsParams, TintParams
from pipeline.studies.neurons.values import read_pairs, values_of, write_values

VERSION = 1


def main(
    *,
    subject: str,
    receipt: Path,
    images: ImagesParams,
    coalitions: CoalitionsParams,
    pairs: PairsParams,
    tint: TintParams,
    out: Path,
    table: Path,
    attacks: Path | None = None,
) -> None:
    """Value the filters; ``out`` is HDF5, ``table`` CSV: a row a metric and filter."""
    shown = read_images(images, "ranked", tint if subject == "tinted" else None)
    targets = None if attacks is None else read_attack(attacks, "ranked").targets
    store = open_store(read_receipt(receipt).store)
    masks, said = read_pairs(store, len(shown), coalitions, pairs)
    players = store.record.specification["players"]
    found = values_of(masks, said, players, metrics_of(subject, shown), targets)
    write_values(out, found)
    rows = [
        {"metric": metric, "filter": player, "value": value, "standard_error": error}
        for metric, of_metric, errors in zip(
            found.metrics, found.values, found.standard_errors, strict=True
        )
        for player, value, error in zip(found.players, of_metric, errors, strict=True)
    ]
    write_table(table, ["metric", "filter", "value", "standard_error"], rows)
