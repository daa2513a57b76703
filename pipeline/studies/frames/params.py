"""Parameters of the study of frames in video models, one class per stage."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.core.fields import Count, Number, Rate, Section, Seed, Share
from pipeline.shapley.coalitions import MAX_ENUMERABLE

MOST_REPLACED = 10
"""The most frames with replaced ones; their sequences have 4ⁿ subsequences in all."""

ScoreName = Literal["probability", "logit", "mean_of_softmax"]
ShortVideos = Literal["repeat", "leave_out"]


class DatasetParams(Section):
    """Which videos are read."""

    root: str | None
    train_clips: Count | None
    validation_clips: Count | None
    max_skipped: Annotated[float, Field(ge=0, le=1)]


class VideosParams(Section):
    """The rendered data set."""

    train_clips: Count
    validation_clips: Count
    test_clips: Annotated[Number, Field(ge=0)]
    frames: Annotated[Number, Field(ge=8, le=10_000)]
    fps: Annotated[Number, Field(ge=1, le=240)]
    size: Annotated[Number, Field(ge=48, le=1024, multiple_of=2)]
    noise: Annotated[float, Field(ge=0, le=64)]
    jitter: Annotated[float, Field(ge=0, le=16)]
    seed: Seed


class DecodingParams(Section):
    """How frames are taken from a video."""

    fps: Annotated[float, Field(gt=0, le=1000)]
    size: Annotated[Number, Field(ge=8, le=4096)]
    shortened: Literal["keep", "skip"]


class FeatureFiles(Section):
    """Feature files of one model made elsewhere."""

    train: str
    validation: str


class FeaturesParams(Section):
    """Features made elsewhere; null if they are extracted here."""

    trn: FeatureFiles | None
    tsn: FeatureFiles | None
    label: str | None
    classes: str | None

    @model_validator(mode="after")
    def _both_or_none(self) -> "FeaturesParams":
        if (self.trn is None) != (self.tsn is None):
            missing = "trn" if self.trn is None else "tsn"
            raise ValueError(
                f"features are given for one model only: set {missing} too, or set both to null"
            )
        return self


class OwnModelParams(Section):
    """A model of the user's: its weights, and what it sees in place of absent frames."""

    weights: str | None
    removal: Literal["delete", "freeze", "mean", "blank"]


class BackboneWeights(Section):
    """Checkpoints of the two backbones."""

    trn: str
    tsn: str


class BackboneParams(Section):
    """The convolutional network that maps a frame to a feature vector, and its training."""

    architecture: Literal["small", "resnet50"]
    weights: Literal["imagenet"] | BackboneWeights | None
    feature_dim: Count
    frames: Count
    epochs: Annotated[Number, Field(ge=0)]
    batch_clips: Count
    learning_rate: Rate
    seed: Seed

    @model_validator(mode="after")
    def _pretrained_exists(self) -> "BackboneParams":
        if self.weights == "imagenet" and self.architecture != "resnet50":
            raise ValueError(
                f"weights: imagenet goes with architecture: resnet50, not {self.architecture}"
            )
        return self


class _TrainingParams(Section):
    frames: Count
    dropout: Share
    learning_rate: Rate
    batch: Count
    draws: Count
    epochs: Count
    least_steps: Annotated[Number, Field(ge=0)]
    seed: Seed


class ScaleParams(_TrainingParams):
    """Training of one single-scale model of the multi-scale TRN."""

    hidden: Count


class ScalesParams(ScaleParams):
    """Training of all single-scale models."""

    n_max: Annotated[Number, Field(ge=1, le=16)]

    @model_validator(mode="after")
    def _enough_frames(self) -> "ScalesParams":
        if self.frames < self.n_max:
            raise ValueError(
                f"frames: {self.frames} is fewer than n_max: {self.n_max}; a subsequence of n_max "
                "frames is drawn from them"
            )
        return self


class TsnParams(_TrainingParams):
    """Training of the averaging classifier."""


class AccuracyParams(Section):
    """Accuracy against the number of frames."""

    max_frames: Annotated[Number, Field(ge=1, le=20)]


class GameParams(Section):
    """The players of a validation clip, and the value of a coalition."""

    n: Annotated[Number, Field(ge=1, le=MAX_ENUMERABLE)]
    score: ScoreName
    short_videos: ShortVideos
    clips: Count | None


class CoalitionsParams(GameParams):
    """The game that is enumerated for every validation clip."""

    outputs: Literal["all", "true_and_predicted"]


class GradientsParams(Section):
    """Integrated Gradients and GradCAM."""

    baseline: Literal["zero", "mean"]
    steps: Annotated[Number, Field(ge=1, le=10_000)]


class DiscardParams(Section):
    """Frames discarded one after another."""

    random_orders: Count
    seed: Seed


class PatternsParams(Section):
    """Patterns in the values of all videos."""

    classes: Count
    videos_at_least: Count
    draws: Annotated[Number, Field(ge=1, le=1_000_000)]
    seed: Seed


class InteractionsParams(Section):
    """What pairs of frames are worth together."""

    index: Literal["SII", "k-SII", "STII", "FSII", "BII", "FBII"]
    videos: Count


class LocalisationParams(Section):
    """Attributions that are compared with known actions; Algorithm 1 among them."""

    m: Count
    iterations: Count
    seed: Seed


class LengthsParams(Section):
    """Values with different numbers of frames."""

    max_frames: Annotated[Number, Field(ge=1, le=MAX_ENUMERABLE)]
    clips: Count | None


class ShiftParams(Section):
    """Frames replaced by their neighbours."""

    furthest: Count
    crossing: bool
    clips: Count | None


class TriedFrames(Section):
    """The numbers of frames for which estimates are tried."""

    trn_frames: Annotated[Number, Field(ge=2, le=20)]
    tsn_frames: Annotated[Number, Field(ge=2, le=MAX_ENUMERABLE)]

    def frames(self, model: str) -> int:
        """Number of frames for which a model's values are estimated."""
        return self.trn_frames if model == "trn" else self.tsn_frames


class ConvergenceGameParams(TriedFrames):
    """Clips whose values are estimated and exactly known."""

    clips: Count


class GridParams(TriedFrames):
    """The parameters of Algorithm 1 to try, and the numbers of frames."""

    m: Annotated[list[Count], Field(min_length=1)]
    iterations: Annotated[list[Count], Field(min_length=1)]


class ConvergenceParams(GridParams, ConvergenceGameParams):
    """Comparison of approximate with exact values."""

    repeats: Count
    budgets: Annotated[list[Count], Field(min_length=1)]
    seed: Seed


class RuntimeParams(Section):
    """How long exact and approximate values take."""

    max_frames: Annotated[Number, Field(ge=8, le=20)]
    runs: Annotated[Number, Field(ge=2)]
    grid_runs: Annotated[Number, Field(ge=2)]


class RemovalParams(Section):
    """Clips whose absent frames are deleted, and replaced in several ways."""

    n: Annotated[Number, Field(ge=2, le=MOST_REPLACED)]
    clips: Count | None


class RootParams(Section):
    """Where videos are."""

    root: str | None


class ViewedParams(Section):
    """What the view of the study in the report depends on."""

    model: str | None
    dataset: RootParams
    features: FeaturesParams


class FiguresParams(Section):
    """What is drawn."""

    clips: Count


class Params(Section):
    """The study of frames in video models."""

    model: str | None
    own_model: OwnModelParams
    dataset: DatasetParams
    videos: VideosParams
    decoding: DecodingParams
    features: FeaturesParams
    backbone: BackboneParams
    scales: ScalesParams
    tsn: TsnParams
    accuracy: AccuracyParams
    coalitions: CoalitionsParams
    gradients: GradientsParams
    discard: DiscardParams
    patterns: PatternsParams
    interactions: InteractionsParams
    localisation: LocalisationParams
    lengths: LengthsParams
    shift: ShiftParams
    removal: RemovalParams
    convergence: ConvergenceParams
    runtime: RuntimeParams
    figures: FiguresParams

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str | None) -> str | None:
        if value in (None, "trn", "tsn") or re.fullmatch(r"[^:\s]+:[^:\s]+", value):
            return value
        raise ValueError(
            "must be null (TRN and TSN), trn, tsn, torchvision:<network> or <module>:<function>"
        )

    @model_validator(mode="after")
    def _own_scores(self) -> "Params":
        is_own = self.model not in (None, "trn", "tsn")
        if is_own and self.coalitions.score == "mean_of_softmax":
            raise ValueError(
                "coalitions.score: mean_of_softmax belongs to the TRN and TSN; with model: "
                f"{self.model} choose probability or logit"
            )
        return self
