"""Parameters of the study of baselines (Effective Shapley, Shapley Integrated Gradients)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.errors import InputError
from pipeline.core.fields import Count, Number, Rate, Section, Seed

Tolerance = Annotated[float, Field(ge=0)]
Part = Annotated[float, Field(gt=0, le=1)]

MOST_PLAYERS = 20
"""The most areas of a complete game: a picture's table has 2**areas values."""

SIDES = {"digits": 8, "mnist": 28, "cifar10": 32}
"""Side in pixels of pictures that have a fixed size."""


class NetworksInPlaceParams(Section):
    """Networks that are trained to replace the utility functions."""

    repeats: Annotated[Number, Field(ge=1, le=100)]
    share_of_12: Part
    share_of_20: Part
    hidden: Count
    layers: Count
    steps: Count
    batch: Count
    learning_rate: Rate
    seed: Seed


class RatiosParams(Section):
    """Comparison of Effective Shapley values with permutation sampling."""

    repeats: Annotated[Number, Field(ge=2)]
    per_size: Annotated[list[Count], Field(min_length=1)]
    kept: Count
    tolerance: Tolerance
    network_tolerance: Tolerance
    bins: Count | None
    seed: Seed


class ReplaceParams(Section):
    """How well networks replace utility functions."""

    coalitions: Count
    steps: Count
    seed: Seed


class ProportionsParams(Section):
    """The probability of a proportional sample (Theorem 2)."""

    drawn: Annotated[list[Count], Field(min_length=1)]
    simulations: Annotated[Number, Field(ge=1, le=10_000_000)]
    seed: Seed


class PictureSourceParams(Section):
    """Where the pictures come from."""

    source: Literal["digits", "mnist", "cifar10", "folder"]
    root: str | None
    download: bool
    size: Annotated[Number, Field(ge=4, le=4096)] | None
    train: Count | None

    @model_validator(mode="after")
    def _root_is_given(self) -> Self:
        if self.source != "digits" and self.root is None:
            raise ValueError(f"source: {self.source} needs a root, the folder that holds it")
        return self

    @property
    def side(self) -> int | None:
        """Side in pixels of every picture; None if only the files determine it."""
        return self.size or SIDES.get(self.source)


class PicturesParams(PictureSourceParams):
    """Which pictures are explained, and the size of their areas."""

    area: Count

    def check_areas(self, height: int, width: int) -> None:
        """Raise InputError unless the number of a picture's areas allows a complete game."""
        n_players = _areas(height, width, self.area)
        if 2 <= n_players <= MOST_PLAYERS:
            return
        sides = range(1, max(height, width))
        fitting = [side for side in sides if 2 <= _areas(height, width, side) <= MOST_PLAYERS]
        remedy = "no area fits; take larger pictures"
        if fitting:
            remedy = f"set baselines.pictures.area to {_numbers(fitting)}"
        raise InputError(
            f"baselines.pictures.area: {self.area}: areas of {self.area} × {self.area} pixels in "
            f"pictures of {height} × {width} are {n_players} "
            f"{'player' if n_players == 1 else 'players'}; 2 to {MOST_PLAYERS} can play complete "
            f"games: {remedy}"
        )


def _areas(height: int, width: int, side: int) -> int:
    return -(-height // side) * -(-width // side)


def _numbers(ascending: list[int]) -> str:
    """A range of numbers, in words."""
    first, last = ascending[0], ascending[-1]
    return str(first) if first == last else f"{first} to {last}"


class _PictureNetworkParams(Section):
    architecture: Literal["small", "resnet18", "resnet50"]
    weights: str | None
    width: Count
    hidden: Count
    epochs: Count
    batch: Count
    learning_rate: Rate
    seed: Seed

    @model_validator(mode="after")
    def _pretrained_exists(self) -> Self:
        if self.architecture == "small" and self.weights == "imagenet":
            raise ValueError("weights: imagenet goes with a resnet, not with architecture: small")
        if self.architecture != "small" and self.weights is None:
            raise ValueError(f"architecture: {self.architecture} needs weights: imagenet or a file")
        return self


class ClassifierParams(_PictureNetworkParams):
    """The classifier whose scores are explained."""


class EmbeddingParams(_PictureNetworkParams):
    """The embedding in which the distance between two pictures is explained."""

    outputs: Count
    margin: Annotated[float, Field(gt=0, lt=4)]


class PictureGameParams(Section):
    """The game of a picture's areas."""

    explained: Count
    absent: Literal["zero", "mean"]
    score: Literal["probability", "logit"]


class AttributionsParams(Section):
    """Integrated Gradients and Shapley Integrated Gradients of the pictures."""

    repeats: Annotated[Number, Field(ge=2)]
    per_size: Count
    kept: Count
    tolerance: Tolerance
    bins: Count | None
    counted: Literal["all", "own"]
    quadrature: Literal["gauss-legendre", "midpoint"]
    steps: Count
    plain_steps: Count
    random_baselines: Count
    seed: Seed


class AgreementParams(Section):
    """How attributions are compared."""

    ink: Annotated[float, Field(ge=0, lt=1)]


class SpeedParams(Section):
    """How long attributions take."""

    pictures: Count
    runs: Annotated[Number, Field(ge=2)]


class DrawnParams(Section):
    """What is drawn."""

    pictures: Count


class Params(Section):
    """The study of baselines."""

    surrogates: NetworksInPlaceParams
    ratios: RatiosParams
    replace: ReplaceParams
    proportions: ProportionsParams
    pictures: PicturesParams
    classifier: ClassifierParams
    embedding: EmbeddingParams
    coalitions: PictureGameParams
    attributions: AttributionsParams
    agreement: AgreementParams
    runtime: SpeedParams
    figures: DrawnParams
