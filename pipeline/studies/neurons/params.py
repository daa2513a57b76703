"""Parameters of the study of neurons (Neuron Shapley)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.fields import Count, Number, Rate, Section, Seed

Share = Annotated[float, Field(ge=0, lt=1)]
Part = Annotated[float, Field(gt=0, lt=1)]


class ImagesParams(Section):
    """Which images the networks are trained on, valued on and tested on."""

    source: Literal["digits", "mnist", "cifar10", "folder"]
    root: str | None
    download: bool
    size: Annotated[Number, Field(ge=4, le=4096)] | None
    train: Count | None
    ranked: Annotated[Number, Field(ge=2)]
    held_out: Annotated[Number, Field(ge=4)]

    @model_validator(mode="after")
    def _root_is_given(self) -> Self:
        if self.source != "digits" and self.root is None:
            raise ValueError(f"source: {self.source} needs a root, the folder that holds it")
        return self


class TrainingParams(Section):
    """How the small networks are built and trained."""

    channels: Annotated[list[Count], Field(min_length=1)]
    epochs: Count
    batch: Count
    learning_rate: Rate
    seed: Seed


class PlayersParams(Section):
    """Which parts of a network are players."""

    kind: Literal["filters", "hidden", "heads"]
    modules: list[str] | None
    grouped: bool


class PlainParams(Section):
    """The network ``plain``: a small one, or one that is given."""

    architecture: str
    weights: str | None
    players: PlayersParams | None = None


class DropoutParams(Section):
    """The network ``dropout``, trained without some of its filters in each step."""

    share: Share


class ForeignParams(Section):
    """The network ``foreign``, of another architecture: only attacks are made with it."""

    channels: Annotated[list[Count], Field(min_length=1)]


class TintParams(Section):
    """Tints of images for the network ``tinted``: most by their class, some by another class."""

    share: Part
    strength: Part
    seed: Seed


class NetworksParams(Section):
    """Parameters of each network."""

    plain: PlainParams
    dropout: DropoutParams
    foreign: ForeignParams
    tinted: TintParams | None


class CoalitionsParams(Section):
    """How absent filters are replaced, and how coalitions are drawn."""

    absent: Literal["mean", "zero", "resample"]
    block: Count
    seed: Seed


class PairsParams(Section):
    """Coalitions and their complements, from which values are computed."""

    count: Count
    rounds: Annotated[Number, Field(ge=2)]


class WalksParams(Section):
    """Orders in which the filters of each image are removed."""

    orders: Annotated[Number, Field(ge=2)]


class SharedParams(Section):
    """Iterations of the paper's algorithm: one order for a batch of images."""

    iterations: Annotated[Number, Field(ge=2)]
    images: Count


class AttackParams(Section):
    """Projected gradient descent on the images."""

    size: Part
    step: Part
    steps: Count
    seed: Seed


class RemovalParams(Section):
    """How many filters are removed, and what Neuron Shapley values are compared with."""

    most: Count
    top: Count
    classes: Count
    excluded: Share
    random_orders: Annotated[Number, Field(ge=2)]
    steps: Count
    seed: Seed


class PicturesParams(Section):
    """Images that activate filters, and dreams."""

    images: Count
    layers: Count
    of_class: Count
    steps: Count
    step: Part
    jitter: Annotated[Number, Field(ge=0)]
    blur: Annotated[float, Field(ge=0, le=2)]
    seed: Seed


class FacesParams(Section):
    """A real network, MTCNN's RNet, that separates faces from other pictures."""

    weights: str


class SearchParams(Section):
    """The search for the filters of largest values."""

    k: Count
    epsilon: Part
    delta: Part
    truncation: Share
    most: Count
    seed: Seed


class Params(Section):
    """The study of neurons."""

    images: ImagesParams
    training: TrainingParams
    networks: NetworksParams
    attack: AttackParams
    coalitions: CoalitionsParams
    pairs: PairsParams
    walks: WalksParams
    shared: SharedParams
    removal: RemovalParams
    pictures: PicturesParams
    faces: FacesParams | None
    search: SearchParams
