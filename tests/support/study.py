"""A study of frames in a separate folder, whose stages run in this process."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import stages

from pipeline.studies.frames.feature_files import feature_writer
from pipeline.studies.frames.params import GameParams, GridParams

SPLITS = ("train", "validation")
MODELS = ("trn", "tsn")
DRAWN = {
    "discard": ("discard_attribution", "discard_plain", "discard_methods"),
    "patterns": ("contributions", "most_alike", "least_alike", "confusions"),
    "lengths": ("lengths",),
    "shift": ("shift",),
    "convergence": ("algorithm_1_trn", "algorithm_1_tsn", "estimators_trn", "estimators_tsn"),
}
"""Figures of each stage that draws any."""
OF_GAMES = ("lengths", "shift", "removal", "convergence")
"""Stages that have games of their own."""


@dataclass(frozen=True)
class Study:
    """Paths of all files of a run."""

    folder: Path
    params: object

    @property
    def root(self):
        return self.folder / "videos"

    def features(self, model, split):
        return self.folder / f"features/{model}_{split}.h5"

    def weights(self, model):
        if model == "tsn":
            return [self.folder / "tsn.pt"]
        return [self.folder / f"scales/{s}.pt" for s in range(1, self.params.scales.n_max + 1)]

    @property
    def priors(self):
        return self.folder / "priors.json"

    def store(self, game):
        return stages.stored(self.folder, "frames", game)

    def receipt(self, game):
        return self.folder / f"receipts/{game}.json"

    def values(self, model):
        return self.folder / f"values/{model}.h5"

    def gradients(self, model):
        return self.folder / f"gradients/{model}.h5"

    def figure(self, name):
        return self.folder / f"figures/{name}.png"

    def each(self, paths):
        """One path per model, for stages that compare the models."""
        return [paths(model) for model in MODELS]

    def with_params(self, **sections):
        """The same files with other sections of parameters."""
        return replace(self, params=self.params.model_copy(update=sections))


def run(study, stage, **options):
    stages.run(f"frames_{stage}", study.folder, **options)


def make_videos(study):
    run(study, "videos", params=study.params.videos, out=study.root, threads=1)


def make_backbone(study, model):
    run(
        study,
        "backbone",
        model=model,
        root=study.root,
        decoding=study.params.decoding,
        params=study.params.backbone,
        out=study.folder / f"backbone/{model}.pt",
        device="cpu",
    )


def extract_features(study, split):
    run(
        study,
        "features",
        root=study.root,
        split=split,
        backbones=study.each(lambda model: study.folder / f"backbone/{model}.pt"),
        decoding=study.params.decoding,
        trn=study.features("trn", split),
        tsn=study.features("tsn", split),
        skipped=study.folder / f"skipped_{split}.csv",
        device="cpu",
        threads=2,
    )


def make_features(study):
    for model in MODELS:
        make_backbone(study, model)
    for split in SPLITS:
        extract_features(study, split)
    check_skipped(study)


def check_skipped(study):
    run(
        study,
        "skipped",
        tables=[study.folder / f"skipped_{split}.csv" for split in SPLITS],
        features=[study.features("trn", split) for split in SPLITS],
        max_skipped=study.params.dataset.max_skipped,
        out=study.folder / "skipped.csv",
    )


def make_models(study):
    p = study.params
    trn_train, tsn_train = study.features("trn", "train"), study.features("tsn", "train")
    run(study, "priors", features=trn_train, root=study.root, out=study.priors)
    of_both = {"priors": study.priors, "device": "cpu"}
    for scale, out in enumerate(study.weights("trn"), start=1):
        run(study, "scales", features=trn_train, scale=scale, params=p.scales, out=out, **of_both)
    joint = study.folder / "joint.pt"
    run(study, "joint", features=trn_train, params=p.scales, out=joint, **of_both)
    run(study, "tsn", features=tsn_train, params=p.tsn, out=study.weights("tsn")[0], **of_both)


def given(study, game):
    """Arguments that open a game."""
    model, _, kind = game.partition("_")
    p = study.params
    needs = {
        "": {"coalitions": p.coalitions},
        "lengths": {"lengths": p.lengths},
        "shift": {"shift": p.shift, "n": p.coalitions.n},
        "removal": {"removal": p.removal, "short_videos": p.coalitions.short_videos},
        "convergence": {
            "convergence": p.convergence,
            "short_videos": p.coalitions.short_videos,
        },
    }
    return {
        "features": study.features(model, "validation"),
        "weights": study.weights(model),
        "priors": study.priors,
        **({"score": p.coalitions.score} if kind else {}),
        **needs[kind],
    }


def part(study, game, index, parts):
    """Receipt of a partition of a game."""
    return study.folder / f"parts/{game}/{index}_of_{parts}.json"


def plan(study, game):
    stages.plan(study.folder, "frames", game, **given(study, game))


def evaluate(study, game, index=0, parts=1):
    receipt = part(study, game, index, parts)
    return stages.evaluate(
        study.folder, "frames", game, receipt, index, parts, **given(study, game)
    )


def merge(study, game, parts=1):
    receipts = [part(study, game, index, parts) for index in range(parts)]
    options = {"study": "frames", "game": game, "given": {}, "partitions": receipts}
    stages.run("frames_merge", study.folder, receipt=study.receipt(game), **options)


def play(study, game, *, parts=1):
    """Fill the store of a game."""
    plan(study, game)
    for index in range(parts):
        evaluate(study, game, index, parts)
    merge(study, game, parts)


def make_values(study, model):
    out = study.values(model)
    files = {"receipt": study.receipt(model), "out": out, "table": out.with_suffix(".csv")}
    run(study, "values", model=model, **files)


def run_game(params):
    return GameParams.model_validate(params.coalitions.model_dump(exclude={"outputs"}))


def make_gradients(study, model, **changes):
    options = {
        "model": model,
        "features": study.features(model, "validation"),
        "train_features": study.features(model, "train"),
        "weights": study.weights(model),
        "priors": study.priors,
        "game": run_game(study.params),
        "params": study.params.gradients,
        "out": study.gradients(model),
        "device": "cpu",
    }
    run(study, "gradients", **options | changes)


def both_models(study):
    """Options of stages that evaluate both models."""
    return {
        "trn_features": study.features("trn", "validation"),
        "tsn_features": study.features("tsn", "validation"),
        "scales": study.weights("trn"),
        "tsn": study.weights("tsn")[0],
        "priors": study.priors,
        "device": "cpu",
    }


def options_of(study, stage):
    """Options of a stage that comes after the values."""
    p, folder, values = study.params, study.folder, study.each(study.values)
    receipts = {"receipts": study.each(study.receipt)}
    out, table = {"out": folder / f"{stage}.json"}, {"table": folder / f"{stage}.csv"}
    if stage in OF_GAMES:
        receipts = {"receipts": study.each(lambda model: study.receipt(f"{model}_{stage}"))}
    if stage.startswith("draw_"):
        drawn = stage.removeprefix("draw_")
        more = {
            "discard": {"curves": folder / "discard.csv"},
            "patterns": {"priors": study.priors},
        }
        figures = [study.figure(name) for name in DRAWN[drawn]]
        return {"numbers": folder / f"{drawn}.json", "figures": figures, **more.get(drawn, {})}
    of_stage = {
        "accuracy": lambda: {
            **both_models(study),
            "params": p.accuracy,
            "score": p.coalitions.score,
            **{f"{m}_training": study.features(m, "train") for m in ("trn", "tsn")},
            "joint": folder / "joint.pt",
            "curve": folder / "accuracy.csv",
            "root": study.root,
        },
        "figures": lambda: {
            "values": values,
            "accuracy": folder / "accuracy.json",
            "classes": study.priors,
            "params": p.figures,
            "clips": folder / "figures/clips",
            "accuracy_figure": study.figure("accuracy"),
            "summary_figure": study.figure("summary"),
            "summary": folder / "figures/summary.json",
            "root": study.root,
        },
        "discard": lambda: {
            **receipts,
            "values": values,
            "gradients": study.each(study.gradients),
            "params": p.discard,
            "curves": folder / "discard.csv",
            "areas": folder / "discard_areas.csv",
        },
        "patterns": lambda: {
            **receipts,
            "values": values,
            "priors": study.priors,
            "params": p.patterns,
            "contributions": folder / "patterns/contributions.csv",
            "positions": folder / "patterns/positions.csv",
            "pairs": folder / "patterns/confusions.csv",
        },
        "interactions": lambda: {
            **receipts,
            **table,
            "values": values,
            "classes": study.priors,
            "params": p.interactions,
            "root": study.root,
            "figure": study.figure("interactions"),
        },
        "localisation": lambda: {
            **receipts,
            **both_models(study),
            **table,
            "values": values,
            "gradients": study.each(study.gradients),
            "params": p.localisation,
            "game": run_game(p),
            "root": study.root,
            "figure": study.figure("localisation"),
            "attributions": folder / "attributions.h5",
        },
        "lengths": lambda: receipts | table,
        "shift": lambda: receipts | table,
        "removal": lambda: receipts | table | {"figure": study.figure("removal")},
        "convergence": lambda: {
            **receipts,
            **both_models(study),
            **table,
            "params": p.convergence,
            "score": p.coalitions.score,
            "short_videos": p.coalitions.short_videos,
            "sampled": study.receipt("tsn_sampled"),
        },
        "runtime": lambda: {
            **both_models(study),
            **table,
            "params": p.runtime,
            "tried": GridParams.model_validate(
                p.convergence.model_dump(include=set(GridParams.model_fields))
            ),
            "timed_on": "cpu",
            "grid": folder / "runtime_grid.csv",
        },
    }
    return ({} if stage == "figures" else out) | of_stage[stage]()


def make(study, stage, **changes):
    """Run a stage that comes after the values; first fill the stores of its further games."""
    if stage in OF_GAMES:
        for model in MODELS:
            play(study, f"{model}_{stage}")
    run(study, stage, **options_of(study, stage) | changes)


def make_feature_files(study, *, dim=8):
    """Feature files without videos, of six classes; the last has no validation videos."""
    folder = study.root / "labels"
    folder.mkdir(parents=True)
    (folder / "labels.json").write_text(json.dumps({f"Class {c}": str(c) for c in range(6)}))
    for number, model in enumerate(MODELS):
        rng = np.random.default_rng(number)
        means = rng.normal(size=(6, dim))
        for split, labels in (("train", np.arange(60) % 6), ("validation", np.arange(15) % 5)):
            with feature_writer(study.features(model, split)) as append:
                for video, label in enumerate(labels):
                    length = 8 + video % 3
                    course = np.linspace(0, 1, length)[:, None]
                    rows = course * means[label] + 1.2 * rng.normal(size=(length, dim))
                    append(f"{split} {video}", label, rows, 2 * np.arange(length))
