"""Parameters of the study of Shapley explanation networks."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.fields import Count, Number, Rate, Section, Seed

Part = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(gt=0)]
Width = Annotated[list[Count], Field(min_length=1)]
Class = Annotated[Number, Field(ge=0, le=9)]
Threshold = Annotated[float, Field(ge=0)]


class OwnTableParams(Section):
    """A table of the user's."""

    path: str
    target: str
    kind: Literal["auto", "classification", "regression"] = "auto"
    missing: Literal["refuse", "mean"] = "refuse"


class TablesParams(Section):
    """The tables that are made, and how tables are split."""

    rows: Annotated[Number, Field(ge=40)]
    held_out: Part
    seed: Seed


class TrainingParams(Section):
    """How networks for tables are trained and tested."""

    rounds: Count
    folds: Annotated[Number, Field(ge=2)]
    epochs: Count
    batch: Count
    learning_rate: Rate
    seed: Seed


class NetworksParams(Section):
    """Sizes of the networks for tables."""

    width: Count
    hidden: Count


class ComparedParams(Section):
    """Networks that the Deep ShapNet of pairs is compared with."""

    shallow: Count
    radix: list[Annotated[Number, Field(ge=3, le=8)]]


class RegularisedParams(Section):
    """Weights of the explanation's norms in the loss."""

    l1: Weight
    l_infinity: Weight


class ConsistentParams(Section):
    """The term in the loss that draws explanations to Shapley values."""

    weights: list[Weight]
    samples: Count
    folds: Annotated[Number, Field(ge=2)]


class LearnedParams(Section):
    """Networks of two layers that learn which features meet."""

    width: Count
    hidden: Count
    kept: Count
    epochs: Count


class ExplainedParams(Section):
    """Which explanations are compared with exact Shapley values."""

    rows: Annotated[Number, Field(ge=2)]
    coalitions: Annotated[Number, Field(ge=256)]
    kernel: Annotated[list[Annotated[Number, Field(ge=40)]], Field(min_length=1)]
    fastshap: Count
    seed: Seed


class TimingParams(Section):
    """How explanations are timed."""

    runs: Annotated[Number, Field(ge=2)]


class ImagesParams(Section):
    """Images that image networks are trained on and tested on."""

    source: Literal["digits", "mnist", "fashion_mnist", "cifar10"]
    root: str | None
    download: bool
    train: Count | None
    test: Annotated[Number, Field(ge=10)] | None

    @model_validator(mode="after")
    def _root_is_given(self) -> Self:
        if self.source != "digits" and self.root is None:
            raise ValueError(f"source: {self.source} needs a root, the folder that holds it")
        return self


class ImageNetworksParams(Section):
    """Image networks and their training."""

    channels: Width
    dilations: Width
    windows: Annotated[list[tuple[Count, Count]], Field(min_length=1)]
    epochs: Count
    batch: Count
    learning_rate: Rate
    schedule: Literal["constant", "one_cycle"]
    l1: Weight
    l_infinity: Weight
    repeats: Count
    seed: Seed


class ImageExplainedParams(Section):
    """Experiments on explanations of images."""

    flips: Annotated[list[tuple[Class, Class]], Field(min_length=1)]
    flipped: Part
    images: Annotated[Number, Field(ge=2)]
    steps: Count
    baselines: Count
    random_orders: Annotated[Number, Field(ge=1)]
    thresholds: Annotated[list[Threshold], Field(min_length=1)]
    drawn: Count
    seed: Seed


class Params(Section):
    """The study of Shapley explanation networks."""

    yeast: str | None
    table: OwnTableParams | None
    tables: TablesParams
    training: TrainingParams
    networks: NetworksParams
    compared: ComparedParams
    regularised: RegularisedParams
    consistent: ConsistentParams
    learned: LearnedParams
    explained: ExplainedParams
    timing: TimingParams
    images: ImagesParams
    image_networks: ImageNetworksParams
    image_explained: ImageExplainedParams
