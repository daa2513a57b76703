"""Runs the stages of the frames study in this process, as the Snakefile chains them."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.frames import (
    accuracy,
    backbone,
    coalitions,
    features,
    figures,
    game,
    priors,
    receipts,
    scales,
    skipped,
    tsn,
    values,
    videos,
)

SPLITS = ("train", "validation")


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
