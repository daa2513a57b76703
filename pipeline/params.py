"""The parameters of ``params.yaml`` as typed, validated objects, one a stage."""

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from pipeline.coalitions import MAX_ENUMERABLE
from pipeline.errors import InputError


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not a truth value")
    return value


Number = Annotated[int, BeforeValidator(_no_truth_value)]
Count = Annotated[Number, Field(ge=1)]
Seed = Annotated[Number, Field(ge=0, lt=2**63)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class DatasetParams(_Section):
    """Which videos are read."""

    root: str | None
    train_clips: Count | None
    validation_clips: Count | None
    max_skipped: Annotated[float, Field(ge=0, le=1)]


class VideosParams(_Section):
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


class DecodingParams(_Section):
    """How frames are taken from a video."""

    fps: Annotated[float, Field(gt=0, le=1000)]
    size: Annotated[Number, Field(ge=8, le=4096)]


class FeatureFiles(_Section):
    """Feature files of one model made elsewhere."""

    train: str
    validation: str


class FeaturesParams(_Section):
    """Features made elsewhere; null where they are extracted here."""

    trn: FeatureFiles | None
    tsn: FeatureFiles | None
    label: str | None
    classes: str | None

    @model_validator(mode="after")
    def _both_or_none(self) -> "FeaturesParams":
        if (self.trn is None) != (self.tsn is None):
            missing = "trn" if self.trn is None else "tsn"
            raise ValueError(f"features are given for one model only: give {missing} too, or none")
        return self


class BackboneWeights(_Section):
    """Checkpoints of the two backbones."""

    trn: str
    tsn: str


class BackboneParams(_Section):
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


class _TrainingParams(_Section):
    frames: Count
    dropout: Share
    learning_rate: Rate
    batch: Count
    draws: Count
    epochs: Count
    seed: Seed


class ScaleParams(_TrainingParams):
    """Training of one single-scale model of the multi-scale TRN."""

    hidden: Count


class ScalesParams(ScaleParams):
    """Training of all of them."""

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


class AccuracyParams(_Section):
    """Accuracy against the number of frames."""

    max_frames: Annotated[Number, Field(ge=1, le=20)]


class GameParams(_Section):
    """What the players of a validation clip are, and what a coalition is worth."""

    n: Annotated[Number, Field(ge=1, le=MAX_ENUMERABLE)]
    score: Literal["probability", "logit", "mean_of_softmax"]
    short_videos: Literal["repeat", "leave_out"]
    clips: Count | None


class CoalitionsParams(GameParams):
    """The game that is enumerated for every validation clip."""

    outputs: Literal["all", "true_and_predicted"]


class GradientsParams(_Section):
    """Integrated Gradients and GradCAM."""

    baseline: Literal["zero", "mean"]
    steps: Annotated[Number, Field(ge=1, le=10_000)]


class DiscardedParams(_Section):
    """Frames discarded one after another."""

    random_orders: Count
    seed: Seed


class PatternsParams(_Section):
    """What the values of all videos say together."""

    classes: Count
    videos_at_least: Count
    draws: Annotated[Number, Field(ge=1, le=1_000_000)]
    seed: Seed


class LengthsParams(_Section):
    """Values with different numbers of frames."""

    max_frames: Annotated[Number, Field(ge=1, le=MAX_ENUMERABLE)]
    clips: Count | None


class ShiftedParams(_Section):
    """Frames replaced by their neighbours."""

    furthest: Count
    crossing: bool
    clips: Count | None


class GridParams(_Section):
    """Parameters of Algorithm 1 that are tried, and for how many frames."""

    trn_frames: Annotated[Number, Field(ge=2, le=20)]
    tsn_frames: Annotated[Number, Field(ge=2, le=MAX_ENUMERABLE)]
    m: Annotated[list[Count], Field(min_length=1)]
    iterations: Annotated[list[Count], Field(min_length=1)]


class ConvergenceParams(GridParams):
    """Approximate values beside exact ones."""

    clips: Count
    repeats: Count
    budgets: Annotated[list[Count], Field(min_length=1)]
    seed: Seed


class RuntimeParams(_Section):
    """How long exact and approximate values take."""

    max_frames: Annotated[Number, Field(ge=8, le=20)]
    runs: Annotated[Number, Field(ge=2)]
    grid_runs: Annotated[Number, Field(ge=2)]


class FiguresParams(_Section):
    """What is drawn."""

    clips: Count


class FramesParams(_Section):
    """The study of frames in video models."""

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
    discarded: DiscardedParams
    patterns: PatternsParams
    lengths: LengthsParams
    shifted: ShiftedParams
    convergence: ConvergenceParams
    runtime: RuntimeParams
    figures: FiguresParams


class Params(_Section):
    """All of ``params.yaml``."""

    device: str
    partitions: Annotated[Number, Field(ge=1, le=10_000)]
    frames: FramesParams

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda or cuda:<number>")
        return value


def typed(value: Any) -> Any:
    """What a command line gives as text, with null where it spells null.

    ``snakemake --config 'frames={coalitions: {clips: null}}'`` hands every value over as a string.
    Texts that spell numbers are taken for numbers by the parameters that are numbers.
    """
    if isinstance(value, Mapping):
        return {name: typed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return None if value in ("null", "~") else value


def validate(content: Mapping[str, Any], source: str = "params.yaml") -> Params:
    """Parameters from nested mappings.

    Args:
        content: what the parameter file holds, with overrides merged in.
        source: what the error message calls it.

    Raises:
        InputError: naming every unknown, missing or out-of-range parameter, what was found and
            what is allowed, with the nearest valid name of an unknown one.
    """
    try:
        # By way of JSON, so that what cannot be handed to a stage is refused here, and not there.
        return Params.model_validate_json(json.dumps(content, allow_nan=False))
    except (TypeError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise InputError(f"{source}: {explain_validation_error(error, Params)}") from None
        raise InputError(
            f"{source}: parameters must be plain, finite values; among them "
            f"is one that is not: {error}"
        ) from None


def load(path: Path) -> Params:
    """Parameters from a YAML file; errors as :func:`validate`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such parameter file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a mapping of parameters")
    return validate(content, str(path))


def explain_validation_error(error: ValidationError, model: type[BaseModel]) -> str:
    """One line for every parameter that is wrong, in words for whoever wrote it."""
    lines = []
    for item in error.errors(include_url=False):
        # Members of a union appear in the location by class name; they are no part of the path.
        location = [str(part) for part in item["loc"] if not _is_union_member(part)]
        name = ".".join(location)
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown parameter {name}{_nearest(location, model)}")
        elif item["type"] == "missing":
            lines.append(f"parameter {name} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            found = "" if isinstance(item["input"], dict) else f" (found: {item['input']!r})"
            lines.append(f"parameter {name}: {message[0].lower()}{message[1:]}{found}")
    return "; ".join(dict.fromkeys(lines))


def _is_union_member(part: str | int) -> bool:
    text = str(part)
    return text.startswith("literal[") or (text[:1].isupper() and text.isidentifier())


def _nearest(location: list[str], model: type[BaseModel]) -> str:
    *parents, unknown = location
    current: type[BaseModel] | None = model
    for parent in parents:
        field = current.model_fields.get(parent) if current else None
        current = _section_of(field.annotation) if field else None
    if current is None:
        return ""
    close = difflib.get_close_matches(unknown, current.model_fields, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {'.'.join([*parents, close[0]])}?"
    return f"; here are allowed: {', '.join(current.model_fields)}"


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
