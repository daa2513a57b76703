"""The stages of the study of baselines, as DVC sees them."""

from pipeline.studies.baselines.params import BaselinesParams, PictureSourceParams
from pipeline.studies.baselines.paths import (
    PICTURE_FIGURES,
    PICTURED,
    UTILITIES,
    given_network,
    picture_files,
    surrogates,
)
from pipeline.workflow.tracking.tracked import Stages, Tracked, drawn

MADE = "results/baselines"
STORES = "results/coalitions/baselines"


def stages(baselines: BaselinesParams) -> dict[str, Tracked]:
    """All stages of the study by name, each after those that it depends on."""
    study = Stages("baselines")
    _add_utilities(study, baselines)
    _add_pictures(study, baselines)
    judged = ("ratios", "replaced", "proportions", "agreement", "runtime")
    study.add(
        "claims",
        [f"{MADE}/claims.json", f"{MADE}/claims.csv"],
        [f"{MADE}/{name}.json" for name in judged],
    )
    return study.found


def _add_utilities(study: Stages, baselines: BaselinesParams) -> None:
    """The utility functions, and networks in their place."""
    networks = [path for utility in UTILITIES for path in surrogates(baselines, utility)]
    folder = f"{MADE}/surrogates"
    study.add("surrogates", networks, [], outs=[folder], params=["baselines.surrogates"])
    receipts = [f"{MADE}/receipts/{utility}.json" for utility in UTILITIES]
    stores = [f"{STORES}/{utility}.zarr" for utility in UTILITIES]
    study.add("tables", receipts, [folder], outs=[*stores, *receipts])
    study.add(
        "ratios",
        [
            *(f"{MADE}/ratios{part}" for part in (".json", ".csv", "_values.csv", "_counts.csv")),
            *_drawn("ratios", "ratios_error"),
        ],
        [*stores, folder],
        params=["baselines.ratios"],
    )
    parts = (".json", ".csv", "_values.csv", "_connections.csv")
    study.add(
        "replaced",
        [*(f"{MADE}/replaced{part}" for part in parts), *_drawn("surrogates", "connected")],
        [*stores, folder],
        params=["baselines.replaced"],
    )
    study.add(
        "proportions",
        [f"{MADE}/proportions.json", f"{MADE}/proportions.csv", *_drawn("proportions")],
        stores,
        params=["baselines.proportions"],
    )


def _add_pictures(study: Stages, baselines: BaselinesParams) -> None:
    """Models of pictures, and attributions of what they say."""
    files = picture_files(baselines)
    source = [f"baselines.pictures.{name}" for name in PictureSourceParams.model_fields]
    for name in ("classifier", "embedding"):
        study.add(
            name,
            [f"{MADE}/{name}.pt", f"{MADE}/{name}.json"],
            [*files, *given_network(getattr(baselines, name))],
            params=[*source, f"baselines.{name}"],
        )
    inputs = [f"{MADE}/classifier.pt", f"{MADE}/embedding.pt", *files]
    receipts = [f"{MADE}/receipts/{name}.json" for name in PICTURED]
    stores = [f"{STORES}/{name}.zarr" for name in PICTURED]
    players = ["baselines.pictures", "baselines.coalitions"]
    study.add(
        "coalitions",
        receipts,
        inputs,
        outs=[*stores, *receipts],
        params=players,
        rules=["baselines_game", "baselines_coalitions", "baselines_receipts"],
    )
    attributions = [f"{MADE}/attributions/{name}.h5" for name in PICTURED]
    study.add(
        "attributions",
        attributions,
        [*stores, *inputs],
        params=[*players, "baselines.attributions"],
    )
    study.add(
        "agreement",
        [
            *(f"{MADE}/agreement{part}" for part in (".json", ".csv", "_pictures.csv")),
            *_drawn("agreement", "insertion"),
        ],
        [*stores, *attributions],
        params=["baselines.agreement"],
    )
    study.add(
        "figures",
        [f"{MADE}/figures.json", *_drawn(*PICTURE_FIGURES)],
        attributions,
        params=["baselines.figures"],
    )
    study.add(
        "runtime",
        [f"{MADE}/runtime.json", f"{MADE}/runtime.csv"],
        inputs,
        params=["device", *players, "baselines.attributions", "baselines.runtime"],
    )


def _drawn(*names: str) -> list[str]:
    return drawn(*names, study="baselines")
