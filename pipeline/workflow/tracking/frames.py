"""The stages of the study of frames, as DVC sees them."""

from collections.abc import Callable, Mapping

from pipeline.studies.frames.params import FramesParams
from pipeline.studies.frames.paths import (
    RENDERED,
    class_files,
    dataset_files,
    feature_file,
    given_weights,
    has_videos,
    model_weights,
    skipped_files,
)
from pipeline.workflow.tracking.tracked import Stages, Tracked, drawn

MODELS = ("trn", "tsn")
SPLITS = ("train", "validation")


def stages(frames: FramesParams) -> dict[str, Tracked]:
    """All stages of the study by name, each after those that it depends on."""
    study = Stages("frames")
    add = study.add
    dataset = tuple(dataset_files(frames)) if has_videos(frames) else ()
    root = ("frames.dataset.root",)
    given = frames.features.trn is not None
    label = ("frames.features.label",) if given else ()
    made = "results/frames"

    features = {m: {s: feature_file(frames, m, s) for s in SPLITS} for m in MODELS}
    if has_videos(frames) and frames.dataset.root is None:
        add("videos", [RENDERED], [], params=["frames.videos"])
    if not given:
        weights = [path for model in MODELS for path in given_weights(frames, model)]
        backbones = [f"{made}/backbone/{model}.pt" for model in MODELS]
        add(
            "backbone",
            backbones,
            [*dataset, *weights],
            params=["frames.backbone", "frames.decoding", "frames.dataset.train_clips", *root],
        )
        tables = [f"{made}/features/skipped_{split}.csv" for split in SPLITS]
        add(
            "features",
            [*(features[m][s] for m in MODELS for s in SPLITS), *tables],
            [*dataset, *backbones],
            params=[
                "frames.decoding",
                "frames.dataset.train_clips",
                "frames.dataset.validation_clips",
                *root,
            ],
        )
        add(
            "skipped",
            skipped_files(frames),
            [*tables, *features["trn"].values()],
            params=["frames.dataset.max_skipped"],
        )
    priors = f"{made}/priors.json"
    named = frames.features.classes is not None  # then no data set is asked for the names
    add(
        "priors",
        [priors],
        [features["trn"]["train"], *class_files(frames)],
        params=[*(() if named else root), "frames.features.classes", *label],
    )
    scales = model_weights(frames, "trn")
    add(
        "scales",
        scales,
        [features["trn"]["train"], priors],
        outs=[f"{made}/scales"],
        params=["frames.scales", *label],
    )
    classifier = model_weights(frames, "tsn")
    add(
        "tsn",
        classifier,
        [features["tsn"]["train"], priors],
        params=["frames.tsn", *label],
    )
    models = [f"{made}/scales", *classifier]
    validation = [features[model]["validation"] for model in MODELS]
    accuracy = f"{made}/accuracy.json"
    add(
        "accuracy",
        [accuracy, f"{made}/accuracy.csv"],
        [*validation, *models, priors, *dataset],
        params=["frames.accuracy", *root, *label],
    )
    stores = [f"results/coalitions/frames/{model}.zarr" for model in MODELS]
    receipts = [f"{made}/receipts/{model}.json" for model in MODELS]
    add(
        "coalitions",
        receipts,
        [*validation, *models, priors],
        outs=[*stores, *receipts],
        params=["frames.coalitions", *label],
        rules=["frames_game", "frames_coalitions", "frames_receipts"],
    )
    values = [f"{made}/values/{model}.h5" for model in MODELS]
    add(
        "values",
        [*values, *(f"{made}/values/{model}.csv" for model in MODELS)],
        [*stores, *validation],
        params=label,
    )
    _add_analyses(add, features, (stores, values), [*models, priors], accuracy, label)
    summary = f"{made}/figures/summary.json"
    add(
        "figures",
        [f"{made}/figures/clips", *_drawn("accuracy", "summary"), summary],
        [*values, accuracy, priors, *dataset],
        metrics=[summary],
        params=["frames.figures", *root],
    )
    return study.found


def _add_analyses(
    add: Callable[..., None],
    features: Mapping[str, Mapping[str, str]],
    explained: tuple[list[str], list[str]],
    models: list[str],
    accuracy: str,
    label: tuple[str, ...],
) -> None:
    """What is made of the values and the models.

    ``explained``: stores and values. ``models``: their weights, and the classes' priors.
    """
    made = "results/frames"
    stores, values = explained
    priors = models[-1]
    validation = [features[model]["validation"] for model in MODELS]
    players = [f"frames.coalitions.{name}" for name in ("n", "score", "short_videos", "clips")]
    score, short = "frames.coalitions.score", "frames.coalitions.short_videos"
    training = [features[model]["train"] for model in MODELS]
    gradients = [f"{made}/gradients/{model}.h5" for model in MODELS]
    add(
        "gradients",
        gradients,
        [*validation, *training, *models],
        params=["frames.gradients", *players, *label],
    )
    add(
        "discarded",
        [
            *(f"{made}/discarded{part}" for part in (".json", ".csv", "_areas.csv")),
            *_drawn("discarded_attribution", "discarded_plain", "discarded_methods"),
        ],
        [*stores, *values, *gradients],
        params=["frames.discarded"],
    )
    tables = [
        f"{made}/patterns/{name}.csv" for name in ("contributions", "positions", "confusions")
    ]
    add(
        "patterns",
        [
            f"{made}/patterns.json",
            *tables,
            *_drawn("contributions", "most_alike", "least_alike", "confusions"),
        ],
        [*stores, *values, priors],
        params=["frames.patterns"],
    )
    both = [*validation, *models]
    for name, figure in (("lengths", "supporting"), ("shifted", "shifted")):
        receipts = [f"{made}/receipts/{model}_{name}.json" for model in MODELS]
        files = [f"{made}/{name}.json", f"{made}/{name}.csv", *receipts, *_drawn(figure)]
        add(
            name,
            files,
            both,
            versions=_games(name),
            outs=[*(f"results/coalitions/frames/{m}_{name}.zarr" for m in MODELS), *files],
            params=[
                f"frames.{name}",
                *(("frames.coalitions.n",) if name == "shifted" else ()),
                score,
                *label,
            ],
        )
    games = ("trn_convergence", "tsn_convergence", "tsn_sampled")
    compared = [
        f"{made}/convergence.json",
        f"{made}/convergence.csv",
        *(f"{made}/receipts/{game}.json" for game in games),
        *_drawn("algorithm_1_trn", "algorithm_1_tsn", "estimators_trn", "estimators_tsn"),
    ]
    kept = [f"results/coalitions/frames/{game}.zarr" for game in games]
    add(
        "convergence",
        compared,
        both,
        versions=_games("convergence"),
        outs=[*kept, *compared],
        params=["frames.convergence", score, short, *label],
    )
    tried = [
        f"frames.convergence.{name}" for name in ("trn_frames", "tsn_frames", "m", "iterations")
    ]
    add(
        "runtime",
        [f"{made}/runtime{part}" for part in (".json", ".csv", "_grid.csv")],
        both,
        params=["device", "frames.runtime", *tried, *label],
    )
    judged = ("discarded", "patterns", "lengths", "shifted", "convergence", "runtime")
    add(
        "claims",
        [f"{made}/claims.json", f"{made}/claims.csv"],
        [accuracy, *(f"{made}/{name}.json" for name in judged)],
    )


def _games(name: str) -> list[str]:
    """Versions of a stage that fills stores of its own."""
    return [f"frames.{name}", f"frames.{name}_games", "frames.coalitions"]


def _drawn(*names: str) -> list[str]:
    return drawn(*names, study="frames")
