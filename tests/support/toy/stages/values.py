"""Stage: Shapley values of the voters."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.shapley import shapley_values
from pipeline.store.vouching import believing
from pipeline.studies.toy.params import ValuesParams

VERSION = 1


def main(*, receipt: Path, params: ValuesParams, out: Path) -> None:
    """Values of each quota, from the store."""
    with believing(receipt) as store:
        values = shapley_values(store.read_many(range(len(store))))[:, :, 0]
        names = store.instances
    rows = {
        n: [round(float(v), params.digits) for v in row]
        for n, row in zip(names, values, strict=True)
    }
    write_json(out, rows)
