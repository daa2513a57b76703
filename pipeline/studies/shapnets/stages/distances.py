"""Stage: compare explanations of a table's rows with exact Shapley values."""

from pathlib import Path

import numpy as np
import torch

from pipeline.core.files import write_json
from pipeline.core.progress import progress
from pipeline.core.tables import plain, write_table
from pipeline.models.harsanyi import HarsanyiNet
from pipeline.shapley.exact import shapley_values
from pipeline.shapley.games import Game, table_game
from pipeline.shapley.methods import METHODS
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.shapnets import distance
from pipeline.studies.shapnets.explained import read_explained
from pipeline.studies.shapnets.game import RowGame
from pipeline.studies.shapnets.params import (
    ComparedParams,
    ExplainedParams,
    NetworksParams,
    OwnTableParams,
    TablesParams,
)
from pipeline.studies.shapnets.table_data import features_of, read_split

VERSION = 3

COLUMNS = [
    "network",
    "method",
    "rows",
    *(n for d in distance.DISTANCES for n in (d, f"{d} error", f"{d} deviation")),
]


def main(
    *,
    source: str,
    networks: list[Path],
    tables: TablesParams,
    sizes: NetworksParams,
    compared: ComparedParams,
    explained: ExplainedParams,
    out: Path,
    table: Path,
    receipt: Path | None = None,
    yeast: str | None = None,
    own: OwnTableParams | None = None,
) -> None:
    """Compare explanations with exact values; ``out`` is JSON, ``table`` CSV.

    Exact values come from the store of ``receipt``. Tables of many features have no receipt: values
    are estimated from ``explained.coalitions`` coalitions, and HarsanyiNets are left out. Their own
    values are exact, while estimates for their steep games are inaccurate.
    """
    split = read_split(source, tables, yeast, own)
    rows, features, subjects = read_explained(split, networks, sizes, compared, explained)
    training, n = features_of(split.train), features.shape[1]
    store = None if receipt is None else open_store(read_receipt(receipt).store)
    if store is None:
        subjects = [each for each in subjects if not isinstance(each.network, HarsanyiNet)]
    samples = {f"Kernel SHAP ({count})": count for count in explained.kernel}
    samples["Kernel SHAP (default)"] = 2 * n + 2048
    found: dict[tuple[str, str], list[distance.Floats]] = {}
    shares: dict[str, list[float]] = {}
    errors = []
    with progress(f"{source}: explanations", len(subjects) * len(rows), "rows") as advance:
        for subject in subjects:
            explainer = distance.trained_explainer(
                subject, training, split.n_outputs, explained.fastshap, explained.seed
            )
            for place, row in enumerate(rows):
                game: Game
                if store is not None:
                    name = f"{subject.name}, row {row}"
                    values = store.read(name).astype(np.float64)
                    exact, game = shapley_values(values), table_game(values)
                    shares.setdefault(subject.name, []).append(distance.non_additive(values))
                    scores = values[-1]
                else:
                    game = RowGame(subject, features[place], split.outputs)
                    estimate = METHODS["regression"].estimate(
                        game, budget=explained.coalitions, seed=explained.seed + place
                    )
                    exact = estimate.values
                    size = np.abs(exact).sum(axis=0)
                    errors.append(float((estimate.standard_errors.sum(axis=0) / size).mean()))
                    with torch.inference_mode():
                        scores = subject.network(features[place][None])[0].double().numpy()
                told = distance.explanations(
                    subject, features[place], game, samples, explained.seed + place, explainer
                )
                for method, values in told.items():
                    found.setdefault((subject.name, method), []).append(
                        distance.distances(exact, values, scores)
                    )
                advance(1)
    told_rows = distance.summary(found)
    write_table(table, COLUMNS, told_rows)
    content = {
        "source": source,
        "features": n,
        "exact": store is not None,
        "error of estimates": float(np.mean(errors)) if errors else None,
        "rows": told_rows,
        "non-additive": {name: float(np.nanmean(values)) for name, values in shares.items()},
    }
    write_json(out, plain(content))
