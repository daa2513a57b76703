"""Runs the stages of the frames study in this process, as the Snakefile chains them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.studies.frames import (
    accuracy,
    backbone,
    claims,
    coalitions,
    convergence,
    features,
    game,
    gradients,
    lengths,
    patterns,
    priors,
    receipts,
    runtime,
    scales,
    skipped,
    tsn,
    values,
    videos,
)
from pipeline.studies.frames import discard_stage as discarded
from pipeline.studies.frames import figures_stage as figures
from pipeline.studies.frames import shift_stage as shifted
from pipeline.studies.frames.feature_files import feature_writer
from pipeline.studies.frames.params import GameParams

SPLITS = ("train", "validation")
MODELS = ("trn", "tsn")


@dataclass(frozen=True)
class Study:
    """Where everything of a run is."""

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

    def store(self, model):
        return self.folder / f"coalitions/frames/{model}.zarr"

    def receipt(self, model):
        return self.folder / f"coalitions_{model}.json"

    def values(self, model):
        return self.folder / f"values/{model}.h5"

    def gradients(self, model):
        return self.folder / f"gradients/{model}.h5"


def make_videos(study):
    videos.main(params=study.params.videos, out=study.root, threads=1)


def make_features(study):
    p = study.params
    for model in ("trn", "tsn"):
        backbone.main(
            model=model,
            root=study.root,
            decoding=p.decoding,
            params=p.backbone,
            out=study.folder / f"backbone/{model}.pt",
            device="cpu",
        )
    for split in SPLITS:
        features.main(
            root=study.root,
            split=split,
            trn_backbone=study.folder / "backbone/trn.pt",
            tsn_backbone=study.folder / "backbone/tsn.pt",
            decoding=p.decoding,
            trn=study.features("trn", split),
            tsn=study.features("tsn", split),
            skipped=study.folder / f"skipped_{split}.csv",
            device="cpu",
            threads=2,
        )
    check_skipped(study)


def check_skipped(study):
    skipped.main(
        tables=[study.folder / f"skipped_{split}.csv" for split in SPLITS],
        features=[study.features("trn", split) for split in SPLITS],
        max_skipped=study.params.dataset.max_skipped,
        out=study.folder / "skipped.csv",
    )


def make_models(study):
    p = study.params
    trn_train, tsn_train = study.features("trn", "train"), study.features("tsn", "train")
    priors.main(features=trn_train, root=study.root, out=study.priors)
    for scale, out in enumerate(study.weights("trn"), start=1):
        scales.main(
            features=trn_train,
            priors=study.priors,
            scale=scale,
            params=p.scales,
            out=out,
            device="cpu",
        )
    tsn.main(
        features=tsn_train,
        priors=study.priors,
        params=p.tsn,
        out=study.weights("tsn")[0],
        device="cpu",
    )


def make_coalitions(study, model, *, partitions=1, **changes):
    arguments = {
        "model": model,
        "features": study.features(model, "validation"),
        "weights": study.weights(model),
        "priors": study.priors,
        "params": study.params.coalitions,
        "store": study.store(model),
        "device": "cpu",
        **changes,
    }
    game.main(**arguments, out=study.folder / f"game/{model}.json")
    parts = [study.folder / f"parts/{model}/{i}_of_{partitions}.json" for i in range(partitions)]
    for i, part in enumerate(parts):
        coalitions.main(**arguments, partition=i, partitions=partitions, out=part)
    receipts.main(parts=parts, out=study.receipt(model))


def make_values(study, model, **changes):
    arguments = {
        "receipt": study.receipt(model),
        "features": study.features(model, "validation"),
        "out": study.values(model),
        "table": study.values(model).with_suffix(".csv"),
    }
    values.main(**{**arguments, **changes})


def make_accuracy(study):
    accuracy.main(
        trn_features=study.features("trn", "validation"),
        tsn_features=study.features("tsn", "validation"),
        scales=study.weights("trn"),
        tsn=study.weights("tsn")[0],
        priors=study.priors,
        params=study.params.accuracy,
        out=study.folder / "accuracy.json",
        curve=study.folder / "accuracy.csv",
        root=study.root,
        device="cpu",
    )


def make_figures(study, **changes):
    drawn = study.folder / "figures"
    arguments = {
        "trn": study.values("trn"),
        "tsn": study.values("tsn"),
        "accuracy": study.folder / "accuracy.json",
        "priors": study.priors,
        "params": study.params.figures,
        "clips": drawn / "clips",
        "accuracy_figure": drawn / "accuracy.png",
        "summary_figure": drawn / "summary.png",
        "summary": drawn / "summary.json",
        "root": study.root,
    }
    figures.main(**{**arguments, **changes})


def make_feature_files(study, *, dim=8):
    """Feature files of videos that there are not, of six classes; none is validated of the last."""
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


def both(paths):
    """One path a model, as a stage that compares the models takes them."""
    return [paths(model) for model in MODELS]


def trained(study, split="validation"):
    """What stages take that evaluate both models."""
    return {
        "trn_features": study.features("trn", split),
        "tsn_features": study.features("tsn", split),
        "scales": study.weights("trn"),
        "tsn": study.weights("tsn")[0],
        "priors": study.priors,
        "device": "cpu",
    }


def make_gradients(study, model, **changes):
    arguments = {
        "model": model,
        "features": study.features(model, "validation"),
        "train_features": study.features(model, "train"),
        "weights": study.weights(model),
        "priors": study.priors,
        "game": study.params.coalitions.model_dump(exclude={"outputs"}),
        "params": study.params.gradients,
        "out": study.gradients(model),
        "device": "cpu",
    }
    arguments |= changes
    gradients.main(**arguments | {"game": GameParams.model_validate(arguments["game"])})


def make_discarded(study, **changes):
    arguments = {
        "receipts": both(study.receipt),
        "values": both(study.values),
        "gradients": both(study.gradients),
        "params": study.params.discarded,
        "out": study.folder / "discarded.json",
        "table": study.folder / "discarded.csv",
        "areas": study.folder / "discarded_areas.csv",
        "figures": study.folder / "figures",
    }
    discarded.main(**arguments | changes)


def make_patterns(study, **changes):
    arguments = {
        "receipts": both(study.receipt),
        "values": both(study.values),
        "priors": study.priors,
        "params": study.params.patterns,
        "out": study.folder / "patterns.json",
        "tables": study.folder / "patterns",
        "figures": study.folder / "figures",
    }
    patterns.main(**arguments | changes)


def kept(study):
    return {"stores": study.folder / "coalitions/frames", "receipts": study.folder}


def make_lengths(study, **changes):
    arguments = {
        **trained(study),
        "params": study.params.lengths,
        "score": study.params.coalitions.score,
        **kept(study),
        "out": study.folder / "lengths.json",
        "table": study.folder / "lengths.csv",
        "figure": study.folder / "figures/supporting.png",
    }
    lengths.main(**arguments | changes)


def make_shifted(study, **changes):
    arguments = {
        **trained(study),
        "params": study.params.shifted,
        "n": study.params.coalitions.n,
        "score": study.params.coalitions.score,
        **kept(study),
        "out": study.folder / "shifted.json",
        "table": study.folder / "shifted.csv",
        "figure": study.folder / "figures/shifted.png",
    }
    shifted.main(**arguments | changes)


def make_convergence(study, **changes):
    arguments = {
        **trained(study),
        "params": study.params.convergence,
        "score": study.params.coalitions.score,
        "short_videos": study.params.coalitions.short_videos,
        **kept(study),
        "out": study.folder / "convergence.json",
        "table": study.folder / "convergence.csv",
        "figures": study.folder / "figures",
    }
    convergence.main(**arguments | changes)


def make_runtime(study, **changes):
    arguments = {
        **trained(study),
        "params": study.params.runtime,
        "tried": study.params.convergence,
        "out": study.folder / "runtime.json",
        "table": study.folder / "runtime.csv",
        "grid": study.folder / "runtime_grid.csv",
    }
    runtime.main(**arguments | changes)


def make_claims(study):
    stages = ["accuracy", "discarded", "patterns", "lengths", "shifted", "convergence", "runtime"]
    claims.main(
        **{stage: study.folder / f"{stage}.json" for stage in stages},
        out=study.folder / "claims.json",
        table=study.folder / "claims.csv",
    )
